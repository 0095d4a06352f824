"""Convolutions by Winograd's filtering: equal to ONNX Runtime's own, whatever the geometry, and else left alone."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mfp import load_network
from mfp.engine.runtimes import winograd
from mfp.engine.runtimes.winograd import transforms
from mfp.engine.runtimes.winograd_graph import rewritten

ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="class")
def whatever_pays():
    """So that small convolutions are rewritten, too."""
    with pytest.MonkeyPatch.context() as patch:
        for limit in ("MIN_CHANNELS", "MIN_TILES", "MIN_SAVING", "MIN_SHARE"):
            patch.setattr(winograd, limit, 0)
        yield


def weights(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def network(nodes, arrays, source, outputs=("y",), opset=17, **more):
    """A model of one input ``x`` (of shape ``source``, the batch open) and of constants."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *source])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        **more,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model, x, filters=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if filters:
        options.add_external_initializers(
            list(filters), [ort.OrtValue.ortvalue_from_numpy(values) for values in filters.values()]
        )
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]).run(None, {"x": x})


def assert_same(model, x):
    """Rewritten, the model gives the same; returns the operators it is then made of."""
    before = model.SerializeToString()
    found = rewritten(model)
    assert found is not None
    assert model.SerializeToString() == before
    for mine, own in zip(run(found[0], x, found[1]), run(model, x), strict=True):
        assert mine.shape == own.shape
        np.testing.assert_allclose(mine, own, rtol=0, atol=1e-4 * max(1, own.std()))
    return [node.op_type for node in found[0].graph.node]


def test_the_transforms_filter():
    a, g, b = transforms()
    inputs, taps = weights(0, 6), weights(1, 3)
    np.testing.assert_allclose(a @ (g @ taps * (b @ inputs)), np.correlate(inputs, taps), atol=1e-6)


