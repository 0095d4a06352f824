"""Click encoding and probability modulation on a CUDA GPU: :mod:`.reference` in float32 on CuPy arrays.

All work is put on CuPy's current stream, and no call waits for it. Working memory is kept for the next call, so later
calls allocate only their results, and with ``out`` not even those.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from .block import BLOCK, CLICK, LANE, PLACED, WINDOW
from .clicks import Click
from .device import Device, device_for
from .reference import DISK_RADIUS, check_distance

PIXELS_A_THREAD = 8  # of the window: each block of its kernels costs a histogram of its own
KEPT = 8  # maximum number of streams per thread whose memory is kept

_thread = threading.local()


def encode_clicks(
    clicks: Sequence[Click], height: int, width: int, radius: float = DISK_RADIUS, out: Any = None
) -> Any:
    """Disk maps of the clicks (spec section 3), the same bits as :func:`.reference.encode_clicks`.

    Args:
        clicks: clicks in map pixels. A click with both coordinates negative is padding.
        height, width: size of the map in pixels.
        radius: radius of the disks in pixels.
        out: CuPy array for the result, float32 (2, height, width), C-contiguous; None allocates one.

    Returns:
        ``out``, or a new CuPy array: float32 (2, height, width) of 0 and 1, C-contiguous; channel 0 positive clicks,
        channel 1 negative clicks.

    Raises:
        ValueError: ``out`` has another type, shape or layout.
    """
    workspace, stream = _workspace()
    out = workspace.result(out, (2, height, width))
    workspace.encode(clicks, radius, out, stream)
    return out


def modulate(
    probability: Any,
    clicks: Sequence[Click],
    n_early: int = 7,
    r_max: float = 100.0,
    distance: str = "probability",
    image: Any = None,
    out: Any = None,
) -> Any:
    """Probability modulation around the newest click (spec section 4), within 1e-5 of :func:`.reference.modulate`.

    Args:
        probability: array (H, W) in [0, 1] that CuPy accepts. It is copied only if it is not float32, C-contiguous and
            on the GPU.
        clicks, n_early, r_max, distance: arguments of :func:`.reference.modulate`.
        image: array (H, W, 3) of any scale; needed for ``"rgb"`` only.
        out: CuPy array for the result, other than ``probability``, float32 (H, W), C-contiguous; None allocates one.

    Returns:
        ``out``, or a new CuPy array: float32 (H, W) in [0, 1], C-contiguous.

    Raises:
        ValueError: ``distance`` is unknown, ``image`` is missing or has another size, or ``out`` has another type,
            shape or layout.
    """
    import cupy

    source = cupy.ascontiguousarray(cupy.asarray(probability), cupy.float32)
    colours = None if image is None else cupy.asarray(image)
    check_distance(distance, source.shape, None if colours is None else colours.shape)
    workspace, stream = _workspace()
    out = workspace.result(out, source.shape)
    workspace.modulate(source, clicks, n_early, r_max, colours if distance == "rgb" else None, out, stream)
    return out


def launch_modulation(device: Device, arguments: tuple[Any, ...], area: int, items: int, stream: int) -> None:
    """Put the kernels that turn previous maps into modulated ones on a stream.

    Args:
        arguments: arguments of every kernel: LANE and the address of the parameters, which ``mfp_begin`` has read.
        area: number of pixels of a map.
        items: number of items of the batch.
    """
    for kernel in ("mfp_window", "mfp_select_second", "mfp_select_third"):
        device.launch(kernel, arguments, area // PIXELS_A_THREAD, stream, items=items)
    device.launch("mfp_modulate", arguments, area, stream, items=items)


class Workspace:
    """Working memory on a device for calls of one thread on one stream; it grows as needed."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lane = np.zeros(1, LANE)
        self._lane["batch"] = 1
        self._windows = device.empty(WINDOW.itemsize, np.uint8)
        self._lane["windows"] = device.address(self._windows)
        self._keys = self._planes = device.empty(0, np.float32)
        self._make_room(16)

    def result(self, out: Any, shape: tuple[int, ...]) -> Any:
        """``out``, checked against the result that it must hold, or a new array."""
        if out is None:
            return self._device.empty(shape, np.float32)
        if out.dtype != np.float32 or out.shape != shape or not out.flags.c_contiguous:
            raise ValueError(f"expected out as C-contiguous float32 {shape}, got {out.dtype} {out.shape}")
        return out

    def encode(self, clicks: Sequence[Click], radius: float, out: Any, stream: int) -> None:
        """Run :func:`encode_clicks` on arrays of the device."""
        _, height, width = out.shape
        block = np.zeros(1, BLOCK)
        block["disk_radius"], block["newest"] = radius, -1
        self._send(block, clicks, height, width, stream)
        self._lane["clicks"] = self._device.address(out)
        self._launch("mfp_begin", 1, stream)
        self._launch("mfp_disks", height * width, stream)

    def modulate(
        self, source: Any, clicks: Sequence[Click], n_early: int, r_max: float, colours: Any, out: Any, stream: int
    ) -> None:
        """Run :func:`modulate` on arrays of the device. ``colours`` is needed only if colours are compared."""
        device, (height, width) = self._device, source.shape
        area = height * width
        if area == 0:
            return
        valid = [click for click in clicks if click.index >= 0]
        block = np.zeros(1, BLOCK)
        block["newest"] = max(range(len(valid)), key=lambda i: valid[i].index, default=-1)
        block["n_early"], block["r_max"], block["compare_rgb"] = n_early, r_max, colours is not None
        self._send(block, valid, height, width, stream)
        if self._keys.size < area:
            self._keys = device.empty(area, np.uint32)
        if colours is not None:
            if self._planes.size < 3 * area:
                self._planes = device.empty(3 * area, np.float32)
            self._planes[: 3 * area].reshape(3, height, width)[...] = colours.transpose(2, 0, 1)
        for name, array in (("prev", source), ("modulated", out), ("keys", self._keys), ("image", self._planes)):
            self._lane[name] = device.address(array)
        self._launch("mfp_begin", 1, stream)
        launch_modulation(device, (self._lane, device.address(self._parameters)), area, 1, stream)

    def _send(self, block: Any, clicks: Sequence[Click], height: int, width: int, stream: int) -> None:
        """Copy the call's parameters to the device."""
        if len(clicks) > self._lane["capacity"][0]:
            self._make_room(2 * len(clicks))
        self._lane["height"], self._lane["width"] = height, width
        block["mapped"], block["n_clicks"] = 1, len(clicks)
        packed = np.array([(click.y, click.x, click.positive, click.index) for click in clicks], CLICK)
        parameters = np.concatenate([block.view(np.uint8), packed.view(np.uint8)])
        self._device.copy_in(self._parameters[: parameters.size], parameters, stream)

    def _launch(self, kernel: str, work: int, stream: int) -> None:
        self._device.launch(kernel, (self._lane, self._device.address(self._parameters)), work, stream)

    def _make_room(self, clicks: int) -> None:
        self._parameters = self._device.empty(BLOCK.itemsize + clicks * CLICK.itemsize, np.uint8)
        self._placed = self._device.empty(clicks * PLACED.itemsize, np.uint8)
        self._lane["placed"], self._lane["capacity"] = self._device.address(self._placed), clicks


def _workspace() -> tuple[Workspace, int]:
    """This thread's workspace for CuPy's current stream on its current device, and that stream."""
    import cupy

    device, stream = device_for(cupy.cuda.runtime.getDevice()), cupy.cuda.get_current_stream().ptr
    kept: dict[tuple[Device, int], Workspace] = _thread.__dict__.setdefault("kept", {})
    if (device, stream) not in kept:
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        kept[device, stream] = Workspace(device)
    return kept[device, stream], int(stream)
