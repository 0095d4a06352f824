"""Networks on TensorRT and on TensorRT for RTX: plans, and ONNX files through the engine cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.device import Device, device_for
from ..contract import INPUT_CHANNELS, OUTPUT
from ..devices import address_of, choose_device, cuda_driver, cuda_index, use_gpu
from ..errors import NetworkError, OptionError, RuntimeMissingError
from ..network import F32, PLAN, Network, Options, check_precision
from ..plans.build_on_demand import cached_plan
from ..plans.flavour import ELSEWHERE, open_flavour, why_not_on_this_gpu
from ..plans.plan_file import rebuild_command
from ..plans.tensorrt_plan import OpenedPlan
from ..requirements import INSTALL
from ..worker import Worker


class TensorRTNetwork(Network):
    """A plan on a GPU. Workers share the engine; each has its own execution context.

    Attributes:
        plan: the opened plan.
        where: the device in whose CUDA context the plan was opened, and runs.
    """

    def __init__(self, plan: OpenedPlan, where: Device) -> None:
        self.runtime, self.device, self.info = plan.flavour.name, f"cuda:{where.context.gpu}", plan.info
        self.plan, self.where = plan, where
        self._thread = threading.local()

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        mine, where = self._thread, self.where
        if not hasattr(mine, "worker"):
            mine.worker, mine.stream, mine.buffers = TensorRTWorker(self), where.new_stream(), []
        if not mine.buffers or mine.buffers[0].shape != image.shape:
            mine.buffers = []
            mine.buffers = self._buffers(image.shape)
        stream = mine.stream.ptr
        for buffer, array in zip(mine.buffers, (image, prev_mask, modulated_mask, clicks), strict=False):
            where.copy_in(buffer, np.ascontiguousarray(array), stream)
        mine.worker.enqueue(*mine.buffers, stream)
        logits = mine.buffers[-1]
        host = where.pinned(logits.nbytes)
        where.copy_out(host, logits, stream)
        where.synchronize(stream)
        return self._checked(host.view(np.float32).reshape(logits.shape).copy(), image)

    def worker(self) -> TensorRTWorker:
        if device_for(self.where.context.gpu) is not self.where:
            raise OptionError(
                f"{self!r} was loaded in another CUDA context than the one that is current in this thread, and neither "
                "sees the other's memory: load it while the application's context is current"
            )
        return TensorRTWorker(self)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Check an image's shape N×3×H×W against the plan's profile.

        Raises:
            OptionError: the shape is outside the profile.
        """
        smallest, largest = self.plan.profile
        sides = (shape[0], *shape[2:])
        if not all(low <= side <= high for low, side, high in zip(smallest, sides, largest, strict=True)):
            raise OptionError(
                f"this plan takes (batch, height, width) from {smallest} to {largest}, got {sides}. Build one for "
                f"more: {rebuild_command(self.plan.metadata)} --batches … --sizes …"
            )

    def _buffers(self, shape: tuple[int, ...]) -> list[Any]:
        """Arrays for a pass, in the GPU's memory: inputs and logits."""
        self.check_shape(shape)
        try:
            return [
                self.where.empty((shape[0], channels, *shape[2:]), np.float32)
                for channels in (*INPUT_CHANNELS.values(), 1)
            ]
        except MemoryError as error:
            raise NetworkError(f"{self!r} has no GPU memory for {shape}: {error}") from error


class TensorRTWorker(Worker):
    """An execution context, the shape it is set to, and the memory it works in."""

    def __init__(self, network: TensorRTNetwork) -> None:
        self._network, self._plan, self._where = network, network.plan, network.where
        with self._where.current():
            self._context = self._plan.new_context()
        self._shape: tuple[int, ...] | None = None
        self._memory: Any = None  # only for TensorRT for RTX; TensorRT allocates its own

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        shape = tuple(image.shape)
        first = shape != self._shape
        arrays = (image, prev_mask, modulated_mask, clicks, logits)
        with self._where.current():
            accepted = self._set_shape(shape, stream) if first else True
            for name, array in zip((*INPUT_CHANNELS, OUTPUT), arrays, strict=True):
                accepted &= self._context.set_tensor_address(name, address_of(array))
            if not accepted or not self._context.execute_async_v3(stream):
                self._shape = None
                raise NetworkError(f"TensorRT could not run {self._network!r} on {shape}: {self._plan.complaints}")
        if first:
            self._shape = shape
            self._plan.remember(shape)

    def graph(self, device: Device, steps: Callable[[], None], stream: int) -> Callable[[int], None] | None:
        if self._plan.flavour.is_rtx and not self._context.is_stream_capturable(stream):
            self.why_eager = (
                f"passes of {self._plan.path} allocate memory, which a CUDA graph cannot hold. Build it again with: "
                f"{rebuild_command(self._plan.metadata)} --flavour tensorrt-rtx"
            )
            return None
        launch = device.graph(steps, stream)

        def launch_and_keep(stream: int, worker: TensorRTWorker = self) -> None:
            launch(stream)  # works in the memory of the worker's execution context

        return launch_and_keep

    def _set_shape(self, shape: tuple[int, ...], stream: int) -> bool:
        """Set the context's shape. Call it only when the shape changes: TensorRT then infers every shape again."""
        self._network.check_shape(shape)
        self._shape = None
        accepted = all(
            self._context.set_input_shape(name, (shape[0], channels, *shape[2:]))
            for name, channels in INPUT_CHANNELS.items()
        )
        if accepted and self._plan.flavour.is_rtx:
            self._where.synchronize(stream)  # a pass of the previous shape may still be using the memory
            needed = self._context.update_device_memory_size_for_shapes()
            self._memory = None
            self._memory = self._where.empty(max(needed, 1), np.uint8)
            self._context.set_device_memory(self._where.address(self._memory), needed)
        return accepted


def open(source: Path, options: Options) -> TensorRTNetwork:
    """See :func:`mfp.engine.network.load_network`."""
    if options.threads is not None:
        raise OptionError("a number of threads is for CPUs, TensorRT runs on a GPU: leave it out")
    if options.device == "cpu":
        raise OptionError("TensorRT runs on CUDA GPUs alone; on the CPU run onnxruntime or openvino")
    device, why = choose_device(options.device, *cuda_driver())
    if device == "cpu":
        raise RuntimeMissingError(
            f"TensorRT finds no GPU to run on: {why}. See `mfp doctor`; without a GPU, run the .onnx file on "
            "onnxruntime or openvino"
        )
    if find_spec("cupy") is None:
        raise RuntimeMissingError(f"TensorRT's networks take their memory from CuPy: {INSTALL['cupy']}")
    index = cuda_index(device)
    use_gpu(index)
    where = device_for(index)
    path = source
    if source.suffix.lower() != PLAN:
        # "tensorrt" means either variant: TensorRT if it is installed, else TensorRT for RTX
        flavour = open_flavour("tensorrt-rtx" if options.runtime == "tensorrt-rtx" else "auto")
        if flavour.is_rtx and (why := why_not_on_this_gpu(flavour)):
            raise RuntimeMissingError(f"{why} {ELSEWHERE}")
        path = cached_plan(source, flavour=flavour.name, device=index)
    plan = OpenedPlan(path, index)
    if plan.flavour.name == "tensorrt" and options.runtime == "tensorrt-rtx":
        raise NetworkError(f"{source} is a plan of tensorrt, not of tensorrt-rtx; load it with runtime='auto'")
    check_precision(source.name, plan.info, options)
    network = TensorRTNetwork(plan, where)
    network.choice = why
    return network