@pytest.mark.usefixtures("whatever_pays")
class TestProperties:
    @settings(max_examples=60)
    @given(st.data())
    def test_any_geometry(self, data):
        """Sizes that tiles overhang, dilations that differ, padding that is not symmetric, any batch."""
        number = data.draw
        k, c, batch = (number(st.integers(2, 6)) for _ in range(3))
        dilations, pads = (number(st.lists(st.integers(low, 5), min_size=n, max_size=n)) for low, n in ((1, 2), (0, 4)))
        source = [number(st.integers(max(1, 1 + 2 * dilations[i] - pads[i] - pads[i + 2]), 30)) for i in (0, 1)]
        bias = number(st.booleans())
        nodes = [
            helper.make_node("Conv", ["x", "w", *["b"] * bias], ["z"], dilations=dilations, pads=pads),
            helper.make_node(number(st.sampled_from(["Relu", "Sigmoid"])), ["z"], ["y"]),
        ]
        outputs = number(st.sampled_from([("y",), ("y", "z")]))
        model = network(nodes, {"w": weights(0, k, c, 3, 3), "b": weights(1, k)}, (c, *source), outputs)
        assert "Conv" not in assert_same(model, weights(2, batch, c, *source))

    @settings(max_examples=40)
    @given(st.data())
    def test_any_graph(self, data):
        """Chains, branches and sums of what can be rows and what cannot, read once, twice or by nobody."""
        number, channels, size = data.draw, 4, (9, 14)
        arrays, nodes, tensors = {"plane": weights(0, 1, channels, *size), "b": weights(1, channels)}, [], ["x"]
        kinds = ["wide", "pointwise", "grouped", "Relu", "Add", "plane", "Sigmoid", "GlobalAveragePool"]
        for kind in [*number(st.lists(st.sampled_from(kinds), min_size=1, max_size=9)), "wide"]:
            result, said = f"t{len(tensors)}", {}
            inputs = [number(st.sampled_from(tensors))]
            if kind == "Add":
                inputs.append(number(st.sampled_from(tensors)))
            elif kind in ("plane", "GlobalAveragePool"):
                mean = "plane"
                if kind == "GlobalAveragePool":
                    mean = f"{result}_mean"
                    nodes.append(helper.make_node(kind, inputs, [mean]))
                inputs.insert(number(st.integers(0, 1)), mean)
                kind = "Add"
            elif kind in ("wide", "pointwise", "grouped"):
                step, side, group = number(st.integers(1, 3)), 1 + 2 * (kind != "pointwise"), 1 + (kind == "grouped")
                arrays[f"{result}_w"] = weights(len(tensors), channels, channels // group, side, side) / 6
                inputs += [f"{result}_w", *["b"] * number(st.booleans())]
                if side == 3:
                    said = {"dilations": [step] * 2, "pads": [step] * 4, "group": group}
                kind = "Conv"
            nodes.append(helper.make_node(kind, inputs, [result], **said))
            tensors.append(result)
        outputs = sorted({*number(st.lists(st.sampled_from(tensors[1:]), max_size=2)), tensors[-1]})
        assert_same(network(nodes, arrays, (channels, *size), outputs), weights(2, 2, channels, *size))


@pytest.mark.usefixtures("whatever_pays")
class TestLeftAlone:
    W, X = weights(0, 4, 4, 3, 3), (4, 12, 12)

    @pytest.mark.parametrize(
        ("said", "shape"),
        [
            ({"strides": [2, 2]}, (4, 4, 3, 3)),
            ({"strides": [1, 2]}, (4, 4, 3, 3)),
            ({"group": 2}, (4, 2, 3, 3)),
            ({"group": 4}, (4, 1, 3, 3)),
            ({"auto_pad": "SAME_UPPER"}, (4, 4, 3, 3)),
            ({}, (4, 4, 5, 5)),
            ({}, (4, 4, 3, 1)),
        ],
    )
    def test_other_convolutions(self, said, shape):
        arrays = {"w": weights(0, *shape), "v": self.W}
        nodes = [helper.make_node("Conv", ["x", "w"], ["z"], **said), helper.make_node("Conv", ["z", "v"], ["y"])]
        assert rewritten(network(nodes[:1], arrays, self.X, ("z",))) is None
        assert assert_same(network(nodes, arrays, self.X), weights(1, 2, *self.X)).count("Conv") == 1

    @pytest.mark.parametrize("side", ["height", None])
    def test_sizes_that_are_open(self, side):
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
        model = network(nodes, {"w": self.W}, (4, side, 12))
        model.graph.value_info.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 12, 12]))
        assert rewritten(model) is None

    def test_what_a_file_claims_of_its_tensors(self):
        """A size that depends on values, and one that is not true."""
        nodes = [helper.make_node("Resize", ["x", "", "scales"], ["z"]), helper.make_node("Conv", ["z", "w"], ["y"])]
        model = network(nodes, {"w": self.W}, self.X, ("y", "z"))
        scales = helper.make_tensor_value_info("scales", TensorProto.FLOAT, [4])
        model.graph.input.append(scales)
        model.graph.output[1].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 4, 24, 24]))
        assert rewritten(model) is None

        nodes = [helper.make_node("MaxPool", ["x"], ["z"], kernel_shape=[2, 2]), *nodes[1:]]
        model = network(nodes, {"w": self.W}, self.X)
        model.graph.value_info.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 4, 24, 24]))
        assert_same(model, weights(1, 1, *self.X))

    def test_filters_that_are_not_constant(self):
        model = network([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": self.W}, self.X)
        model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, self.W.shape))
        assert rewritten(model) is None

    def test_other_types_and_old_operators(self):
        double = network([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": self.W.astype(np.float64)}, self.X)
        assert rewritten(double) is None
        old = network([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": self.W}, self.X, opset=12)
        assert rewritten(old) is None

    def test_subgraphs(self):
        """They may read any tensor of the graph that they are in."""
        branch = helper.make_graph(
            [helper.make_node("Relu", ["z"], ["r"])], "b", [], [helper.make_tensor_value_info("r", 1, None)]
        )
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["z"]),
            helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        ]
        assert rewritten(network(nodes, {"w": self.W, "yes": np.array(True)}, self.X)) is None

    def test_names_that_are_taken(self):
        nodes = [
            helper.make_node("Conv", ["x", "winograd/w"], ["winograd_/1"]),
            helper.make_node("Relu", ["winograd_/1"], ["y"]),
        ]
        assert_same(network(nodes, {"winograd/w": self.W}, self.X), weights(1, 1, *self.X))


def file_of(folder, channels, size=(64, 80)):
    """A network that keeps the contract, with one 3×3 convolution from and to so many channels."""
    arrays = {"into": weights(0, channels, 7, 1, 1), "w": weights(1, channels, channels, 3, 3) / 30}
    arrays |= {"out": weights(2, 1, channels, 1, 1), "half": np.array(0.5, np.float32)}
    nodes = [
        helper.make_node("Concat", ["image", "prev_mask", "modulated_mask", "clicks"], ["all"], axis=1),
        helper.make_node("Sub", ["all", "half"], ["centred"]),
        helper.make_node("Conv", ["centred", "into"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["b"], pads=[2] * 4, dilations=[2, 2]),
        helper.make_node("Conv", ["b", "out"], ["logits"]),
    ]
    model = network(nodes, arrays, (1, *size), ("logits",))
    del model.graph.input[:], model.graph.output[:]
    for name, depth in (("image", 3), ("prev_mask", 1), ("modulated_mask", 1), ("clicks", 2), ("logits", 1)):
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", depth, *size])
        (model.graph.output if name == "logits" else model.graph.input).append(value)
    onnx.save(model, folder / "wide.onnx")
    return folder / "wide.onnx"


@pytest.mark.parametrize(("channels", "is_rewritten"), [(128, True), (48, False)])
@pytest.mark.parametrize("threads", [None, 1])
def test_networks_of_onnx_runtime(tmp_path, channels, is_rewritten, threads):
    """What is wide enough is rewritten when a file is loaded; it then takes any batch, and gives the same."""
    file = file_of(tmp_path, channels)
    assert (rewritten(onnx.load(file)) is not None) is is_rewritten
    found = load_network(file, "onnxruntime", "cpu", threads=threads)
    assert found.info.size == (64, 80)
    own = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for batch in (1, 2, 3):
        arrays = [rng.random((batch, depth, 64, 80), np.float32) for depth in (3, 1, 1, 2)]
        expected = own.run(None, dict(zip((v.name for v in own.get_inputs()), arrays, strict=True)))[0]
        logits = found(*arrays)
        assert (not np.array_equal(logits, expected)) is is_rewritten
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * expected.std())
