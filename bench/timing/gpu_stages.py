"""Timing of a click's stages on a GPU: the steps of its CUDA graph, run one by one between CUDA events.

The stream is kept busy before each click, so that all steps are queued when the first one begins. The times between the
events are then the GPU's work, not the host's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...engine.contract import Size
from ...engine.network import F32, Network
from ...engine.pipelines.lane import Lanes
from ...engine.session import Session
from ...engine.worker import Worker
from ...kernels.block import RESULT, mask_words
from ...kernels.clicks import Click

KERNELS = {
    "mfp_begin": "crop",
    "mfp_crop": "crop",
    "mfp_disks": "encode",
    "mfp_bootstrap": "modulate",
    "mfp_window": "modulate",
    "mfp_select_second": "modulate",
    "mfp_select_third": "modulate",
    "mfp_modulate": "modulate",
    "mfp_probability": "paste",
    "mfp_paste": "paste",
}  # kernel → stage
BALLAST = 1 << 28  # bytes, cleared REPEATS times before each click:
REPEATS = 40  # takes some milliseconds, longer than the host needs to enqueue a click


class Clock(Protocol):
    """Interface of a clock that marks points on a stream and measures between them."""

    def mark(self, stream: int) -> Any:
        """Mark a point after all work on the stream."""

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds from one point to another; the stream must have passed both."""


class EventClock:
    """Clock by CUDA events on the current GPU."""

    def __init__(self) -> None:
        import cupy

        self._cuda = cupy.cuda

    def mark(self, stream: int) -> Any:
        event = self._cuda.Event()
        self._cuda.runtime.eventRecord(event.ptr, stream)
        return event

    def elapsed(self, start: Any, end: Any) -> float:
        return float(self._cuda.get_elapsed_time(start, end))


def click_stages(
    network: Network,
    image: NDArray[np.uint8],
    size: Size,
    objects: Sequence[Sequence[Click]],
    device: Any,
    clock: Clock,
    ballast: int = BALLAST,
) -> dict[str, list[dict[str, float]]]:
    """Time the stages of clicks: milliseconds by stage, including copies in and out, and their ``total``.

    Args:
        network: network on a GPU.
        image: H×W×3 uint8 RGB.
        size: network size (H, W).
        objects: clicks, object by object.
        device: :class:`mfp.kernels.device.Device` of sessions with this network.
        clock: clock of that device.
        ballast: bytes cleared repeatedly before each click, see :data:`BALLAST`.

    Returns:
        ``first`` and ``later``: one dictionary per click.
    """
    stream = device.new_stream()
    marks = _Marks(clock)
    staged = _StagedNetwork(network, device, marks)
    height, width = image.shape[:2]
    host, result = (make(RESULT.itemsize + 4 * mask_words(height, width)) for make in (device.pinned, _bytes(device)))
    weight = _bytes(device)(ballast)
    rows: dict[str, list[dict[str, float]]] = {"first": [], "later": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the warning that there is no graph, which is intended here
        for clicks in objects:
            with Session(staged, image, size=size, stream=stream) as session:
                for click in clicks:
                    for _ in range(REPEATS):
                        device.clear(weight, stream.ptr)
                    marks.start(stream.ptr)
                    session.click(click.x, click.y, click.positive)
                    row = marks.stages()
                    marks.start(stream.ptr)  # repeats a session's last copy of a click, between events
                    device.copy_out(host, result, stream.ptr)
                    marks.end("copy", stream.ptr)
                    device.synchronize(stream.ptr)
                    row["copy"] = row.get("copy", 0.0) + marks.stages()["copy"]
                    rows["later" if click.index else "first"].append({**row, "total": sum(row.values())})
    return rows


def _bytes(device: Any) -> Callable[[int], Any]:
    return lambda nbytes: device.empty((nbytes,), np.uint8)


class _Marks:
    """Recorder of the points at which stages end on a stream."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._points: list[tuple[str, Any]] = []

    def start(self, stream: int) -> None:
        self._points = [("", self._clock.mark(stream))]

    def end(self, stage: str, stream: int) -> None:
        self._points.append((stage, self._clock.mark(stream)))

    def stages(self) -> dict[str, float]:
        """Milliseconds by stage; the stream must have passed all points."""
        found: dict[str, float] = {}
        for (_, start), (stage, end) in zip(self._points, self._points[1:], strict=False):
            found[stage] = found.get(stage, 0.0) + self._clock.elapsed(start, end)
        return found


class _MarkedDevice:
    """Proxy of a device that ends a stage after each operation that it enqueues."""

    def __init__(self, device: Any, marks: _Marks) -> None:
        self._device, self._marks = device, marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def copy_in(self, target: Any, source: Any, stream: int) -> None:
        self._device.copy_in(target, source, stream)
        self._marks.end("copy", stream)

    def clear(self, array: Any, stream: int) -> None:
        self._device.clear(array, stream)
        self._marks.end("modulate", stream)

    def launch(self, kernel: str, args: tuple[Any, ...], work: int, stream: int, items: int = 1) -> None:
        self._device.launch(kernel, args, work, stream, items)
        self._marks.end(KERNELS[kernel], stream)


class _StagedNetwork(Network):
    """Network whose clicks run step by step on a :class:`_MarkedDevice`."""

    def __init__(self, network: Network, device: Any, marks: _Marks) -> None:
        self.info, self.runtime, self.device = network.info, network.runtime, network.device
        self._network, self._marks = network, marks
        self._lanes = {device: Lanes(_MarkedDevice(device, marks))}  # type: ignore[arg-type]  # where sessions look

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        return self._network(image, prev_mask, modulated_mask, clicks)

    def worker(self) -> Worker:
        return _StagedWorker(self._network.worker(), self._marks)


class _StagedWorker(Worker):
    why_eager = "stages are timed one by one"

    def __init__(self, worker: Worker, marks: _Marks) -> None:
        self._worker, self._marks = worker, marks

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        self._worker.enqueue(image, prev_mask, modulated_mask, clicks, logits, stream)
        self._marks.end("network", stream)

    def graph(self, device: Any, steps: Callable[[], None], stream: int) -> None:
        return None
