"""Clean-up of an exported ONNX graph: folds constants, removes leftovers and shape arithmetic of fixed resizes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from ..engine.contract import check_signature, graph_tensors
from ..engine.errors import ExportError
from ..engine.version import __version__

LEFTOVERS = frozenset({"BatchNormalization", "Dropout", "Identity", "Constant"})  # folding must have removed these


def clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold and simplify a graph. The result computes the same and holds only operators of the ONNX standard."""
    model = _folded(model)
    if _resizes_to_scales(model):
        model = _folded(model)  # removes the shape arithmetic that nothing reads any more
    _drop_unread(model.graph)
    used = {node.domain for node in model.graph.node}
    for entry in [entry for entry in model.opset_import if entry.domain not in used]:
        model.opset_import.remove(entry)
    del model.graph.value_info[:]  # belongs to the draft; shape inference writes it again
    return model


def finished(model: onnx.ModelProto, properties: Mapping[str, str]) -> onnx.ModelProto:
    """The model with ``properties`` as its metadata, after ONNX's strictest checks.

    Raises:
        ExportError: the checks find a fault.
    """
    try:
        onnx.helper.set_model_props(model, dict(properties))
        model.producer_name, model.producer_version = "mfp-engine", __version__
        onnx.checker.check_model(model, full_check=True)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # the checker's own classes
        raise ExportError(f"the graph does not pass ONNX's checker: {error}") from error
    check_signature("the graph", graph_tensors(model.graph.input), graph_tensors(model.graph.output))
    return model


def leftovers(model: onnx.ModelProto) -> list[str]:
    """Operators in the graph that a finished graph must not hold, including all outside the ONNX standard."""
    return sorted({node.op_type for node in model.graph.node if node.op_type in LEFTOVERS or node.domain})


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimisation, which folds constants and removes nodes without effect.

    The result does not depend on the machine.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(model, source)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return onnx.load(target)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes whose results nothing reads; ONNX Runtime leaves them in place."""
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # the graph is sorted topologically, so readers come first here
        if not read.isdisjoint(node.output):
            kept.append(node)
            read.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _resizes_to_scales(model: onnx.ModelProto) -> int:
    """Give resizes between known sizes constant scales; return their number.

    The exporter writes a target size. Because the batch is open, the graph computes that size from the input's
    shape at every run, with a chain of small nodes before each of HRNet's 35 resizes.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    known = {
        value.name: _spatial(value)
        for value in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    }
    changed = 0
    for node in model.graph.node:
        source, target = known.get(node.input[0]), known.get(node.output[0])
        if node.op_type != "Resize" or source is None or target is None:
            continue
        scales = np.array([1, 1, *(_scale(a, b) for a, b in zip(source, target, strict=True))], np.float32)
        name = f"{node.output[0]}_scales"
        model.graph.initializer.append(numpy_helper.from_array(scales, name))
        del node.input[1:]
        node.input.extend(["", name])
        changed += 1
    return changed


def _scale(source: int, target: int) -> np.float32:
    """The smallest float32, not below ``target / source``, whose product with ``source`` is at least ``target``.

    Runtimes and shape inference take the floor of that product, some in float32, others in double.
    """
    scale: np.float32 = np.float32(target / source)
    while min(float(np.float32(source) * scale), source * float(scale)) < target:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _spatial(value: onnx.ValueInfoProto) -> tuple[int, int] | None:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != 4 or not (dims[2].HasField("dim_value") and dims[3].HasField("dim_value")):
        return None
    return dims[2].dim_value, dims[3].dim_value
