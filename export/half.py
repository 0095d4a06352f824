"""Graph rewriter: makes the convolutions and matrix products of an FP32 ONNX graph run in half precision.

The result is strongly typed: TensorRT builds exactly the types in the graph, without any builder flag. Inputs and
outputs stay float32. These nodes become half:

- convolutions and matrix products;
- nodes that move or combine their results (:data:`FOLLOWERS`), if one of their inputs is half already.

All others stay FP32: normalisations, softmax and reductions, everything between the last convolution and the output,
and every node that the caller names (see :mod:`mfp.export.ranges`).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper

from ..engine.contract import MATRIX_OPERATORS
from ..engine.errors import ExportError

ELEMENT_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_COMBINE = {
    "Add",
    "Clip",
    "Div",
    "Erf",
    "Gelu",
    "LeakyRelu",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Relu",
    "Sub",
    "Where",
}
_MOVE = {"Concat", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile"}
_POOL = {"AveragePool", "MaxPool", "Resize"}
FOLLOWERS = frozenset(_COMBINE | _MOVE | _POOL | {"Transpose", "Unsqueeze"})
_READ_ANY_TYPE = frozenset({"Shape", "Size"})


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model, in the form that the other functions of this module expect.

    Types are inferred, every node has a unique name, and weights are not inputs.

    Raises:
        ExportError: the graph has control flow or operators of unknown type, or is in half precision already.
    """
    model = _plain(onnx.inliner.inline_local_functions(model) if model.functions else model)
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # ONNX raises a C++ class of its own
        raise ExportError(f"the types of the graph's tensors are not consistent: {error}") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]  # weights need no inputs
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # first version in which weights need not be inputs
    values = [*model.graph.value_info, *model.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    if set(types.values()) & set(ELEMENT_TYPES.values()):
        raise ExportError("expected an FP32 network, found one in half precision. Convert the FP32 file.")
    taken: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ExportError(f"expected a graph without control flow, found {node.op_type} {node.name!r}")
        if unknown := [name for name in node.output if name and not types.get(name)]:
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise ExportError(
                f"ONNX does not know the type of {unknown[0]}, which {operator} {node.name!r} gives; expected a graph "
                "of ONNX's own operators, as mfp export writes it"
            )
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{i}"
        taken.add(node.name)
    return model


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with FP32 weights instead of weights stored in FP16 behind a Cast, as in packaged files."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in result.graph.initializer}
    kept = []
    for node in result.graph.node:
        stored = weights.get(node.input[0]) if node.op_type == "Cast" else None
        if stored is None or node.attribute[0].i != TensorProto.FLOAT:
            kept.append(node)
            continue
        wide = numpy_helper.to_array(stored).astype(np.float32)
        result.graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
    read = {name for node in kept for name in node.input}
    left = [tensor for tensor in result.graph.initializer if tensor.name in read]
    for field, values in ((result.graph.node, kept), (result.graph.initializer, left)):
        del field[:]
        field.extend(values)
    return result


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 tensors of a prepared graph: inputs, weights and node outputs."""
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT} | {
        tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT
    }


def data_inputs(node: onnx.NodeProto) -> list[str]:
    """The leading inputs of a node that share its type.

    For a resize this is only the first: its scales are always float32.
    """
    return list(node.input[:1] if node.op_type == "Resize" else node.input)


def half_nodes(model: onnx.ModelProto, keep_fp32: Collection[str] = ()) -> set[str]:
    """Names of the nodes that become half.

    Args:
        model: model from :func:`prepared`.
        keep_fp32: names of nodes that stay FP32 in any case.
    """
    floats = float_tensors(model)
    kept = set(keep_fp32) | _tail(model)
    half: set[str] = set()
    half_tensors: set[str] = set()
    for node in model.graph.node:  # sorted topologically: a node's inputs are decided before the node
        if node.name in kept or node.output[0] not in floats:
            continue
        follows = node.op_type in FOLLOWERS and not half_tensors.isdisjoint(data_inputs(node))
        if node.op_type in MATRIX_OPERATORS or follows:
            half.add(node.name)
            half_tensors.update(node.output)
    return half


def to_half(model: onnx.ModelProto, precision: str, keep_fp32: Collection[str] = ()) -> onnx.ModelProto:
    """The graph in half precision, with at most one cast per tensor and direction.

    Args:
        model: model from :func:`prepared`; it is not changed.
        precision: ``"fp16"`` or ``"bf16"``.
        keep_fp32: names of nodes that stay FP32.
    """
    element = ELEMENT_TYPES[precision]
    half, floats = half_nodes(model, keep_fp32), float_tensors(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    graph_outputs = {value.name for value in model.graph.output}
    nodes: list[onnx.NodeProto] = []
    given_half: set[str] = set()  # names of tensors that are half
    added: dict[str, onnx.TensorProto] = {}  # half copies of weights
    casts: set[str] = set()

    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}

    new_names: dict[tuple[str, str], str] = {}

    def named(name: str, kind: str) -> str:
        """An unused name, the same at every call."""
        if (name, kind) not in new_names:
            other = f"{name}_{kind}"
            while other in taken:
                other += "_"
            taken.add(other)
            new_names[name, kind] = other
        return new_names[name, kind]

    def in_type(name: str, as_half: bool) -> str:
        """The name of a float tensor in this type; adds a cast or a half copy of a weight where needed."""
        if as_half == (name in given_half):
            return name
        other = named(name, precision if as_half else "fp32")
        if name in weights:
            added.setdefault(other, _half_weight(weights[name], element, other))
        elif other not in casts:
            casts.add(other)
            to = element if as_half else TensorProto.FLOAT
            nodes.append(helper.make_node("Cast", [name], [other], f"{other}/Cast", to=to))
        return other

    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        as_half = node.name in half
        if node.op_type not in _READ_ANY_TYPE:
            for i, name in enumerate(data_inputs(node)):
                if name in floats:
                    node.input[i] = in_type(name, as_half)
        nodes.append(node)
        for i, name in enumerate(node.output if as_half else ()):
            if name in graph_outputs:  # the network's outputs stay float32
                node.output[i] = named(name, precision)
                casts.add(node.output[i])  # the copy that half nodes read
                nodes.append(helper.make_node("Cast", [node.output[i]], [name], f"{name}/Cast", to=TensorProto.FLOAT))
            else:
                given_half.add(name)

    result = onnx.ModelProto()
    result.CopyFrom(model)
    read = {name for node in nodes for name in node.input}
    for field, values in (
        (result.graph.node, nodes),
        (result.graph.initializer, [t for t in (*weights.values(), *added.values()) if t.name in read]),
        (result.graph.value_info, []),
    ):
        del field[:]
        field.extend(values)
    return result


def _tail(model: onnx.ModelProto) -> set[str]:
    """The nodes between the last matrix operators and the outputs, such as the final resize."""
    producer = {name: node for node in model.graph.node for name in node.output}
    names = [value.name for value in model.graph.output]
    tail: set[str] = set()
    while names:
        node = producer.get(names.pop())
        if node is not None and node.op_type not in MATRIX_OPERATORS and node.name not in tail:
            tail.add(node.name)
            names.extend(node.input)
    return tail


def _half_weight(tensor: onnx.TensorProto, element: int, name: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):  # values that FP16 cannot hold are found by the range check
        half = values.astype(helper.tensor_dtype_to_np_dtype(element))
    return onnx.TensorProto(
        name=name, data_type=element, dims=tensor.dims, raw_data=np.ascontiguousarray(half).tobytes()
    )
