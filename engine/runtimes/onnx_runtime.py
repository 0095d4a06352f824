"""Networks on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..contract import INPUT_CHANNELS, OUTPUT, NetworkInfo, Tensor, check_signature
from ..devices import cuda_driver, cuda_index
from ..errors import NetworkError, RuntimeMissingError
from ..network import F32, Network
from . import INSTALL, REPAIR


class OnnxRuntimeNetwork(Network):
    """An ONNX file on ONNX Runtime's CPU or CUDA provider."""

    runtime = "onnxruntime"

    def __init__(self, session: Any, info: NetworkInfo, device: str) -> None:
        self._session = session
        self.info = info
        self.device = device

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        feeds = dict(zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True))
        try:
            logits = self._session.run([OUTPUT], feeds)[0]
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes: out of memory, a size it refuses, …
            raise NetworkError(f"ONNX Runtime could not run {self!r} on {image.shape}: {error}") from error
        return self._checked(logits, image)


def open(source: Path, device: str, threads: int | None) -> OnnxRuntimeNetwork:
    """See :func:`mfp.engine.network.load_network`."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise RuntimeMissingError(f"ONNX Runtime is not installed; install it with: {INSTALL['onnxruntime']}") from None

    if not hasattr(ort, "InferenceSession"):  # what is left where one of the two packages was removed over the other
        raise RuntimeMissingError(f"ONNX Runtime is damaged; repair it with: {REPAIR}")
    chosen = _choose_device(device, ort.get_available_providers())
    options = ort.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own optimiser; errors are raised
    if threads is not None:
        options.intra_op_num_threads = threads
    providers: list[Any] = ["CPUExecutionProvider"]
    if chosen != "cpu":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": cuda_index(chosen)}))
    try:
        session = ort.InferenceSession(str(source), options, providers=providers)
        inputs, outputs = (
            {tensor.name: Tensor(tensor.shape, tensor.type == "tensor(float)") for tensor in tensors}
            for tensors in (session.get_inputs(), session.get_outputs())
        )
        properties = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes, all meaning "not this file"
        raise NetworkError(
            f"ONNX Runtime cannot load {source}: {error}. If the file is damaged, export it again with: mfp export"
        ) from error
    if chosen != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        if device == "auto":
            return open(source, "cpu", threads)
        raise RuntimeMissingError(
            f"asked for {device}, but ONNX Runtime could not start its CUDA provider and fell back to the CPU; "
            "`mfp doctor` says what is missing, or pass device='cpu'"
        )
    size = check_signature(source.name, inputs, outputs)
    return OnnxRuntimeNetwork(session, NetworkInfo.from_properties(properties, size), chosen)


def _choose_device(device: str, providers: list[str]) -> str:
    if device == "cpu":
        return device
    gpus, why = cuda_driver()
    index = cuda_index(device)
    if "CUDAExecutionProvider" not in providers:
        why = f"this ONNX Runtime has no CUDA provider; change it with: {INSTALL['onnxruntime on CUDA']}"
    elif index >= gpus:
        why = why or f"the driver offers {gpus} GPU(s)"
    else:
        return f"cuda:{index}"
    if device == "auto":
        return "cpu"
    raise RuntimeMissingError(f"asked for {device}: {why}. Pass device='cpu', or see `mfp doctor`.")
