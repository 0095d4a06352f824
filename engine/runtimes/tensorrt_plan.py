"""Networks on TensorRT and on TensorRT for RTX: plans, and ONNX files through the engine cache."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..contract import INPUT_CHANNELS, OUTPUT
from ..devices import choose_device, cuda_driver, cuda_index, device_arrays, use_gpu
from ..errors import NetworkError, OptionError, RuntimeMissingError
from ..network import F32, PLAN, Network, Options, check_precision
from ..plans.cached import cached_plan
from ..plans.container import rebuild_command
from ..plans.opened import OpenedPlan
from . import INSTALL


class TensorRTNetwork(Network):
    """A plan on a GPU. The engine is shared; an execution context serves one stream of one thread.

    A context works in memory of its own, so two passes of one context must not overlap: on one stream they cannot.
    """

    def __init__(self, plan: OpenedPlan, gpu: int) -> None:
        self.runtime, self.device, self.info = plan.flavour.name, f"cuda:{gpu}", plan.info
        self._plan, self._gpu = plan, gpu
        self._thread = threading.local()

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        import cupy

        use_gpu(self._gpu)
        self._check_shape(image.shape)
        mine = self._thread
        if not hasattr(mine, "stream"):
            mine.stream = cupy.cuda.Stream(non_blocking=True)
        with mine.stream:
            buffers = self._buffers(image.shape)
            for name, array in zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True):
                buffers[name].set(np.ascontiguousarray(array))
            self._execute({name: buffer.data.ptr for name, buffer in buffers.items()}, image.shape, mine.stream.ptr)
            logits: F32 = buffers[OUTPUT].get()
        return self._checked(logits, image)

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        arrays = device_arrays(image, prev_mask, modulated_mask, clicks, logits)
        shape = arrays["image"].shape
        self._check_shape(shape)
        use_gpu(self._gpu)
        self._execute({name: array.pointer for name, array in arrays.items()}, shape, stream)

    def _buffers(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """This thread's arrays on the GPU, kept while the shape stays."""
        import cupy

        mine = self._thread
        if getattr(mine, "buffers_shape", None) != shape:
            try:
                mine.buffers = {
                    name: cupy.empty((shape[0], channels, *shape[2:]), cupy.float32)
                    for name, channels in {**INPUT_CHANNELS, OUTPUT: 1}.items()
                }
            except cupy.cuda.memory.OutOfMemoryError as error:
                raise NetworkError(f"{self!r} has no GPU memory for {shape}: {error}") from error
            mine.buffers_shape = shape
        buffers: dict[str, Any] = mine.buffers
        return buffers

    def _execute(self, addresses: dict[str, int], shape: tuple[int, ...], stream: int) -> None:
        contexts: dict[int, _Context] = self._thread.__dict__.setdefault("contexts", {})
        if stream not in contexts:
            contexts[stream] = _Context(self._plan.new_context())
        context = contexts[stream]
        first = context.shape != shape
        accepted = True
        if first:  # only when they change: TensorRT then infers every shape anew
            context.shape = None
            for name, channels in INPUT_CHANNELS.items():
                accepted &= context.trt.set_input_shape(name, (shape[0], channels, *shape[2:]))
        for name, address in addresses.items():
            accepted &= context.trt.set_tensor_address(name, address)
        if not accepted or not context.trt.execute_async_v3(stream):
            raise NetworkError(f"TensorRT could not run {self!r} on {shape}: {self._plan.complaints}")
        context.shape = shape
        if first:
            self._plan.remember(shape)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        smallest, largest = self._plan.profile
        sides = (shape[0], *shape[2:])
        if not all(low <= side <= high for low, side, high in zip(smallest, sides, largest, strict=True)):
            raise OptionError(
                f"this plan takes (batch, height, width) from {smallest} to {largest}, got {sides}. Build one for "
                f"more: {rebuild_command(self._plan.metadata)} --batches … --sizes …"
            )


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
    path = source
    if source.suffix.lower() != PLAN:
        # "tensorrt" is the family: TensorRT itself where it is installed, else TensorRT for RTX
        flavour = "tensorrt-rtx" if options.runtime == "tensorrt-rtx" else "auto"
        path = cached_plan(source, flavour=flavour, device=index)
    plan = OpenedPlan(path, index)
    if plan.flavour.name == "tensorrt" and options.runtime == "tensorrt-rtx":
        raise NetworkError(f"{source} is a plan of tensorrt, not of tensorrt-rtx; load it with runtime='auto'")
    check_precision(source.name, plan.info, options)
    network = TensorRTNetwork(plan, index)
    network.choice = why
    return network


@dataclass
class _Context:
    """An execution context and the shape it is set to."""

    trt: Any
    shape: tuple[int, ...] | None = None
