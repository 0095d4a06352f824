"""Clicks on a network that computes nothing, which measure the rest of a click on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...engine.contract import NetworkInfo, Size
from ...engine.network import F32, Network
from ...engine.pipelines import gpu
from ...engine.pipelines.lane import Lane
from ...engine.session import Session
from ...engine.worker import Worker
from ...kernels.block import BLOCK, CLICK, RESULT, mask_words
from ...kernels.clicks import Click
from ...kernels.device import Device
from ...kernels.reference import DISK_RADIUS
from .bytes_moved import ClickSizes, window_box

BATCH = 2  # items: the crop and the mirrored crop
R_MAX = 100.0
SEED = 0


class IdleNetwork(Network):
    """Network on the first GPU that computes nothing. Its logits are noise from a fixed seed, written only once."""

    def __init__(self, size: Size) -> None:
        self.info, self.runtime, self.device = NetworkInfo(backbone="none", size=size), "none", "cuda:0"

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        raise NotImplementedError("this network serves sessions on a GPU alone")

    def worker(self) -> IdleWorker:
        return IdleWorker(gpu.open_device(self))


class IdleWorker(Worker):
    """Worker whose passes compute nothing.

    Attributes:
        prev_mask, modulated_mask: input arrays of its lane (see docs/gpu.md).
    """

    def __init__(self, where: Device) -> None:
        self._where = where
        self.prev_mask: Any = None
        self.modulated_mask: Any = None

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        if self.prev_mask is None:
            self.prev_mask, self.modulated_mask = prev_mask, modulated_mask
            noise = 3 * np.random.default_rng(SEED).standard_normal(logits.shape, np.float32)
            self._where.copy_in(logits, noise, stream)

    def graph(self, device: Device, steps: Callable[[], None], stream: int) -> Callable[[int], None]:
        return device.graph(steps, stream)


class Launch(NamedTuple):
    """A recorded kernel launch: the arguments of :meth:`~mfp.kernels.device.Device.launch` but for the stream."""

    kernel: str
    args: tuple[Any, ...]
    work: int
    items: int


class Recorder:
    """Proxy of a device that records its launches."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.launches: list[Launch] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def launch(self, kernel: str, args: tuple[Any, ...], work: int, stream: int, items: int = 1) -> None:
        self.launches.append(Launch(kernel, args, work, items))
        self._device.launch(kernel, args, work, stream, items)


