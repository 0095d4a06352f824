"""Networks in PyTorch: the reference that exported networks are compared with."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

from ...kernels.device import RECORDING, Device
from ..contract import NetworkInfo
from ..devices import address_of, choose_device, cuda_index, demand_primary_context
from ..errors import NetworkError, OptionError, RuntimeMissingError
from ..network import F32, Network, Options
from ..requirements import INSTALL
from ..worker import Worker


class TorchNetwork(Network):
    """A PyTorch module that meets the network contract, in evaluation mode.

    PyTorch's own switches control how a GPU computes in FP32; by default convolutions round their inputs to TF32.

    Attributes:
        module: the caller's module, or a copy of it if the device, the precision or the mode differ.
    """

    def __init__(self, module: Any, options: Options, device: str) -> None:
        import torch

        self.runtime = options.runtime
        self.device = device
        precision = options.precision or "fp32"
        spec = module.spec
        self.info = NetworkInfo(
            backbone=spec.name,
            size=None if spec.any_size else spec.size,
            precision=precision,
            n_early=spec.n_early,
            r_max=spec.r_max,
            weights=module.weights,
            exporter="PyTorch",
        )
        self._half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
        placed = all(tensor.device == torch.device(device) for tensor in module.state_dict().values())
        if self._half is not None or module.training or not placed:
            module = deepcopy(module)
        self.module = module.eval().to(device)
        if self._half is not None:
            _halve(self.module, self._half)
        self._run = torch.compile(self.module) if self.runtime == "torch-compile" else self.module
        self._idle_queues: list[Any] = []

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        import torch

        with torch.inference_mode():
            tensors = [torch.from_numpy(a).to(self.device) for a in (image, prev_mask, modulated_mask, clicks)]
            logits: F32 = self.run(*tensors).cpu().numpy()
        return self._checked(logits, image)

    def worker(self) -> Worker:
        if self.device == "cpu":
            raise self._not_on_gpu()
        return TorchWorker(self)

    def lend_queue(self, worker: TorchWorker) -> Any:
        """One of PyTorch's streams, lent for as long as the worker lives."""
        import torch

        idle = self._idle_queues
        queue = idle.pop() if idle else torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        weakref.finalize(worker, idle.append, queue)
        return queue

    def run(self, *tensors: Any) -> Any:
        """Run one pass on tensors in the device's memory, and return float32 logits."""
        import torch

        with ExitStack() as stack:
            if self._half is not None:
                stack.enter_context(torch.autocast(self.device.partition(":")[0], dtype=self._half))
            try:
                return self._run(*tensors).float()
            except Exception as error:  # RuntimeError or a similar class, depending on the fault
                shape = tuple(tensors[0].shape)
                if self.runtime == "torch-compile" and _is_of_compiler(error):
                    raise RuntimeMissingError(
                        f"torch.compile could not compile {self!r}: {_first_line(error)}. It needs a C++ compiler for "
                        'the CPU and Triton for a GPU; runtime="torch" needs neither.'
                    ) from error
                raise NetworkError(f"PyTorch could not run {self!r} on {shape}: {_first_line(error)}") from error


