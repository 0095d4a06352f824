"""CUDA access for the kernels, through CuPy: a context's memory, copies, launches and graphs."""

from __future__ import annotations

import ctypes
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .cubin import cubin, source
from .driver import Context, context_for, why_out_of_reach

THREADS = 256  # threads per block
BLOCKS = 8  # maximum blocks per multiprocessor: the kernels stride over the rest

# Lock that lets a process record one graph at a time: PyTorch requires that, and starts by waiting for the whole GPU,
# which CUDA refuses during another recording.
RECORDING = threading.Lock()

_devices: dict[int, Device] = {}
_lock = threading.Lock()


def device_for(gpu: int) -> Device:
    """The :class:`Device` of the context that is current in this thread if that context is on the GPU (an application's
    own, for example), else of the GPU's primary context. There is one per context, created on first use.

    Raises:
        RuntimeError: the driver reports no such GPU.
        ImportError: CuPy is not installed.
    """
    context = context_for(gpu)
    with _lock:
        if context.id not in _devices:
            device = _devices[context.id] = Device(context)
            # Never freed, not even when Python exits: an application may have destroyed its context by then.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(device))
        return _devices[context.id]


class Device:
    """A CUDA context with the kernels loaded in it.

    Every method makes the context current while it runs. Streams are raw handles (``cudaStream_t``). Only
    :meth:`empty`, :meth:`pinned`, :meth:`new_stream`, :meth:`graph` and the first :meth:`launch` allocate memory.

    Attributes:
        context: CUDA context of the device.
    """

    def __init__(self, context: Context) -> None:
        import cupy

        self.context = context
        self._cupy, self._runtime = cupy, cupy.cuda.runtime
        self._loading = threading.Lock()
        self._functions: dict[str, Any] = {}  # kernels, loaded at the first launch
        with context.current():
            # CuPy's own pool goes by the GPU's number and gives memory of one context out in another.
            self._pool = cupy.cuda.MemoryPool()
            self._pinned = cupy.cuda.PinnedMemoryPool()
            attribute = self._runtime.cudaDevAttrMultiProcessorCount
            self._most_blocks = BLOCKS * self._runtime.deviceGetAttribute(attribute, context.gpu)

    def current(self) -> AbstractContextManager[None]:
        """Make the context current in this thread, and restore the previous one at the end."""
        return self.context.current()

    def load(self) -> None:
        """Load the kernels, and compile them if this kind of GPU has none yet. Otherwise the first launch does it.

        Raises:
            RuntimeError: NVRTC is not installed, or the kernels are refused.
        """
        with self.current(), self._loading:
            if not self._functions:
                module = self._cupy.cuda.Module()
                module.load(cubin())
                names = re.findall(r"__global__ void (\w+)", source())
                self._functions = {name: module.get_function(name) for name in names}

    def empty(self, shape: int | Sequence[int], dtype: DTypeLike) -> Any:
        """Allocate a CuPy array: not initialised, C-contiguous and aligned to 512 bytes.

        When the array is deleted its memory may be reused at once: delete it only when the streams that used it have
            passed
        that point.

        Raises:
            MemoryError: the GPU has too little free memory.
        """
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        with self.current():
            return self._cupy.ndarray(shape, dtype, memptr=self._pool.malloc(nbytes))

    def pinned(self, nbytes: int) -> NDArray[np.uint8]:
        """Allocate pinned host memory for asynchronous copies: a uint8 array of ``nbytes`` bytes.

        As for :meth:`empty`, delete the array only when copies to or from it are done.

        Raises:
            MemoryError: the host has too little free memory.
        """
        with self.current():
            try:
                memory = self._pinned.malloc(nbytes)
            except self._runtime.CUDARuntimeError as error:
                raise MemoryError(f"no {nbytes} bytes of page-locked memory: {error}") from error
        return np.frombuffer(memory, np.uint8, nbytes)

    def address(self, array: Any) -> int:
        """Address of an array of :meth:`empty`."""
        return int(array.data.ptr)

    def why_out_of_reach(self, address: int) -> str:
        """The reason why kernels cannot read memory of another owner at an address; empty if they can."""
        with self.current():
            return why_out_of_reach(address, self.context)

    def copy_in(self, target: Any, source: NDArray[Any], stream: int) -> None:
        """Copy from host to device.

        The copy is asynchronous from :meth:`pinned` memory, which must keep its contents until the stream has passed
        this point. Other memory has been read when the call returns.

        Args:
            target, source: C-contiguous arrays of the same number of bytes, as in all copies.
        """
        self._copy(target, self.address(target), source, _host_address(source), "memcpyHostToDevice", stream)

    def copy_out(self, target: NDArray[Any], source: Any, stream: int) -> None:
        """Copy from device to host; asynchronous to :meth:`pinned` memory."""
        self._copy(target, _host_address(target), source, self.address(source), "memcpyDeviceToHost", stream)

    def copy(self, target: Any, source: Any, stream: int) -> None:
        """Copy from device to device, asynchronously."""
        self._copy(target, self.address(target), source, self.address(source), "memcpyDeviceToDevice", stream)

    def clear(self, array: Any, stream: int) -> None:
        """Set all bytes of a C-contiguous array to 0, asynchronously."""
        _demand_contiguous(array)
        with self.current():
            self._runtime.memsetAsync(self.address(array), 0, array.nbytes, stream)

    def launch(self, kernel: str, args: tuple[Any, ...], work: int, stream: int, items: int = 1) -> None:
        """Put a kernel on a stream.

        Args:
            kernel: name of the kernel in the .cu files.
            args: arguments: arrays of one element by value (a LANE), ints as addresses, NumPy scalars by value.
            work: amount of work of one item, for example pixels: one thread each, up to a limit. 1 is one block.
            stream: raw handle of the stream.
            items: number of items of the batch, run in parallel.
        """
        grid = max(min(-(-work // THREADS), self._most_blocks), 1), items
        values = tuple(np.uint64(value) if type(value) is int else value for value in args)
        with self.current():
            if not self._functions:
                self.load()
            self._functions[kernel](grid, (THREADS,), values, 0, _Stream(stream))

    def new_stream(self) -> Any:
        """A CuPy stream that does not wait for the default stream; ``.ptr`` is its handle."""
        with self.current():
            return self._cupy.cuda.Stream(non_blocking=True)

    def synchronize(self, stream: int) -> None:
        """Wait until all work put on the stream has run."""
        with self.current():
            self._runtime.streamSynchronize(stream)

    def graph(self, steps: Callable[[], None], stream: int) -> Callable[[int], None]:
        """Record the work that ``steps`` puts on a stream, without running it.

        Args:
            steps: function that makes launches and copies (on the host side only pinned memory). It has run once
                before, so that everything is loaded and allocated.
            stream: raw handle of a stream; the default stream cannot be recorded.

        Returns:
            ``launch(stream)``, which runs all of it on that stream, on the same addresses and with the same arguments.
            The caller keeps their memory alive. A launch begins when the previous one is done, on any stream.
        """
        if stream in (0, 1):  # two names of the default stream
            raise ValueError("the default stream cannot be recorded: expected a stream of its own")
        runtime = self._runtime
        with self.current(), RECORDING:
            # thread-local: work of other threads meanwhile is not affected
            runtime.streamBeginCapture(stream, runtime.streamCaptureModeThreadLocal)
            try:
                steps()
            except BaseException:
                with suppress(runtime.CUDARuntimeError):  # already invalid, for the reason that is raised
                    runtime.graphDestroy(runtime.streamEndCapture(stream))
                raise
            captured = runtime.streamEndCapture(stream)
            try:
                return _Graph(self, runtime.graphInstantiate(captured))
            finally:
                runtime.graphDestroy(captured)

    def used_bytes(self) -> int:
        """Bytes of GPU memory in live arrays of :meth:`empty`."""
        with self.current():
            return int(self._pool.used_bytes())

    def release(self) -> None:
        """Return memory without a live array to the driver."""
        with self.current():
            self._pool.free_all_blocks()
            self._pinned.free_all_blocks()

    def _copy(self, target: Any, target_at: int, source: Any, source_at: int, kind: str, stream: int) -> None:
        _demand_contiguous(target)
        _demand_contiguous(source)
        if target.nbytes != source.nbytes:
            raise ValueError(f"expected a target of the source's {source.nbytes} bytes, got {target.nbytes}")
        with self.current():
            self._runtime.memcpyAsync(target_at, source_at, source.nbytes, getattr(self._runtime, kind), stream)


class _Stream(NamedTuple):
    """A stream in the form that CuPy's launches accept."""

    ptr: int


class _Graph:
    """A recorded graph, destroyed when nothing refers to it any more."""

    def __init__(self, device: Device, executable: int) -> None:
        self._device, self._executable = device, executable
        weakref.finalize(self, _destroy, device, executable).atexit = False  # CUDA may be gone by then

    def __call__(self, stream: int) -> None:
        with self._device.current():
            self._device._runtime.graphLaunch(self._executable, stream)


def _destroy(device: Device, executable: int) -> None:
    # If an application has destroyed the context, the graph was destroyed with it.
    with suppress(RuntimeError), device.current():
        device._runtime.graphExecDestroy(executable)  # CUDA waits by itself for a launch that still runs


def _host_address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _demand_contiguous(array: Any) -> None:
    if not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array, got strides {array.strides} for the shape {array.shape}")
