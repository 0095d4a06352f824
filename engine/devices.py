"""CUDA GPUs: which ones the driver offers, and arrays and streams that an application hands over.

Everything asks the driver itself: no CUDA package is needed.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from .contract import INPUT_CHANNELS, OUTPUT
from .errors import NetworkError, OptionError, RuntimeMissingError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_INVALID_CONTEXT = 201  # CUDA_ERROR_INVALID_CONTEXT: no context is current in this thread


class DeviceArray(NamedTuple):
    """An array in a GPU's memory: address and shape; float32, C-contiguous."""

    pointer: int
    shape: tuple[int, ...]


@cache
def cuda_driver() -> tuple[int, str]:
    """Number of GPUs, and why it is 0 (empty where it is not)."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        return 0, f"no NVIDIA driver ({LIBRARY} is not there)"
    status = driver.cuInit(0)
    if status != 0:
        return 0, f"the NVIDIA driver does not start (cuInit gives error {status})"
    count = ctypes.c_int()
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return 0, "the NVIDIA driver finds no GPU"
    return count.value, ""


def cuda_index(device: str) -> int:
    """``"cuda:1"`` → 1; 0 where no number is given, as in ``"cuda"`` and ``"auto"``."""
    return int(device.partition(":")[2] or 0)


def choose_device(device: str, gpus: int, why_none: str) -> tuple[str, str]:
    """``"cpu"`` or ``"cuda:N"``, for a runtime that can use ``gpus`` of them.

    Args:
        device: what was asked for: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        gpus: how many GPUs the runtime can use here.
        why_none: why it is 0.

    Returns:
        The device, and why where it was left to us (else empty).

    Raises:
        RuntimeMissingError: a GPU was asked for that the runtime cannot use.
    """
    if device == "cpu":
        return device, ""
    index = cuda_index(device)
    if index < gpus:
        return f"cuda:{index}", "a GPU is there" if device == "auto" else ""
    if device == "auto":
        return "cpu", why_none
    why = why_none or f"there are {gpus} GPU(s), numbered from 0"
    raise RuntimeMissingError(
        f"asked for {device}: {why}. `mfp doctor` says what would change it; device='auto' takes what is there."
    )


def device_arrays(image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any) -> dict[str, DeviceArray]:
    """The arrays of :meth:`mfp.engine.network.Network.enqueue` by tensor name, held against the contract.

    Raises:
        OptionError: one is no device array, not float32, not C-contiguous, or of another shape.
    """
    given = dict(zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True)) | {OUTPUT: logits}
    arrays = {name: _device_array(name, array) for name, array in given.items()}
    batch, _, *size = (*arrays["image"].shape, 0, 0)[:4]
    for name, channels in {**INPUT_CHANNELS, OUTPUT: 1}.items():
        expected = (batch, channels, *size)
        if arrays[name].shape != expected:
            raise OptionError(f"expected {name} of shape {expected}, as the image is, got {arrays[name].shape}")
    return arrays


def _device_array(name: str, array: Any) -> DeviceArray:
    face = getattr(array, "__cuda_array_interface__", None)
    if face is None:
        raise OptionError(
            f"expected {name} in a GPU's memory, with __cuda_array_interface__ (CuPy, PyTorch, PyCUDA), "
            f"got {type(array).__name__}"
        )
    shape, strides, (pointer, read_only) = tuple(face["shape"]), face.get("strides"), face["data"]
    if face["typestr"] not in ("<f4", "=f4") or not (strides is None or _is_contiguous(shape, strides)):
        raise OptionError(
            f"expected {name} as C-contiguous float32, got {face['typestr']} with the strides {strides}; copy it first"
        )
    if read_only and name == OUTPUT:
        raise OptionError(f"expected {name} in memory that may be written, got a read-only array")
    return DeviceArray(pointer, shape)


def _is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    step = 4  # bytes of a float32
    for side, stride in zip(reversed(shape), reversed(strides), strict=True):
        if side != 1 and stride != step:
            return False
        step *= side
    return True


def wait_for_stream(stream: int, gpu: int) -> None:
    """Block until everything that was put on this CUDA stream so far has run.

    Args:
        stream: raw handle; 0 is the default stream of the context that is current in this thread, or else of the
            GPU's primary context.
        gpu: its number.

    Raises:
        NetworkError: the driver reports an error, for example that of a kernel that ran before.
    """
    driver = ctypes.CDLL(LIBRARY)
    status = driver.cuStreamSynchronize(ctypes.c_void_p(stream))
    if status == _INVALID_CONTEXT:
        use_gpu(gpu)
        status = driver.cuStreamSynchronize(ctypes.c_void_p(stream))
    if status:
        raise NetworkError(f"the CUDA stream {stream:#x} of GPU {gpu} failed (CUDA error {status})")


def use_gpu(gpu: int) -> None:
    """Make a GPU current in this thread, unless it is: an application's own context of it stays current.

    Raises:
        RuntimeMissingError: the driver refuses.
    """
    driver = ctypes.CDLL(LIBRARY)
    device, current, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
    status = driver.cuDeviceGet(ctypes.byref(device), gpu)
    if not status and not driver.cuCtxGetDevice(ctypes.byref(current)) and current.value == device.value:
        return
    status = status or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) or driver.cuCtxSetCurrent(context)
    if status:
        raise RuntimeMissingError(f"the NVIDIA driver does not give GPU {gpu} (CUDA error {status}); see `mfp doctor`")
