"""The kernels on the CPU: the twin of ``kernels.device.Device`` that works on NumPy memory and needs no GPU."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
FLAGS = ("-std=c++20", "-pthread", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")


def compile_cpp(source: Path, output: Path, *flags: str, kernels: Path = KERNELS) -> Path:
    """Compile one C++ file around the shim and the kernels. Raises RuntimeError with what the compiler says."""
    folders = f"-I{HERE}", f"-I{kernels}"
    command = [os.environ.get("CXX", "g++"), *FLAGS, *flags, *folders, str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return output


def compiler() -> str | None:
    """Path of the C++ compiler, or None."""
    return shutil.which(os.environ.get("CXX", "g++"))


class HostKernels:
    """The kernels as a library.

    Args:
        library: path of the shared object made from ``kernels.cpp``.
    """

    def __init__(self, library: Path) -> None:
        self._launch = ctypes.CDLL(str(library)).mfp_launch
        self._launch.argtypes = [ctypes.c_char_p, *[ctypes.c_int] * 4, ctypes.POINTER(ctypes.c_void_p)]

    def launch(self, kernel: str, args: tuple, blocks: int, items: int, threads: int, backward: bool = False) -> None:
        """Run one kernel to its end.

        Args:
            args: as for ``Device.launch``: 0-d structured arrays by value, ints as addresses, np.int32 values.
            blocks, items: the grid. threads: of a block, a multiple of 32 up to 1024.
            backward: run the blocks from the last to the first.
        """
        if threads % 32 or not 32 <= threads <= 1024:
            raise ValueError(f"expected threads per block in multiples of 32 from 32 to 1024, got {threads}")
        held = [np.array(value, np.uint64 if type(value) is int else None) for value in args]
        pointers = (ctypes.c_void_p * len(held))(*(value.ctypes.data for value in held))
        if self._launch(kernel.encode(), blocks, items, threads, backward, pointers):
            raise ValueError(f"there is no kernel {kernel!r} in tests/host_cuda/kernels.cpp")


@dataclass(frozen=True)
class HostStream:
    ptr: int


class HostDevice:
    """Memory, copies, launches and graphs as on a GPU, on the host.

    New memory is full of 0xff (no numbers, as floats), so that what reads it unset is found out. Every access is held
    against the memory that is alive when it happens.

    Args:
        threads: of a block. blocks: the largest grid. backward: the last block runs first; CUDA promises no order.
        deferred: keep what is put on a stream until ``synchronize``, as a GPU may, so that whoever looks at results,
            or writes over what is still to be copied, before he has waited is found out.
    """

    def __init__(
        self,
        kernels: HostKernels,
        threads: int = 64,
        blocks: int = 4,
        backward: bool = False,
        deferred: bool = False,
    ) -> None:
        self._kernels = kernels
        self._threads, self._blocks = threads, blocks
        self._backward, self._deferred = backward, deferred
        self._alive: dict[int, int] = {}  # address → bytes
        self._queues: dict[int, list[Callable[[], None]]] = {}
        self._streams = itertools.count(2)  # 0 and 1 are names of the default stream
        self._recording = threading.local()
        self.graphs = 0  #: recorded so far
        self.launches = 0  #: kernels run so far

    def load(self) -> None:
        pass

    def current(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def empty(self, shape, dtype):
        if np.dtype(dtype).kind not in "biufc":
            raise TypeError(f"CuPy has no structures: expected bytes for them, got {np.dtype(dtype)}")
        array = np.empty(shape, dtype)
        ctypes.memset(array.ctypes.data, 0xFF, array.nbytes)
        if array.nbytes:
            self._alive[array.ctypes.data] = array.nbytes
            weakref.finalize(array, self._alive.pop, array.ctypes.data)
        return array

    def pinned(self, nbytes: int):
        return self.empty(nbytes, np.uint8)

    def address(self, array) -> int:
        return int(array.ctypes.data)

    def why_out_of_reach(self, address: int) -> str:
        return ""  # all of the host's memory is in reach

    def copy_in(self, target, source, stream: int) -> None:
        if not self._is_alive(self.address(source), source.nbytes):
            self._must_not_record("a copy from memory that is not pinned")
            source = source.copy()  # as CUDA does before the call returns
        self._copy(target, source, stream)

    def copy_out(self, target, source, stream: int) -> None:
        if not self._is_alive(self.address(target), target.nbytes):
            self._must_not_record("a copy to memory that is not pinned")
        self._copy(target, source, stream)

    def copy(self, target, source, stream: int) -> None:
        self._copy(target, source, stream)

    def clear(self, array, stream: int) -> None:
        address, nbytes = self.address(array), self._contiguous(array).nbytes

        def run() -> None:
            self._check(address, nbytes)
            ctypes.memset(address, 0, nbytes)

        self._put(run, stream)

    def launch(self, kernel: str, args: tuple, work: int, stream: int, items: int = 1) -> None:
        frozen = tuple(value if type(value) is int else np.array(value) for value in args)
        blocks = max(min(-(-work // self._threads), self._blocks), 1)

        def run() -> None:
            self._kernels.launch(kernel, frozen, blocks, items, self._threads, self._backward)
            self.launches += 1

        self._put(run, stream)

    def record(self, step: Callable[[], None], stream: int) -> None:
        """Any other work on ``stream``, a network's pass say."""
        self._put(step, stream)

    def new_stream(self) -> HostStream:
        return HostStream(next(self._streams))

    def synchronize(self, stream: int) -> None:
        self._must_not_record("synchronize")
        for step in self._queues.pop(stream, []):
            step()

    def graph(self, steps: Callable[[], None], stream: int) -> Callable[[int], None]:
        """Records what ``steps`` puts on ``stream``, with arguments and addresses as they are now."""
        self._must_not_record("a graph")
        if stream in (0, 1):
            raise ValueError("the default stream cannot be recorded: expected a stream of its own")
        recorded: list[Callable[[], None]] = []
        self._recording.steps, self._recording.stream = recorded, stream
        try:
            steps()
        finally:
            del self._recording.steps
        self.graphs += 1

        def launch(stream: int) -> None:
            for step in recorded:
                self._put(step, stream)

        return launch

    def used_bytes(self) -> int:
        """Of what :meth:`empty` and :meth:`pinned` have given out and somebody still holds."""
        return sum(list(self._alive.values()))

    def release(self) -> None:
        pass

    def _put(self, step: Callable[[], None], stream: int) -> None:
        if type(stream) is not int:
            raise TypeError(f"expected a stream as a number, got {stream!r}")
        if hasattr(self._recording, "steps"):
            if stream != self._recording.stream:
                raise RuntimeError(f"stream {self._recording.stream} is recorded, got work for stream {stream}")
            self._recording.steps.append(step)
        elif self._deferred:
            self._queues.setdefault(stream, []).append(step)
        else:
            step()

    def _copy(self, target, source, stream: int) -> None:
        if target.nbytes != source.nbytes:
            raise ValueError(f"expected as many bytes from as to, got {source.nbytes} to {target.nbytes}")
        nbytes = self._contiguous(target).nbytes
        here, there = self.address(target), self.address(self._contiguous(source))
        # Memory of the application's own stays alive by this; memory from here must be kept by who asked for it.
        foreign = {at: array for at, array in ((here, target), (there, source)) if not self._is_alive(at, nbytes)}

        def run() -> None:
            for at in (here, there):
                if at not in foreign:
                    self._check(at, nbytes)
            ctypes.memmove(here, there, nbytes)

        self._put(run, stream)

    def _must_not_record(self, what: str) -> None:
        if hasattr(self._recording, "steps"):
            raise RuntimeError(f"{what} cannot be recorded in a graph")

    def _is_alive(self, address: int, nbytes: int) -> bool:
        blocks = list(self._alive.items())  # a copy: other threads allocate and free meanwhile
        return any(start <= address and address + nbytes <= start + size for start, size in blocks)

    def _check(self, address: int, nbytes: int) -> None:
        if not self._is_alive(address, nbytes):
            raise RuntimeError(f"{nbytes} bytes at {address:#x} do not lie in this device's memory, or no longer")

    @staticmethod
    def _contiguous(array):
        if not array.flags.c_contiguous:
            raise ValueError(f"expected contiguous memory, got shape {array.shape} with strides {array.strides}")
        return array
