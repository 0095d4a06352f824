"""Lanes: execution slots, each with the memory and CUDA graphs for clicks of one network size, one click at a time.

Kernels reach all data of a session through addresses in the click's parameters, so one pair of graphs serves every
session of a network: opening a session captures nothing, and a click is one graph launch.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.block import BLOCK, CLICK, LANE, PLACED, RESULT, WINDOW, mask_words
from ...kernels.cuda import launch_modulation
from ...kernels.device import Device
from ..contract import INPUT_CHANNELS
from ..network import Network
from ..worker import Worker

CLICKS = 32  # initial capacity; doubled as needed
IDLE = 8  # idle lanes that a network keeps, the most recently used ones
EVERYWHERE = 1 << 30  # work for an image of any size: as many blocks as the GPU runs at a time

Bytes = NDArray[np.uint8]


class Parameters:
    """Parameter buffers of a click: pinned host memory and its copy on the GPU."""

    def __init__(self, device: Device, clicks: int) -> None:
        self.clicks = clicks
        nbytes = BLOCK.itemsize + clicks * CLICK.itemsize
        self.host = device.pinned(nbytes)
        self.host[:] = 0
        self.place = device.empty((nbytes,), np.uint8)
        self.address = device.address(self.place)

    def write(self, head: Bytes, clicks: Bytes) -> None:
        self.host[: BLOCK.itemsize] = head
        self.host[BLOCK.itemsize : BLOCK.itemsize + clicks.size] = clicks


class Lane:
    """Memory for clicks on maps of batch × height × width, and its graphs.

    Args:
        device: device of the memory.
        worker: worker of the network, used by this lane only.
        batch: batch size, 2 with the mirrored pass, else 1.
        height, width: network size in pixels.

    Attributes:
        shape: tuple of batch, height and width.
        used: True if a click has run on this lane.
        why_eager: reason why the steps of a click run one by one, if they do.
    """

    why_eager = ""
    used = False

    def __init__(self, device: Device, worker: Worker, batch: int, height: int, width: int) -> None:
        self._device, self._worker = device, worker
        self.shape = batch, height, width
        self._inputs = [device.empty((batch, n, height, width), np.float32) for n in INPUT_CHANNELS.values()]
        self._logits = device.empty((batch, 1, height, width), np.float32)
        self._keys = device.empty((batch, height, width), np.uint32)
        self._windows = device.empty((batch * WINDOW.itemsize,), np.uint8)
        self._fields = np.zeros(1, LANE)
        names = ("image", "prev", "modulated", "clicks", "logits", "keys", "windows")
        for name, array in zip(names, (*self._inputs, self._logits, self._keys, self._windows), strict=True):
            self._fields[name] = device.address(array)
        self._fields["batch"], self._fields["height"], self._fields["width"] = batch, height, width
        self._capturing = device.new_stream()  # an application's stream may be the default one: no capture
        self._graphs: dict[bool, Callable[[int], None]] = {}
        self._prepared = False
        self._make_room(CLICKS)

    def run(self, first: bool, head: Bytes, clicks: Bytes, stream: int) -> None:
        """Put a click on the stream. Returns before it has run.

        Args:
            first: True to include the pass that makes a previous map if there is none.
            head: bytes of one BLOCK.
            clicks: bytes of the CLICKs.
            stream: raw handle of the stream.
        """
        count = clicks.size // CLICK.itemsize
        if count > self._parameters.clicks:
            self._make_room(max(count, 2 * self._parameters.clicks))
        self.used = True
        self._parameters.write(head, clicks)
        graph = self._graphs.get(first)
        if graph is not None:
            graph(stream)
        else:
            self._enqueue(first, stream)

    def prepare(self) -> None:
        """Run both kinds of click on an image of one pixel, to load everything, and capture them."""
        if self._prepared:
            return
        self._prepared = True
        stream = int(self._capturing.ptr)
        pixel = self._one_pixel(stream)  # kept until the stream has used it
        try:
            for first in (True, False):
                self._enqueue(first, stream)
        finally:
            self._device.synchronize(stream)
        del pixel
        try:
            for first in (True, False):
                graph = self._worker.graph(self._device, partial(self._enqueue, first, stream), stream)
                if graph is None:
                    self.why_eager = self._worker.why_eager
                    break
                self._graphs[first] = graph
        except MemoryError:
            raise
        except Exception as error:  # unrelated classes of CUDA, CuPy and the runtime, all meaning "not captured"
            self.why_eager = f"the CUDA graph could not be captured: {error}"
        if self.why_eager:
            self._graphs.clear()

    def _one_pixel(self, stream: int) -> list[Any]:
        """Write the parameters of a click on an image of one pixel; return the arrays that it needs."""
        device = self._device
        _, height, width = self.shape
        arrays = {
            "image": device.empty((4,), np.uint8),
            "probability": device.empty((1,), np.float32),
            "map": device.empty((height, width), np.float32),
            "result": device.empty((RESULT.itemsize + 4 * mask_words(1, 1),), np.uint8),
        }
        head = np.zeros(1, BLOCK)
        for name, array in arrays.items():
            head[name] = device.address(array)
        for array in (*arrays.values(), *self._inputs):
            device.clear(array, stream)
        head["height"] = head["width"] = head["n_clicks"] = head["bootstrapped"] = 1
        head["r_max"] = head["disk_radius"] = 1.0
        self._parameters.write(head.view(np.uint8), np.zeros(1, CLICK).view(np.uint8))
        return list(arrays.values())

    def _enqueue(self, first: bool, stream: int) -> None:
        device, (batch, height, width) = self._device, self.shape
        area = height * width
        image, prev, modulated, disks = self._inputs
        arguments = (self._fields, self._parameters.address)
        device.copy_in(self._parameters.place, self._parameters.host, stream)
        device.launch("mfp_begin", arguments, 1, stream)
        device.launch("mfp_crop", arguments, area, stream)
        device.launch("mfp_disks", arguments, area, stream, items=batch)
        if first:
            # The crop of an empty map is the empty previous map that this pass needs.
            device.clear(modulated, stream)
            self._worker.enqueue(image, prev, modulated, disks, self._logits, stream)
            device.launch("mfp_bootstrap", arguments, batch * area, stream)
        launch_modulation(device, arguments, area, batch, stream)
        self._worker.enqueue(image, prev, modulated, disks, self._logits, stream)
        device.launch("mfp_probability", arguments, area, stream)
        device.launch("mfp_paste", arguments, EVERYWHERE, stream)

    def _make_room(self, clicks: int) -> None:
        self._parameters = Parameters(self._device, clicks)
        self._placed = self._device.empty((self.shape[0] * clicks * PLACED.itemsize,), np.uint8)
        self._fields["placed"], self._fields["capacity"] = self._device.address(self._placed), clicks
        self._graphs.clear()  # the graphs hold the old addresses
        self._prepared = False


class Lanes:
    """The lanes of one network on one device. Each is lent to one click at a time; more are created as needed."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._idle: list[Lane] = []  # most recently used last
        self._warned = False

    def lend(self, network: Network, batch: int, height: int, width: int) -> Loan:
        """Lend a lane for the duration of a block: ``with lanes.lend(…) as lane:``.

        All work on the lane must be done when the block ends, also after an error. After an error the lane is not used
        again, and its memory is free for others.

        Raises:
            MemoryError: the GPU has too little free memory.
        """
        return Loan(self, network, (batch, height, width))

    def prepare(self, network: Network, batch: int, height: int, width: int) -> None:
        """Load and capture everything for the first click of this shape."""
        lane = self.take(network, (batch, height, width))
        self._prepare(network, lane)
        self.give_back(lane)

    def take(self, network: Network, shape: tuple[int, int, int]) -> Lane:
        """Take a lane from the idle ones or create one; see :meth:`lend`."""
        with self._lock:
            found = next((lane for lane in reversed(self._idle) if lane.shape == shape), None)
            if found is not None:
                self._idle.remove(found)
        if found is None:
            try:
                found = Lane(self._device, network.worker(), *shape)
            except MemoryError:
                with self._lock:
                    self._idle.clear()
                found = Lane(self._device, network.worker(), *shape)
        if found.used:  # two graphs do not pay off for a shape that is used once
            self._prepare(network, found)
        return found

    def give_back(self, lane: Lane) -> None:
        with self._lock:
            self._idle.append(lane)
            del self._idle[:-IDLE]

    def _prepare(self, network: Network, lane: Lane) -> None:
        lane.prepare()
        if lane.why_eager and not self._warned:
            self._warned = True
            warnings.warn(
                f"{network!r}: the steps of a click run one by one, not as one CUDA graph, which costs some hundred "
                f"microseconds a click: {lane.why_eager}",
                RuntimeWarning,
                stacklevel=2,
            )


class Loan:
    """Context manager of a lent lane; see :meth:`Lanes.lend`."""

    def __init__(self, lanes: Lanes, network: Network, shape: tuple[int, int, int]) -> None:
        self._lanes, self._network, self._shape = lanes, network, shape

    def __enter__(self) -> Lane:
        self._lane = self._lanes.take(self._network, self._shape)
        return self._lane

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._lanes.give_back(self._lane)


def lanes_of(network: Network, device: Device) -> Lanes:
    """The lanes that sessions of this network share on this device; the network keeps them."""
    lanes: Lanes = network.shared_on(device, Lanes)
    return lanes
