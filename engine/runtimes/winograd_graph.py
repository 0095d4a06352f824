"""Graph rewriter that computes a network's wide 3×3 convolutions by Winograd's filtering (:mod:`.winograd`).

After such a convolution, tensors are rows (pixels × N × C, each tensor with its own order of pixels) as long as more of
these convolutions, 1×1 convolutions, ReLUs and sums follow; other nodes get them as N×C×H×W again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import winograd
from .winograd import NOWHERE, READS, Convolution, Order, transforms, where

if TYPE_CHECKING:
    import onnx

F32 = NDArray[np.float32]
Rows = tuple[str, Order]

_OPSET = 13  # first opset in which the operators take their operands in the form used below
_SMALL = 64  # elements of the largest constant that shapes may be computed from


def rewritten(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, F32]] | None:
    """The same network with its wide 3×3 convolutions computed by Winograd's filtering.

    Rewritten are convolutions of stride 1, in one group, with constant float32 filters, of inputs whose height and
    width follow from the network's own, in a graph without subgraphs. All other nodes stay unchanged.

    Returns:
        The network, which shares no memory with ``model``, and its transformed filters (36×C×K, float32) by name. In
        the network these are external data, which a session has to be given. None if there is nothing to rewrite.
    """
    from onnx import shape_inference

    graph = model.graph
    if (
        not any(entry.domain in ("", "ai.onnx") and entry.version >= _OPSET for entry in model.opset_import)
        or model.functions
        or any(attribute.type in (attribute.GRAPH, attribute.GRAPHS) for n in graph.node for attribute in n.attribute)
        or not any(list(tensor.dims[2:]) == [3, 3] and min(tensor.dims) > 1 for tensor in graph.initializer)
    ):
        return None
    try:
        known = shape_inference.infer_shapes(_skeleton(model), check_type=True, strict_mode=True, data_prop=True)
    except Exception:  # a C++ class: the graph is inconsistent, which the runtime shall report
        return None
    rewriter = _Rewriter(graph, known.graph)
    if not rewriter.pays:
        return None
    return rewriter.network(model), rewriter.filters


class _Rewriter:
    """One pass over a graph's nodes, in order. A tensor exists as rows, as N×C×H×W, or as both if both are read."""

    def __init__(self, graph: onnx.GraphProto, known: onnx.GraphProto) -> None:
        self._graph = graph
        given = {value.name for value in graph.input}  # in old files includes weights, which a caller may replace
        self._weights = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given}
        self._shapes = {
            value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
            for value in [*known.value_info, *known.input, *known.output]
        }
        self._convolutions = {node.output[0]: self._understood(node) for node in graph.node if _is(node, "Conv")}
        understood = [found for found in self._convolutions.values() if found is not None]
        paying = sum(found.work for found in understood if found.pays)
        self.pays = paying > 0 and paying >= winograd.MIN_SHARE * sum(found.work for found in understood)
        self.filters: dict[str, F32] = {}

        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._rows: dict[str, Rows] = {}
        self._padded: dict[str, str] = {}
        self._only_rows: set[str] = set()
        self._prefix = "winograd"
        while any(name.startswith(self._prefix) for name in (*self._shapes, *self._weights, *_names(graph))):
            self._prefix += "_"

    def network(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The whole network, rewritten."""
        import onnx

        for node in self._graph.node:
            if self._as_rows(node):
                self._only_rows.add(node.output[0])
            else:
                for name in node.input:
                    self._bring_back(name)
                self._nodes.append(node)
        for value in self._graph.output:
            self._bring_back(value.name)

        read = {name for node in self._nodes for name in node.input} | {value.name for value in self._graph.output}
        result = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
        result.metadata_props.extend(model.metadata_props)
        result.graph.name = self._graph.name
        result.graph.input.extend(self._graph.input)
        result.graph.output.extend(self._graph.output)
        result.graph.node.extend(self._nodes)
        result.graph.initializer.extend(t for t in self._graph.initializer if t.name in read)
        result.graph.initializer.extend(self._constants.values())
        result.graph.sparse_initializer.extend(self._graph.sparse_initializer)
        for name, filters in self.filters.items():
            tensor = result.graph.initializer.add(name=name, dims=filters.shape, data_type=onnx.TensorProto.FLOAT)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=self._prefix)  # not a file: sessions are given the filters
        return result

    def _understood(self, node: onnx.NodeProto) -> Convolution | None:
        """The node as a convolution that this module can rewrite, whether that pays or not; None for any other node."""
        from onnx import TensorProto, helper

        source, size = (self._shapes.get(name, []) for name in (node.input[0], node.output[0]))
        filters, *bias = (self._weights.get(name) for name in node.input[1:] if name)
        if len(source) != 4 or len(size) != 4 or filters is None or None in bias:
            return None
        if any(tensor is None or tensor.data_type != TensorProto.FLOAT for tensor in (filters, *bias)):
            return None
        (_, c, *inner), (_, k, *outer), side = source, size, filters.dims[-1]
        said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        pads, steps = said.get("pads", [0] * 4), said.get("dilations", [1, 1])
        if (
            None in (c, k, *inner, *outer)
            or list(filters.dims) not in ([k, c, 3, 3], [k, c, 1, 1])  # also ensures that there is one group
            or said.get("auto_pad", b"NOTSET") != b"NOTSET"
            or said.get("group", 1) != 1
            or said.get("strides", [1, 1]) != [1, 1]
            or said.get("kernel_shape", [side, side]) != [side, side]
            or min(*pads, *(step - 1 for step in steps)) < 0
            or (side == 1 and any(pads))
            or any(inner[i] + pads[i] + pads[i + 2] - steps[i] * (side - 1) != outer[i] for i in (0, 1))
        ):
            return None
        biased = node.input[2] if len(node.input) > 2 else ""
        before, after = ([side or 0 for side in sides] for sides in (inner, outer))
        return Convolution(node.input[1], biased, tuple(filters.dims), before, after, pads[:2], steps)

    def _as_rows(self, node: onnx.NodeProto) -> bool:
        """Write a node on rows if that is possible, and its inputs are rows already or worth making; return whether."""
        there = [name for name in node.input if name in self._rows]
        if _is(node, "Conv"):
            convolution = self._convolutions[node.output[0]]
            if convolution is None or not (convolution.pays or (convolution.shape[2] == 1 and there)):
                return False
            way = self._winograd if convolution.pays else self._pointwise
            rows, order = way(self._rows_of(node.input[0]), convolution)
            if convolution.bias:
                rows = self._node("Add", rows, convolution.bias)
        elif _is(node, "Relu") and there:
            rows, order = self._rows[node.input[0]]
            rows = self._node("Relu", rows)
        elif _is(node, "Add") and there:
            shapes = [self._shapes.get(name, [None])[1:] for name in (*node.input, *node.output)]
            if len(shapes[0]) != 3 or None in shapes[0] or shapes.count(shapes[0]) != 3:
                return False
            order = self._rows[there[0]][1]
            rows = self._node("Add", *(self._in_order(name, order) for name in node.input))
        else:
            return False
        self._rows[node.output[0]] = rows, order
        return True

    def _winograd(self, source: Rows, convolution: Convolution) -> Rows:
        (rows, order), (reads, gives) = source, convolution.tiles()
        k, c = convolution.shape[:2]
        a, g, b = transforms()
        taps = self._weight(convolution.filters).transpose(2, 3, 1, 0).reshape(9, c * k)
        filters = f"{self._prefix}/filters_{len(self.filters)}"
        self.filters[filters] = (np.kron(g, g).astype(np.float32) @ taps).reshape(READS**2, c, k)

        if rows not in self._padded:
            self._padded[rows] = self._node("Pad", rows, self._integers(0, 0, 0, 1, 0, 0))  # a row of zeros at the end
        tiles = self._node("Gather", self._padded[rows], self._constant(where(reads, order)), axis=0)
        tiles = self._node("Reshape", tiles, self._integers(READS**2, -1))
        tiles = self._node("MatMul", self._constant(np.kron(b, b).astype(np.float32)), tiles)
        tiles = self._node("Reshape", tiles, self._integers(READS**2, -1, c))
        tiles = self._node("MatMul", tiles, filters)
        tiles = self._node("Reshape", tiles, self._integers(READS**2, -1))
        tiles = self._node("MatMul", self._constant(np.kron(a, a).astype(np.float32)), tiles)
        return self._node("Reshape", tiles, self._integers(len(gives), -1, k)), gives

    def _pointwise(self, source: Rows, convolution: Convolution) -> Rows:
        rows, order = source
        matrix = self._weight(convolution.filters)[:, :, 0, 0].T
        return self._node("MatMul", rows, self._constant(np.ascontiguousarray(matrix))), order

    def _rows_of(self, name: str) -> Rows:
        """A tensor as rows, made from N×C×H×W if there are none yet."""
        if name not in self._rows:
            channels, height, width = self._sizes(name)
            pixels = self._node("Reshape", name, self._integers(0, channels, height * width))
            self._rows[name] = self._node("Transpose", pixels, perm=[2, 0, 1]), np.arange(height * width)
        return self._rows[name]

    def _in_order(self, name: str, wanted: Order) -> str:
        """A tensor as rows in a given order."""
        rows, order = self._rows_of(name)
        if np.array_equal(order, wanted):
            return rows
        index = where(wanted, order)
        index[wanted == NOWHERE] = 0  # any row will do
        return self._node("Gather", rows, self._constant(index), axis=0)

    def _bring_back(self, name: str) -> None:
        """Write a tensor as N×C×H×W, under its own name, if it exists only as rows."""
        if name not in self._only_rows:
            return
        channels, height, width = self._sizes(name)
        rows = self._node("Transpose", self._in_order(name, np.arange(height * width)), perm=[1, 2, 0])
        self._node("Reshape", rows, self._integers(0, channels, height, width), result=name)
        self._only_rows.remove(name)

    def _sizes(self, name: str) -> tuple[int, ...]:
        """C, H and W of a tensor that is, or can be, rows."""
        return tuple(side or 0 for side in self._shapes[name][1:])

    def _node(self, operator: str, *inputs: str, result: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = f"{self._prefix}/{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [result or name], name, **attributes))
        return result or name

    def _weight(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        return numpy_helper.to_array(self._weights[name])

    def _integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _constant(self, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"{self._prefix}/constant_{len(self._constants)}")
        return self._constants[key].name


def _is(node: onnx.NodeProto, operator: str) -> bool:
    return node.op_type == operator and node.domain in ("", "ai.onnx")


def _names(graph: onnx.GraphProto) -> list[str]:
    return [name for node in graph.node for name in (node.name, *node.output)]


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network without its large weights, for shape inference.

    It also lacks the shapes that the file states for tensors other than inputs, because those may be wrong.
    """
    import onnx
    from onnx import helper

    result = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = result.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    for value in model.graph.output:
        graph.output.append(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, None))
    inputs = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return result
