"""Half-precision files on a CPU: casts in the graph, so that every result is rounded as on a GPU.

ONNX Runtime's CPU provider has no half-precision convolutions. It computes FP16 convolutions in FP32 and omits the
rounding between them. An FP16 file would thus give better masks on the CPU than on the GPU it was made for, and would
hide an overflow. BF16 convolutions are not supported at all. The provider keeps explicit casts, so this module adds
them around each node: FP32 arithmetic, half-precision numbers between the nodes, which is what tensor cores compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NetworkError

if TYPE_CHECKING:
    import onnx

_MOVES_ONLY = frozenset({"Cast", "Shape", "Size"})  # run on half-precision tensors as they are


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with FP32 nodes between explicit casts, for ONNX Runtime's CPU provider.

    Raises:
        NetworkError: the types of the network's tensors cannot be inferred.
    """
    import onnx
    from onnx import TensorProto, helper

    half_types = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # onnx raises a C++ class
        raise NetworkError(f"the types of the file's tensors are not consistent: {error}. Convert it again.") from error
    half = {
        value.name: value.type.tensor_type.elem_type
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type in half_types
    } | {tensor.name: tensor.data_type for tensor in model.graph.initializer if tensor.data_type in half_types}
    wide: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type in _MOVES_ONLY:
            continue
        for i, name in enumerate(node.input):
            if name in half:
                node.input[i] = f"{name}/wide"
                if name not in wide:
                    wide.add(name)
                    nodes.insert(-1, helper.make_node("Cast", [name], [node.input[i]], to=TensorProto.FLOAT))
        for i, name in enumerate(node.output):
            if name in half:
                node.output[i] = f"{name}/exact"
                nodes.append(helper.make_node("Cast", [node.output[i]], [name], to=half[name]))
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:], result.graph.value_info[:]
    result.graph.node.extend(nodes)
    return result
