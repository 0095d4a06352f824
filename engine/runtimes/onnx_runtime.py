"""Networks on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.device import Device
from ..contract import INPUT_CHANNELS, OUTPUT, NetworkInfo, Tensor, check_signature
from ..devices import address_of, choose_device, cuda_index, demand_primary_context, wait_for_stream
from ..errors import NetworkError, OptionError, RuntimeMissingError
from ..network import F32, Network, Options, check_precision
from ..onnx_file import read_onnx
from ..requirements import one_line
from ..worker import Worker
from .half_on_cpu import widened
from .ort_providers import CPU, engine_folder, gpu_session, library, usable_gpus
from .winograd_graph import rewritten


class OnnxRuntimeNetwork(Network):
    """An ONNX file on ONNX Runtime: CPU, CUDA, TensorRT or TensorRT for RTX."""

    def __init__(self, session: Any, info: NetworkInfo, runtime: str, device: str) -> None:
        self._session = session
        self.info = info
        self.runtime = runtime
        self.device = device

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        feeds = dict(zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True))
        try:
            logits = self._session.run([OUTPUT], feeds)[0]
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes: out of memory, a size it refuses, …
            raise NetworkError(f"ONNX Runtime could not run {self!r} on {image.shape}: {one_line(error)}") from error
        return self._checked(logits, image)

    def worker(self) -> Worker:
        if self.device == "cpu":
            raise self._not_on_gpu()
        return OnnxRuntimeWorker(self, self._session)


class OnnxRuntimeWorker(Worker):
    """Passes of an ONNX Runtime session that threads share. A pass blocks until its work on the stream is done.

    ONNX Runtime takes a stream only when a session is made. So a pass runs on the session's own stream, and keeps the
    order with the work on the caller's stream by waiting before and after.
    """

    why_eager = "ONNX Runtime runs its passes on a stream of its own, which cannot be recorded with the caller's"

    def __init__(self, network: OnnxRuntimeNetwork, session: Any) -> None:
        self._network, self._session = network, session
        self._gpu = cuda_index(network.device)
        demand_primary_context(self._gpu, "ONNX Runtime")

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        wait_for_stream(stream, self._gpu)
        arrays = (image, prev_mask, modulated_mask, clicks, logits)
        try:
            binding = self._session.io_binding()
            for name, array in zip((*INPUT_CHANNELS, OUTPUT), arrays, strict=True):
                bind = binding.bind_output if name == OUTPUT else binding.bind_input
                bind(name, "cuda", self._gpu, np.float32, tuple(array.shape), address_of(array))
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        except Exception as error:
            raise NetworkError(
                f"ONNX Runtime could not run {self._network!r} on {tuple(image.shape)}: {one_line(error)}"
            ) from error

    def graph(self, device: Device, steps: Callable[[], None], stream: int) -> None:
        return None


def open(source: Path, options: Options) -> OnnxRuntimeNetwork:
    """See :func:`mfp.engine.network.load_network`."""
    also_on_cpu = options.runtime == "onnxruntime"
    if options.device == "cpu" and not also_on_cpu:
        raise OptionError(f"{options.runtime} runs on CUDA GPUs alone; on the CPU run onnxruntime or openvino")
    ort = library()
    device, why = choose_device(options.device, *usable_gpus(ort, options.runtime))
    if device == "cpu" and not also_on_cpu:
        raise RuntimeMissingError(f"{options.runtime} finds no GPU to run on: {why}. See `mfp doctor`.")
    session = None
    if device != "cpu":
        folder = None if also_on_cpu else engine_folder(options.runtime, source)
        try:
            session = gpu_session(ort, str(source), _settings(ort, options), options.runtime, device, folder)
        except Exception as error:  # RuntimeMissingError, or one of a dozen unrelated classes of ONNX Runtime
            problem = f"{options.runtime} could not take the network to {device}: {one_line(error)}"
            if options.device != "auto" or not also_on_cpu:
                _cpu_session(ort, source, options)  # raises if the file is at fault
                raise RuntimeMissingError(f"{problem}. `mfp doctor` says what runs here.") from error
            device, why = "cpu", problem
    session = session or _cpu_session(ort, source, options)
    inputs, outputs = (
        {tensor.name: Tensor(tensor.shape, tensor.type == "tensor(float)") for tensor in tensors}
        for tensors in (session.get_inputs(), session.get_outputs())
    )
    size = check_signature(source.name, inputs, outputs)
    info = NetworkInfo.from_properties(session.get_modelmeta().custom_metadata_map, size)
    check_precision(source.name, info, options)
    network = OnnxRuntimeNetwork(session, info, options.runtime, device)
    if device == "cpu" and info.precision != "fp32" and options.device == "auto":
        why = f"{why}; {info.precision} is imitated there for checking, an fp32 file is faster"
    network.choice = why
    return network


def _settings(ort: Any, options: Options) -> Any:
    settings = ort.SessionOptions()
    settings.log_severity_level = 3  # ONNX Runtime's warnings are about its own optimiser; errors are raised
    if options.threads is not None:
        settings.intra_op_num_threads = options.threads
    return settings


def _cpu_session(ort: Any, source: Path, options: Options) -> Any:
    model, filters = _for_cpu(source)
    if filters:
        with suppress(Exception):  # fall back to the original file; its error message is the one to report
            return _start(ort, model, filters, options)
        model = str(source)
    try:
        return _start(ort, model, {}, options)
    except Exception as error:  # one of a dozen unrelated classes, all meaning "not this file"
        raise NetworkError(
            f"ONNX Runtime cannot load {source}: {one_line(error)}. "
            "If the file is damaged, export it again with: mfp export"
        ) from error


def _start(ort: Any, model: str | bytes, filters: dict[str, F32], options: Options) -> Any:
    settings = _settings(ort, options)
    if filters:
        settings.add_external_initializers(
            list(filters), [ort.OrtValue.ortvalue_from_numpy(values) for values in filters.values()]
        )
    return ort.InferenceSession(model, settings, providers=[CPU], enable_fallback=0)


def _for_cpu(source: Path) -> tuple[str | bytes, dict[str, F32]]:
    """The model for the CPU provider (the file's path, or bytes of a rewritten graph), and its separate weights."""
    try:
        model, info = read_onnx(source)
    except NetworkError:  # opening the file raises it with a better message
        return str(source), {}
    if info.precision != "fp32":
        return widened(model).SerializeToString(), {}
    try:
        found = rewritten(model)
    except Exception:  # any class: use the file unchanged
        found = None
    if found is None:
        return str(source), {}
    del model  # free it before another copy is made
    return found[0].SerializeToString(), found[1]