class Scene:
    """A noisy image and probability map with positive clicks, the newest in the middle, and a lane that runs them.

    Args:
        device: device that holds the arrays.
        image: (H, W) in pixels; the region of interest is the whole image.
        size: (h, w) of the network.
        clicks: number of clicks, from 1.

    Attributes:
        device: device that holds the arrays.
        pixels: image on the host, uint8 H×W×3.
        lane: lane that has run the click once.
        launches: kernel launches of that click.
        worker: worker of the lane.
        sizes: argument of :func:`~mfp.bench.kernel_timing.bytes_moved.bytes_moved`.
    """

    def __init__(self, device: Device, image: Size, size: Size, clicks: int) -> None:
        queue = device.new_stream()
        stream = queue.ptr
        rng = np.random.default_rng(SEED)
        (height, width), (map_height, map_width) = image, size
        self.device, self._image, self._size = device, image, size
        self.pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        probability = rng.uniform(0.05, 0.95, image).astype(np.float32)  # far from the shortcuts at 0 and 1
        self._arrays = {
            "image": device.empty(self.pixels.shape, np.uint8),
            "probability": device.empty(image, np.float32),
            "map": device.empty(size, np.float32),
            "result": device.empty((RESULT.itemsize + 4 * mask_words(height, width),), np.uint8),
        }
        device.copy_in(self._arrays["image"], self.pixels, stream)
        device.copy_in(self._arrays["probability"], probability, stream)
        self._head, self._clicks = np.zeros(1, BLOCK), np.zeros(clicks, CLICK)
        row, column, channel = self.pixels.strides
        self._set(**{name: device.address(array) for name, array in self._arrays.items()})
        self._set(image_row=row, image_column=column, image_channel=channel)
        self._set(height=height, width=width, row_max=height - 1, col_max=width - 1)
        self._set(r_max=R_MAX, threshold=0.5, disk_radius=DISK_RADIUS, n_early=NetworkInfo().n_early)
        self._set(n_clicks=clicks, newest=clicks - 1)
        self._clicks["y"], self._clicks["x"] = rng.uniform(0, height, clicks), rng.uniform(0, width, clicks)
        self._clicks["y"][-1], self._clicks["x"][-1] = height / 2 + 0.3, width / 2 + 0.3
        self._clicks["positive"], self._clicks["index"] = 1, np.arange(clicks)

        self.worker = IdleWorker(device)
        recorder: Any = Recorder(device)
        self.lane = Lane(recorder, self.worker, BATCH, map_height, map_width)
        self.click(stream)
        device.synchronize(stream)
        self.launches = tuple(recorder.launches)
        boxes = [window_box(item[-1].y, item[-1].x, R_MAX, size) for item in map(self.clicks_on_map, range(BATCH))]
        self.sizes = ClickSizes(image, size, clicks, boxes)

    def _set(self, **fields: float) -> None:
        for name, value in fields.items():
            self._head[name] = value

    def click(self, stream: int) -> None:
        """Enqueue the click, as a later click of an object."""
        self.lane.run(False, self._head.view(np.uint8), self._clicks.view(np.uint8), stream)

    def clicks_on_map(self, item: int) -> list[Click]:
        """Clicks of an item of the batch (0, or 1 for the mirrored one), in map pixels."""
        found = []
        for y, x, positive, index in self._clicks.tolist():
            (height, width), (map_height, map_width) = self._image, self._size
            column = map_width * x / width
            found.append(Click(map_width - column - 1 if item else column, map_height * y / height, positive, index))
        return found

    def unpack(self) -> Launch:
        """Launch of the kernel that expands the mask's bits to a map; clicks do not use it."""
        height, width = self._image
        self._arrays["mask"] = self.device.empty(self._image, np.uint8)
        bits = self.device.address(self._arrays["result"]) + RESULT.itemsize
        target = self.device.address(self._arrays["mask"])
        return Launch("mfp_unpack", (bits, target, np.int32(height), np.int32(width)), height * width, 1)

    def bootstrap(self) -> Launch:
        """Launch of the kernel between the two passes of a first click."""
        work = BATCH * self._size[0] * self._size[1]
        return Launch("mfp_bootstrap", self.launches[0].args, work, 1)

    @property
    def status(self) -> int:
        """Status of the last click after it has finished: 0 if its map was pasted."""
        return int(self.download(self._arrays["result"], np.uint8)[: RESULT.itemsize].view(RESULT)["status"][0])

    def download(self, array: Any, dtype: Any) -> Any:
        stream = self.device.new_stream()
        host = self.device.pinned(array.nbytes)
        self.device.copy_out(host, array, stream.ptr)
        self.device.synchronize(stream.ptr)
        return host.view(dtype).reshape(array.shape).copy()


def session_times(device: Device, session: Session, clicks: int, samples: int) -> dict[str, list[float]]:
    """Times of later clicks and of their undo by the host's clock, in microseconds.

    Args:
        device: device of the session.
        session: session on an :class:`IdleNetwork` without clicks.
        clicks: number of clicks that the session has after each timed click.
        samples: number of timed clicks.

    Returns:
        ``"click"`` and ``"undo"``: times of the whole call, until the mask is on the host; ``"click_host"`` and
        ``"undo_host"``: the same without the time that the host waited for the GPU.
    """
    rng = np.random.default_rng(SEED)
    waited = 0.0
    synchronize = device.synchronize

    def timed(stream: int) -> None:
        nonlocal waited
        start = time.perf_counter()
        synchronize(stream)
        waited += time.perf_counter() - start

    def click() -> None:
        session.click(rng.uniform(0, session.width), rng.uniform(0, session.height))

    found: dict[str, list[float]] = {name: [] for name in ("click", "click_host", "undo", "undo_host")}
    for _ in range(clicks):
        click()
    session.undo()  # removes the extra click, which was for warm-up
    vars(device)["synchronize"] = timed  # the only way to separate waiting from working
    try:
        for _ in range(samples):
            for name, call in (("click", click), ("undo", session.undo)):
                waited, start = 0.0, time.perf_counter()
                call()
                whole = time.perf_counter() - start
                found[name].append(whole * 1e6)
                found[f"{name}_host"].append((whole - waited) * 1e6)
    finally:
        del vars(device)["synchronize"]
    return found
