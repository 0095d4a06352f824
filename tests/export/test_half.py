"""Half-precision graphs: which nodes change, what stays, that the result is a valid graph of the same network."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mfp.engine.contract import MATRIX_OPERATORS
from mfp.engine.errors import ExportError
from mfp.engine.runtimes.half_on_cpu import widened
from mfp.export.half import half_nodes, prepared, to_half

PRECISIONS = ["fp16", "bf16"]
ELEMENT = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def graph_of(nodes, weights, opset=22):
    """A graph from x (N×4×8×8) to y, float32."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, 8, 8]) for name in "xy")
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model, x):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )[0]


def checked(model):
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def types(model):
    values = [*checked(model).graph.value_info, *model.graph.input, *model.graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in model.graph.initializer
    }


def conv(name, source, target, weight="w"):
    return helper.make_node("Conv", [source, weight], [target], name, pads=[1, 1, 1, 1])


W = {"w": np.random.default_rng(0).normal(0, 0.17, (4, 4, 3, 3)).astype(np.float32)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_convolutions_become_half_and_the_rest_follows_or_stays(precision):
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squared"], "before"),  # on the input: stays float32
        conv("c1", "squared", "a"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Softmax", ["b"], ["p"], "softmax", axis=1),
        helper.make_node("Mul", ["p", "b"], ["q"], "follows"),
        conv("c2", "q", "r"),
        helper.make_node("Neg", ["r"], ["y"], "last"),
    ]
    model = prepared(graph_of(nodes, W))
    assert half_nodes(model) == {"c1", "relu", "follows", "c2"}
    half = to_half(model, precision)
    kinds = types(half)
    assert kinds["x"] == kinds["y"] == kinds["p"] == kinds["squared"] == TensorProto.FLOAT
    assert kinds["a"] == kinds["b"] == kinds["q"] == kinds["r"] == ELEMENT[precision]
    assert [tensor.data_type for tensor in half.graph.initializer] == [ELEMENT[precision]]  # no float32 copy is kept


def test_what_leaves_the_network_is_float32_where_a_convolution_gives_it():
    nodes = [conv("c1", "x", "y"), conv("c2", "y", "unread")]
    half = to_half(prepared(graph_of(nodes, W)), "fp16")
    assert types(half)["y"] == TensorProto.FLOAT
    assert half.graph.node[-1].op_type == "Conv"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_tensor_is_cast_once_a_direction(precision):
    nodes = [
        conv("c1", "x", "a"),
        conv("c2", "x", "b"),
        helper.make_node("Softmax", ["a"], ["s"], "s1"),
        helper.make_node("Exp", ["a"], ["e"], "e1"),
        helper.make_node("Add", ["s", "e"], ["f"], "f1"),
        conv("c3", "f", "c"),
        conv("c4", "f", "d"),
        helper.make_node("Sum", ["b", "c", "d"], ["y"], "sum"),
    ]
    half = to_half(prepared(graph_of(nodes, W)), precision)
    casts = [(node.input[0], node.attribute[0].i) for node in half.graph.node if node.op_type == "Cast"]
    assert len(casts) == len(set(casts))
    assert {name for name, _ in casts} == {"x", "a", "f", "b", "c", "d"}


def test_scales_of_a_resize_stay_float32():
    nodes = [
        conv("c1", "x", "a"),
        helper.make_node("Resize", ["a", "", "scales"], ["b"], "resize", mode="linear"),
        helper.make_node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("c2", "c", "y"),
    ]
    model = prepared(graph_of(nodes, {**W, "scales": np.array([1, 1, 2, 2], np.float32)}))
    assert {"resize", "pool"} < half_nodes(model)
    assert types(to_half(model, "fp16"))["scales"] == TensorProto.FLOAT


def nodes_of(operator, source, other, out):
    """Nodes that compute ``out`` (N×4×8×8) by this operator."""
    make, name = helper.make_node, f"n{out}"
    return {
        "Conv": [conv(name, source, out)],
        "Relu": [make("Relu", [source], [out], name)],
        "Add": [make("Add", [source, other], [out], name)],
        "Concat": [
            make("Concat", [source, other], [f"{out}c"], name, axis=1),
            make("Slice", [f"{out}c", "two", "six", "one"], [out], f"{name}s"),
        ],
        "Softmax": [make("Softmax", [source], [out], name, axis=1)],
        "Transpose": [make("Transpose", [source], [out], name, perm=[0, 1, 3, 2])],
        "Split": [
            make("Split", [source], [f"{out}a", f"{out}b"], name, axis=1, num_outputs=2),
            make("Concat", [f"{out}b", f"{out}a"], [out], f"{name}c", axis=1),
        ],
        "MaxPool": [make("MaxPool", [source], [out], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
        "Clip": [make("Clip", [source, "", "high"], [out], name)],
    }[operator]


OPERATORS = ["Conv", "Relu", "Add", "Concat", "Softmax", "Transpose", "Split", "MaxPool", "Clip"]


@given(st.data())
def test_any_chain_stays_a_valid_graph_and_close(data):
    """Random graphs, random nodes kept in float32, both precisions."""
    tensors, nodes = ["x"], []
    for i, operator in enumerate(data.draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=12))):
        source, other = (data.draw(st.sampled_from(tensors)) for _ in range(2))
        nodes += nodes_of(operator, source, other, f"t{i}")
        tensors.append(f"t{i}")
    nodes.append(helper.make_node("Identity", [tensors[-1]], ["y"], "end"))
    numbers = {name: np.array([value]) for name, value in (("two", 2), ("six", 6), ("one", 1))}
    model = prepared(graph_of(nodes, {**W, **numbers, "high": np.float32(50)}))
    kept = data.draw(st.sets(st.sampled_from([node.name for node in model.graph.node])))
    precision = data.draw(st.sampled_from(PRECISIONS))
    half = to_half(model, precision, kept)
    checked(half)
    assert half_nodes(model, kept).isdisjoint(kept)
    x = np.random.default_rng(1).random((2, 4, 8, 8), dtype=np.float32)
    expected, found = run(model, x), run(widened(half), x)
    assert np.abs(found - expected).max() <= (0.02 if precision == "fp16" else 0.16) * max(1.0, np.abs(expected).max())


def test_with_every_node_kept_nothing_changes():
    model = prepared(graph_of([conv("c1", "x", "a"), helper.make_node("Relu", ["a"], ["y"], "r")], W))
    assert to_half(model, "fp16", {"c1", "r"}).graph == model.graph.__class__.FromString(
        _without_types(model).SerializeToString()
    )


def _without_types(model):
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    del graph.value_info[:]
    return graph


def test_nodes_without_a_name_get_one_and_the_callers_model_stays():
    model = graph_of([conv("", "x", "a"), conv("twice", "a", "b"), conv("twice", "b", "y")], W)
    before = model.SerializeToString()
    names = [node.name for node in prepared(model).graph.node]
    assert len(set(names)) == 3
    assert all(names)
    assert model.SerializeToString() == before


def test_control_flow_and_half_files_are_refused():
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    condition = helper.make_node("If", ["c"], ["y"], "if", then_branch=branch, else_branch=branch)
    with pytest.raises(ExportError, match="control flow, found If 'if'"):
        prepared(graph_of([condition], {"c": np.array(True)}))
    with pytest.raises(ExportError, match="half precision"):
        prepared(to_half(prepared(graph_of([conv("c1", "x", "a"), conv("c2", "a", "y")], W)), "fp16"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_on_a_cpu_every_result_is_rounded(precision):
    """ONNX Runtime alone leaves the rounding out, and would carry 1.2e5 from one FP16 convolution to the next."""
    weights = {"up": np.full((4, 4, 1, 1), 3e4, np.float32), "down": np.full((4, 4, 1, 1), 1e-4, np.float32)}
    nodes = [helper.make_node("Conv", ["x", "up"], ["a"], "c1"), helper.make_node("Conv", ["a", "down"], ["y"], "c2")]
    half = to_half(prepared(graph_of(nodes, weights)), precision)
    found = run(widened(half), np.full((1, 4, 8, 8), 1.003, np.float32))
    if precision == "fp16":
        assert np.isinf(found).all()
    else:
        assert np.isfinite(found).all()
        assert (found == found.astype(np.float32)).all()
        assert not (found.view(np.uint32) & 0xFFFF).any()  # bfloat16: the upper half of a float32


def test_matrix_operators_are_what_the_contract_says():
    assert {"Conv", "MatMul", "Gemm", "ConvTranspose"} == MATRIX_OPERATORS


def test_weights_that_are_inputs_too_and_names_that_are_taken():
    nodes = [conv("c1", "x", "x_fp16"), helper.make_node("Softmax", ["x_fp16"], ["w_fp16"], "s", axis=1)]
    nodes += [conv("c2", "w_fp16", "y")]
    model = graph_of(nodes, W)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4, 3, 3]))
    model.ir_version = 3
    half = to_half(prepared(model), "fp16")
    checked(half)
    assert [value.name for value in half.graph.input] == ["x"]
    x = np.random.default_rng(1).random((2, 4, 8, 8), dtype=np.float32)
    assert np.abs(run(widened(half), x) - run(model, x)).max() < 0.01


def test_operators_that_onnx_does_not_know_are_refused():
    nodes = [conv("c1", "x", "a"), helper.make_node("Gelu", ["a"], ["b"], "g", domain="com.microsoft")]
    model = graph_of([*nodes, conv("c2", "b", "y")], W)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ExportError, match=r"com\.microsoft\.Gelu 'g'"):
        prepared(model)
