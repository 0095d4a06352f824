"""CUDA GPUs that the driver reports, and arrays and streams passed in by an application.

All queries go to the driver directly; no CUDA package is needed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from ..kernels.driver import LIBRARY, context_for, driver
from .contract import INPUT_CHANNELS, OUTPUT
from .errors import NetworkError, OptionError, RuntimeMissingError

_INVALID_CONTEXT = 201  # CUDA_ERROR_INVALID_CONTEXT: no context is current in this thread


class DeviceArray(NamedTuple):
    """An array in GPU memory: address and shape; float32, C-contiguous."""

    pointer: int
    shape: tuple[int, ...]


@cache
def cuda_driver() -> tuple[int, str]:
    """Number of GPUs, and the reason if there are none (else empty)."""
    try:
        cuda = driver()
    except OSError:
        return 0, f"no NVIDIA driver ({LIBRARY} is not there)"
    status = cuda.cuInit(0)
    if status != 0:
        return 0, f"the NVIDIA driver does not start (cuInit gives error {status})"
    count = ctypes.c_int()
    status = cuda.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return 0, "the NVIDIA driver finds no GPU"
    return count.value, ""


def cuda_index(device: str) -> int:
    """``"cuda:1"`` → 1; 0 if no number is given, as in ``"cuda"`` and ``"auto"``."""
    return int(device.partition(":")[2] or 0)


def choose_device(device: str, gpus: int, why_none: str) -> tuple[str, str]:
    """Choose ``"cpu"`` or ``"cuda:N"`` for a runtime that can use ``gpus`` GPUs.

    Args:
        device: requested device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        gpus: number of GPUs that the runtime can use on this machine.
        why_none: reason if ``gpus`` is 0.

    Returns:
        The device, and the reason for it if it was chosen automatically (else empty).

    Raises:
        RuntimeMissingError: the runtime cannot use the requested GPU.
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
    """The arrays of :meth:`mfp.engine.network.Network.enqueue` by tensor name, checked against the contract.

    Raises:
        OptionError: an array is no device array, not float32, not C-contiguous, or has another shape.
    """
    given = dict(zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True)) | {OUTPUT: logits}
    arrays = {name: _device_array(name, array) for name, array in given.items()}
    batch, _, *size = (*arrays["image"].shape, 0, 0)[:4]
    for name, channels in {**INPUT_CHANNELS, OUTPUT: 1}.items():
        expected = (batch, channels, *size)
        if arrays[name].shape != expected:
            raise OptionError(f"expected {name} of shape {expected}, as the image is, got {arrays[name].shape}")
    return arrays


def address_of(array: Any) -> int:
    """Address of an array with ``__cuda_array_interface__``."""
    address: int = array.__cuda_array_interface__["data"][0]
    return address


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
    """Block until all work put on this CUDA stream so far has run.

    Args:
        stream: raw handle; 0 is the default stream of the current context of this thread, or else of the GPU's
            primary context.
        gpu: number of the GPU.

    Raises:
        NetworkError: the driver reports an error, for example of a kernel that ran earlier.
    """
    cuda = driver()
    status = cuda.cuStreamSynchronize(ctypes.c_void_p(stream))
    if status == _INVALID_CONTEXT:
        use_gpu(gpu)
        status = cuda.cuStreamSynchronize(ctypes.c_void_p(stream))
    if status:
        raise NetworkError(f"the CUDA stream {stream:#x} of GPU {gpu} failed (CUDA error {status})")


def use_gpu(gpu: int) -> None:
    """Make a GPU current in this thread. If it already is, an application's own context on it stays current.

    Raises:
        RuntimeMissingError: the driver refuses.
    """
    try:
        context_for(gpu).use()
    except RuntimeError as error:
        raise RuntimeMissingError(f"{error}; see `mfp doctor`") from None


def demand_primary_context(gpu: int, library: str) -> None:
    """Check that a library that works only in a GPU's primary context can run in this thread.

    Args:
        library: name of the library, for the message.

    Raises:
        OptionError: an application's own context is current in this thread.
    """
    if not context_for(gpu).is_primary:
        raise OptionError(
            f"{library} works in the primary CUDA context of GPU {gpu}, and another one is current in this thread. "
            "Make that one current (PyCUDA: Device(…).retain_primary_context()), or run the network on TensorRT"
        )
