"""Images in GPU memory and CUDA streams passed in by an application, used in place."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from ...kernels.device import Device
from ..errors import ImageError, OptionError
from ..image import check_image

_LEGACY = 1  # the default stream in both protocols, where 0 would be ambiguous
_CUDA, _CUDA_MANAGED = 2, 13  # DLPack's memory types
_TYPES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool"}  # DLPack's type codes


class DeviceImage(NamedTuple):
    """A uint8 image in a GPU's memory.

    Attributes:
        owner: object that keeps the memory alive.
        address: address of the first pixel's first channel.
        strides: distances in bytes from row to row, column to column and channel to channel; the last is 0 for grey.
        height, width: size in pixels.
    """

    owner: Any
    address: int
    strides: tuple[int, ...]
    height: int
    width: int


def is_on_device(image: Any) -> bool:
    """Whether an image declares that it is in GPU memory."""
    return hasattr(image, "__cuda_array_interface__") or _is_dlpack_on_gpu(image)


def as_device_image(image: Any, device: Device, stream: int) -> DeviceImage:
    """Describe an image in GPU memory for the kernels: used in place, with any strides.

    Later work on ``stream`` runs after the work that writes the image, provided that the image declares its stream:
    CuPy, Numba and every DLPack producer do. PyCUDA does not; write its image on ``stream`` too, or wait first.

    Args:
        image: object with ``__cuda_array_interface__`` or DLPack, uint8: H×W×3 RGB; H×W or H×W×1 grey; H×W×4 RGBA,
            whose alpha is ignored.
        device: device on the GPU that holds the image.
        stream: raw handle of the stream.

    Raises:
        ImageError: the type or shape is another, the image is empty or masked, or the device cannot reach its memory.
    """
    face = getattr(image, "__cuda_array_interface__", None)
    # That interface includes streams only from version 3 on; PyTorch stays at version 2.
    if face is not None and ("stream" in face or not _is_dlpack_on_gpu(image)):
        found = _from_interface(image, face)
        if face.get("stream") is not None:
            device.synchronize(face["stream"])
    else:
        found = _from_dlpack(image, stream)
    if problem := device.why_out_of_reach(found.address):
        raise ImageError(f"expected an image in the memory of the network's GPU; the one given {problem}")
    return found


def stream_handle(stream: Any) -> int:
    """The raw handle of a CUDA stream.

    Args:
        stream: raw handle, or a stream of CuPy, PyTorch, PyCUDA or any object with ``__cuda_stream__``.

    Raises:
        OptionError: the argument is none of these.
    """
    handle = stream
    if hasattr(stream, "__cuda_stream__"):
        handle = stream.__cuda_stream__()[1]  # version, handle
    else:
        for name in ("ptr", "cuda_stream", "handle"):  # CuPy's, PyTorch's and PyCUDA's
            if hasattr(stream, name):
                handle = getattr(stream, name)
                break
    if not isinstance(handle, int) or isinstance(handle, bool) or handle < 0:
        raise OptionError(
            "expected a CUDA stream: its raw handle, or a stream of CuPy, PyTorch, PyCUDA or with __cuda_stream__; "
            f"got {stream!r}"
        )
    return handle


def _from_interface(image: Any, face: dict[str, Any]) -> DeviceImage:
    if face.get("mask") is not None:
        raise ImageError("expected an image without a mask in its __cuda_array_interface__")
    strides = face.get("strides")
    dtype = np.dtype(face["typestr"]).name
    return _described(image, face["data"][0], dtype, tuple(face["shape"]), None if strides is None else tuple(strides))


def _is_dlpack_on_gpu(image: Any) -> bool:
    return hasattr(image, "__dlpack_device__") and image.__dlpack_device__()[0] in (_CUDA, _CUDA_MANAGED)


def _from_dlpack(image: Any, stream: int) -> DeviceImage:
    """Describe an image by DLPack, whose producer makes ``stream`` wait for its own.

    The capsule is kept but not consumed, so it frees its memory itself when it is deleted.
    """
    capsule = image.__dlpack__(stream=stream or _LEGACY)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = _DLTensor.from_address(pointer(capsule, b"dltensor"))
    dtype = f"{_TYPES.get(tensor.code, 'something of bits: ')}{tensor.bits}"
    if tensor.lanes != 1:
        dtype += f"×{tensor.lanes}"
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = None
    if tensor.strides:  # counted in elements, which are one byte for accepted types
        strides = tuple(tensor.strides[: tensor.ndim])
    return _described((image, capsule), (tensor.data or 0) + tensor.byte_offset, dtype, shape, strides)


def _described(
    owner: Any, address: int, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...] | None
) -> DeviceImage:
    check_image(dtype, shape)
    height, width, channels = (*shape, 1)[:3]
    row, column, channel = (*(strides or (width * channels, channels, 1)), 0)[:3]
    return DeviceImage(owner, address, (row, column, channel if channels > 1 else 0), height, width)


class _DLTensor(ctypes.Structure):
    """The first fields of DLPack's DLManagedTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )
