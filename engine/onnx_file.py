"""Reader of ONNX files that needs no runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .contract import PREFIX, NetworkInfo, check_signature, graph_tensors
from .errors import NetworkError

if TYPE_CHECKING:
    import onnx


def read_onnx(path: Path) -> tuple[onnx.ModelProto, NetworkInfo]:
    """Read an ONNX file and its metadata, checked against the contract.

    Raises:
        NetworkError: the file is missing, is no ONNX file, has weights in other files, or breaks the contract.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import uses_external_data

    if not path.is_file():
        raise NetworkError(
            f"expected a network file, got a folder: {path}" if path.is_dir() else f"no such file: {path}"
        )
    try:
        model = onnx.load(path, load_external_data=False)
        next(entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    except (DecodeError, OSError, StopIteration, TypeError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path} is no ONNX file ({error}). Export one with: mfp export") from None
    if any(uses_external_data(tensor) for tensor in model.graph.initializer):
        raise NetworkError(f"{path} keeps weights in other files; expected one file with all. Export it again.")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = graph_tensors(value for value in model.graph.input if value.name not in weights)
    size = check_signature(path.name, inputs, graph_tensors(model.graph.output))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    half = {onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}
    kinds = {half.get(tensor.data_type) for tensor in model.graph.initializer} - {None}
    if len(kinds) == 1:  # files of other exporters have no such entry
        properties.setdefault(PREFIX + "precision", str(kinds.pop()))
    return model, NetworkInfo.from_properties(properties, size)