class TorchWorker(Worker):
    """Passes of a module. All workers share the module; memory between layers comes from PyTorch's own pool.

    A pass runs on the worker's own stream, and the caller's stream waits for it. PyTorch keeps a workspace for matrix
    products for every stream that it has ever seen, 32 MiB on an H100, and a graph writes to the workspace of the
    stream it was recorded on. On the callers' streams, memory would grow with the number of streams, and two graphs
    could use the same workspace at once.
    """

    def __init__(self, network: TorchNetwork) -> None:
        demand_primary_context(cuda_index(network.device), "PyTorch")
        self._network = network
        self._queue = network.lend_queue(self)
        self._addresses: tuple[int, ...] = ()
        self._tensors: list[Any] = []
        self._recorded: weakref.ref[Any] | None = None  # the graph recorded last

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        import torch

        *inputs, out = self._as_tensors((image, prev_mask, modulated_mask, clicks, logits))
        callers = self._callers_queue(stream)
        self._queue.wait_stream(callers)
        try:
            with torch.inference_mode(), torch.cuda.stream(self._queue):
                result = self._network.run(*inputs)
                if result.shape != out.shape:
                    raise NetworkError(
                        f"{self._network!r} gave logits of {tuple(result.shape)}, expected {tuple(out.shape)}"
                    )
                out.copy_(result)
        finally:  # a recording cannot end while a part of its work is on another stream
            callers.wait_stream(self._queue)

    def graph(self, device: Device, steps: Callable[[], None], stream: int) -> Callable[[int], None]:
        import torch

        # The graph is recorded through PyTorch, because PyTorch's memory pool must know of it. Graphs of one worker
        # never run at the same time, so they share memory; PyTorch allows that with a graph that still exists.
        last = None if self._recorded is None else self._recorded()
        pool = None if last is None else last.pool()
        graph, queue = torch.cuda.CUDAGraph(), self._callers_queue(stream)
        # The outer stream statement restores the current stream if an error prevents the inner one from doing so.
        # "thread_local": what other threads do meanwhile does not break the recording.
        recording = torch.cuda.graph(graph, pool, queue, capture_error_mode="thread_local")
        with RECORDING, torch.cuda.stream(queue), recording:
            steps()
        self._recorded = weakref.ref(graph)

        def launch(stream: int, worker: TorchWorker = self) -> None:
            with torch.cuda.stream(worker._callers_queue(stream)):
                graph.replay()

        return launch

    def _as_tensors(self, arrays: tuple[Any, ...]) -> list[Any]:
        """The arrays as tensors, kept until other arrays come, so that none is made while a graph is recorded."""
        import torch

        addresses = tuple(address_of(array) for array in arrays)
        shapes = [tuple(array.shape) for array in arrays]
        if addresses != self._addresses or shapes != [tuple(tensor.shape) for tensor in self._tensors]:
            self._tensors = [
                torch.as_tensor(_Face(address, shape)) for address, shape in zip(addresses, shapes, strict=True)
            ]
            self._addresses = addresses
            for tensor in self._tensors:
                if str(tensor.device) != self._network.device:
                    self._addresses = ()
                    raise OptionError(
                        f"expected arrays on {self._network.device}, where the network is, got one on {tensor.device}"
                    )
        return self._tensors

    def _callers_queue(self, stream: int) -> Any:
        """The caller's stream as a PyTorch object."""
        import torch

        # 0 and 1 are CUDA's handles of the default stream, but PyTorch takes an odd number for a stream of its pool.
        if stream in (0, 1):
            return torch.cuda.default_stream(self._network.device)
        return torch.cuda.ExternalStream(stream, self._network.device)  # type: ignore[no-untyped-call]


class _Face:
    """CUDA array interface of a float32 array in a GPU's memory, for PyTorch. It does not keep the owner alive."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": "<f4", "data": (address, False), "strides": None, "version": 3, "stream": None,
        }  # fmt: skip


def _halve(module: Any, dtype: Any) -> None:
    """Store the weights of convolutions and matrix products in half precision, for passes under autocast.

    Autocast without this gives the same logits to the bit, but keeps FP32 weights and rounds them again in every pass.
    A module that is all half precision is as accurate on seeded networks, but computes the sums of its normalisations
    and softmax on numbers of at most 65,504, which trained activations can exceed; autocast computes those in FP32.
    """
    import torch

    for part in module.modules():
        if isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)):
            part.to(dtype)


def _is_of_compiler(error: Exception) -> bool:
    """Return whether torch.compile itself failed, not the network on these arrays."""
    from torch._dynamo.exc import TorchDynamoException, TorchRuntimeError

    return isinstance(error, TorchDynamoException) and not isinstance(error, TorchRuntimeError)


def _first_line(error: Exception) -> str:
    """First line of an error's text. The rest is the compiler's own trace, or hints about its switches."""
    return str(error).partition("\n")[0]


def open(source: Any, options: Options) -> TorchNetwork:
    """See :func:`mfp.engine.network.load_network`."""
    try:
        import torch
    except ImportError:
        raise RuntimeMissingError(f"PyTorch is not installed; install it with: {INSTALL['torch']}") from None

    if options.threads is not None:
        raise OptionError("PyTorch's threads are one setting a process: call torch.set_num_threads() instead")
    why = "" if torch.version.cuda else "this PyTorch was built without CUDA"
    device, why = choose_device(options.device, torch.cuda.device_count(), why or "PyTorch finds no CUDA GPU")
    if options.precision == "bf16" and device != "cpu":
        with torch.cuda.device(cuda_index(device)):
            if not torch.cuda.is_bf16_supported(including_emulation=False):
                raise RuntimeMissingError(f"{device} does not compute in BF16 (GPUs from 2020 on do); load in fp16")
    if isinstance(source, Path):
        # The only place where the engine imports a package above it, by name: only export/ can turn a checkpoint into a
        # module.
        source = import_module("mfp.export.checkpoint").load(source)
    network = TorchNetwork(source, options, device)
    network.choice = why
    return network
