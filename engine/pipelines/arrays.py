"""What an application brings along: images in a GPU's memory, used where they are, and streams."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from ...kernels.device import Device
from ..errors import ImageError, OptionError
from ..image import check_image

_LEGACY = 1  # the default stream's name where 0 would be ambiguous: in both protocols
_CUDA, _CUDA_MANAGED = 2, 13  # kinds of memory in DLPack
_TYPES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool"}  # DLPack's codes


class DeviceImage(NamedTuple):
    """A uint8 image in a GPU's memory.

    Attributes:
        owner: keeps the memory alive.
        address: of the first pixel's first channel.
        strides: bytes from row to row, column to column and channel to channel; the last is 0 for a grey image.
        height, width: pixels.
    """

    owner: Any
    address: int
    strides: tuple[int, ...]
    height: int
    width: int


def is_on_device(image: Any) -> bool:
    """Whether an image says of itself that it lies in a GPU's memory."""
    return hasattr(image, "__cuda_array_interface__") or _is_dlpack_on_gpu(image)


def as_device_image(image: Any, device: Device, stream: int) -> DeviceImage:
    """An image in a GPU's memory as the kernels read it: in place, whatever its strides.

    Work on ``stream`` from here on runs after the work that writes the image, as far as the image says on which stream
    that is: CuPy, Numba and all with DLPack do. PyCUDA does not; there write it on ``stream`` too, or wait first.

    Args:
        image: anything with ``__cuda_array_interface__`` or DLPack, uint8: H×W×3 RGB; H×W or H×W×1 grey; H×W×4 RGBA,
            whose alpha is ignored.
        device: on the GPU that the image must lie on.
        stream: raw handle.

    Raises:
        ImageError: another type or shape, an empty image, a masked one, or memory that the device does not reach.
    """
    face = getattr(image, "__cuda_array_interface__", None)
    # Only from version 3 on does that interface speak of streams; PyTorch keeps to version 2.
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
    """A CUDA stream's raw handle.

    Args:
        stream: a raw handle, or a stream of CuPy, PyTorch, PyCUDA or anything with ``__cuda_stream__``.

    Raises:
        OptionError: it is none of these.
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
    """By DLPack, whose producer makes the stream wait for its own.

    The capsule is kept, not taken over: when it goes, it frees what it holds by itself.
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
    if tensor.strides:  # in elements, of one byte where the type is accepted
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
    """The beginning of DLPack's DLManagedTensor."""

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
