"""CUDA contexts, through the driver directly: no CUDA package is needed."""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import TracebackType
from typing import Any

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

_UNCHANGED = nullcontext()
_here = threading.local()  # .handle: handle of the context whose ``with`` block this thread is in, else 0
_CONTEXT, _IS_MANAGED, _DEVICE_ORDINAL = 1, 8, 9  # CU_POINTER_ATTRIBUTE_…


@cache
def driver() -> ctypes.CDLL:
    """Load the driver's library.

    Raises:
        OSError: the driver is not installed.
    """
    return ctypes.CDLL(LIBRARY)


class Context:
    """A CUDA context: an address space on one GPU. Modules, memory and streams belong to one and work in no other.

    Args:
        gpu: number of the context's GPU.
        handle: raw handle, ``CUcontext``.

    Attributes:
        id: number that is unique in this process; unlike a handle, it is never reused after the context is destroyed.
    """

    def __init__(self, gpu: int, handle: int) -> None:
        self.gpu, self.handle = gpu, handle
        number = ctypes.c_ulonglong()
        _check(driver().cuCtxGetId(ctypes.c_void_p(handle), ctypes.byref(number)), f"GPU {gpu}")
        self.id = number.value

    def current(self) -> AbstractContextManager[None]:
        """Make it current in this thread; the end of the ``with`` block restores the previous one."""
        # A click calls this five times, each inside the first one's block, and a driver query takes a microsecond.
        return _UNCHANGED if getattr(_here, "handle", 0) == self.handle else _Current(self.handle)

    def use(self) -> None:
        """Make it current in this thread permanently."""
        _check(driver().cuCtxSetCurrent(ctypes.c_void_p(self.handle)), f"GPU {self.gpu}")

    @property
    def is_primary(self) -> bool:
        """Whether it is the GPU's primary context, which CUDA's runtime, and so PyTorch, works in."""
        return self.handle == _primary(self.gpu)


def context_for(gpu: int) -> Context:
    """The context that is current in this thread if it is on that GPU, else the GPU's primary context.

    Raises:
        RuntimeError: the driver is missing, or refuses.
    """
    try:
        cuda = driver()
    except OSError as error:
        raise RuntimeError(f"no NVIDIA driver: {error}") from None
    device = ctypes.c_int()
    _check(cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), gpu), f"GPU {gpu}")
    theirs, handle = ctypes.c_int(-1), current_handle()
    if handle:
        _check(cuda.cuCtxGetDevice(ctypes.byref(theirs)), f"GPU {gpu}")
    return Context(gpu, handle if theirs.value == device.value else _primary(gpu))


def why_out_of_reach(address: int, context: Context) -> str:
    """The reason why kernels of a context cannot read an address; empty if they can."""
    gpu, theirs, managed = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint()
    pointer = ctypes.c_uint64(address)

    def ask(attribute: int, answer: Any) -> int:
        status: int = driver().cuPointerGetAttribute(ctypes.byref(answer), attribute, pointer)
        return status

    if ask(_DEVICE_ORDINAL, gpu):
        return "is no memory that the NVIDIA driver knows of"
    if not ask(_IS_MANAGED, managed) and managed.value:
        return ""
    if gpu.value != context.gpu:
        return f"lies on GPU {gpu.value}, the network on GPU {context.gpu}"
    # Memory of CUDA's own pools, and memory that was mapped in pieces, belongs to no context.
    if not ask(_CONTEXT, theirs) and theirs.value not in (None, context.handle):
        return "belongs to another CUDA context than the one that is current in this thread"
    return ""


def current_handle() -> int:
    """The ``CUcontext`` that is current in this thread; 0 if none is."""
    handle = ctypes.c_void_p()
    driver().cuCtxGetCurrent(ctypes.byref(handle))
    return handle.value or 0


@cache
def _primary(gpu: int) -> int:
    """Handle of a GPU's primary context, retained from now on."""
    cuda, device, handle = driver(), ctypes.c_int(), ctypes.c_void_p()
    status = cuda.cuDeviceGet(ctypes.byref(device), gpu)
    _check(status or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(handle), device), f"GPU {gpu}")
    return handle.value or 0


class _Current:
    """Context manager that makes this context current within its ``with`` block."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._pushed, self._before = False, 0

    def __enter__(self) -> None:
        if current_handle() != self._handle:
            _check(driver().cuCtxPushCurrent_v2(ctypes.c_void_p(self._handle)), "a CUDA context")
            self._pushed = True
        self._before = getattr(_here, "handle", 0)
        _here.handle = self._handle

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _here.handle = self._before
        if self._pushed:
            driver().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


def _check(status: int, what: str) -> None:
    if status:
        raise RuntimeError(f"the NVIDIA driver does not give {what} (CUDA error {status})")
