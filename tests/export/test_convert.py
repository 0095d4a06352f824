"""Conversion to half precision: agreement, the range check, planted overflows, and what the file says of itself."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mfp import Session, load_network
from mfp.cli.main import main
from mfp.engine.contract import MATRIX_OPERATORS
from mfp.engine.errors import ExportError, NetworkError, OptionError
from mfp.export.agreement import LIMITS, compare, demand
from mfp.export.convert import convert_onnx
from mfp.export.half import half_nodes, prepared, to_half
from mfp.export.onnx_export import export_onnx
from mfp.export.ranges import LARGEST, MARGIN, RangeRecorder, check_ranges, extreme_inputs

BACKBONES = [  # lite0: test_pack.py
    pytest.param("resnet34", marks=pytest.mark.slow),
    "hrnet18",
    pytest.param("vit_b", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """ResNet-34 at 96×128: quick, and with every operator of its kind."""
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    return export_onnx("resnet34", size=(96, 128), output=path).path


def rewritten(source, path, change):
    """A copy of the file, its weights (by name) changed."""
    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = {node.name: node for node in model.graph.node}

    def scale(name, factor):
        values = numpy_helper.to_array(weights[name]) * np.float32(factor)
        weights[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    change(nodes, scale)
    onnx.save(model, path)
    return path


def scaled_between(factor):
    """The same function of the inputs, with activations ``factor`` times as large between two convolutions."""

    def change(nodes, scale):
        first = nodes["/feature_extractor/backbone/layer1/layer1.0/conv1/Conv"]
        second = nodes["/feature_extractor/backbone/layer1/layer1.0/conv2/Conv"]
        scale(first.input[1], factor)
        scale(first.input[2], factor)
        scale(second.input[1], 1 / factor)

    return change


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_backbones(converted, backbone):
    report = converted(backbone)
    assert report.worst <= 0.04  # of the logits' standard deviation, everywhere
    assert report.half_matrix_nodes >= 0.95 * report.matrix_nodes
    assert report.ranges.headroom >= MARGIN
    assert report.info.precision == "fp16"
    source = load_network(report.path, device="cpu").info
    assert source == report.info
    assert report.path.stat().st_size < 0.55 * sum(
        4 * np.prod(t.dims) for t in onnx.load(report.path).graph.initializer
    )


@pytest.mark.parametrize("backbone", [pytest.param("resnet34", marks=pytest.mark.slow), "hrnet18"])
def test_trajectories_in_fp16_are_the_releases(converted, golden, photograph, backbone):
    """Recorded sessions of the release, four clicks each; every tensor rounded as on a GPU."""
    data = np.load(golden(f"trajectory_{backbone}.npz"))
    network = load_network(converted(backbone).path, device="cpu")
    session = Session(network, photograph(str(data["image"])), size=tuple(data["target_size"].tolist()))
    for row, expected in zip(data["clicks"], data["prob_stride8"], strict=True):
        session.click(row[1], row[0], bool(row[2]))
        assert session.roi == tuple(row[3:7].astype(int))
        difference = np.abs(session.probability[::8, ::8] - expected)
        assert np.percentile(difference, 99) < 5e-3
        assert difference.max() < 2e-2


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_boundary_is_float32_and_the_kept_operators_are(small, tmp_path, precision):
    report = convert_onnx(small, tmp_path / "half.onnx", precision=precision)
    model = onnx.shape_inference.infer_shapes(onnx.load(report.path), check_type=True, strict_mode=True)
    element = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[precision]
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    kinds |= {v.name: v.type.tensor_type.elem_type for v in [*model.graph.input, *model.graph.output]}
    assert {kinds[v.name] for v in [*model.graph.input, *model.graph.output]} == {onnx.TensorProto.FLOAT}
    for node in model.graph.node:
        if node.op_type in MATRIX_OPERATORS:
            assert kinds[node.output[0]] == element, node.name
        if node.op_type in ("GlobalAveragePool", "Softmax") or "logits" in node.output:
            assert kinds[node.output[0]] == onnx.TensorProto.FLOAT, node.name
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["mfp.precision"] == precision
    assert facts["mfp.weights"] == "untrained, seed 0"
    if precision == "fp16":
        assert json.loads(facts["mfp.kept_fp32"]) == {}
        assert float(facts["mfp.headroom"]) > MARGIN
    assert report.worst <= LIMITS[precision]


def test_sessions_in_fp16_are_those_in_fp32(small, tmp_path, photograph):
    """Errors fed back through the probability map for five clicks."""
    half = convert_onnx(small, tmp_path / "half.onnx").path
    sessions = [Session(load_network(path, device="cpu"), photograph("astronaut")) for path in (small, half)]
    for x, y, positive in ((240, 130, True), (30, 200, False), (300, 330, True), (60, 100, False), (150, 420, True)):
        expected, found = (np.asarray(session.click(x, y, positive)) for session in sessions)
        assert (expected & found).sum() >= 0.99 * (expected | found).sum()


@pytest.mark.parametrize("factor", [1e6, 1e-7])
def test_a_planted_overflow_or_underflow_is_caught(small, tmp_path, factor):
    planted = rewritten(small, tmp_path / "planted.onnx", scaled_between(factor))
    reference = load_network(planted, device="cpu")
    assert max(compare(reference, load_network(small, device="cpu"), ((96, 128),)).values()) < 1e-3  # the same network

    naive = tmp_path / "naive.onnx"  # converted without looking: FP16 cannot hold it
    onnx.save(to_half(prepared(onnx.load(planted)), "fp16"), naive)
    properties = onnx.load(naive)
    onnx.helper.set_model_props(properties, {"mfp.precision": "fp16"})
    onnx.save(properties, naive)

    def accept():
        differences = compare(load_network(naive, device="cpu"), reference, ((96, 128),))
        demand(replace(reference.info, precision="fp16"), differences, "its source")

    with pytest.raises((NetworkError, ExportError), match=r"not finite|differs from"):
        accept()

    report = convert_onnx(planted, tmp_path / "half.onnx")
    block = "/feature_extractor/backbone/layer1/layer1.0/"
    assert {f"{block}conv1/Conv", f"{block}conv2/Conv"} <= set(report.kept)
    assert report.half_matrix_nodes <= report.matrix_nodes - 2
    assert report.worst <= 0.04
    kept = json.loads({e.key: e.value for e in onnx.load(report.path).metadata_props}["mfp.kept_fp32"])
    assert kept == report.kept


def test_the_margin_is_a_factor_of_eight(small, tmp_path):
    """A tensor just below 65,504 / 8 stays half, one just above does not."""
    block = "/feature_extractor/backbone/layer1/layer1.0/"
    tensor = f"{block}conv1/Conv_output_0"
    model = prepared(onnx.load(small))
    info = load_network(small, device="cpu").info
    recorder = RangeRecorder(model, info)
    for inputs in extreme_inputs(96, 128):
        recorder(*inputs)
    largest = recorder.ranges[tensor].largest
    for reach, is_kept in ((0.98, False), (1.02, True)):
        planted = rewritten(small, tmp_path / "p.onnx", scaled_between(reach * LARGEST / MARGIN / largest))
        report = check_ranges(prepared(onnx.load(planted)), info, [])
        assert (f"{block}conv1/Conv" in report.kept) == is_kept


def test_extreme_inputs_keep_the_contract_and_reach_its_ends():
    seen = list(extreme_inputs(40, 56))
    for image, prev, modulated, clicks in seen:
        for array, channels in ((image, 3), (prev, 1), (modulated, 1), (clicks, 2)):
            assert array.shape == (2, channels, 40, 56)
            assert array.dtype == np.float32
            assert 0 <= array.min() <= array.max() <= 1
    for position in range(4):
        sides = [inputs[position][i] for inputs in seen for i in range(2)]
        assert any((side == 0).all() for side in sides)
        assert any((side == 1).all() for side in sides)


def test_a_network_that_overflows_in_fp32_is_named(small, tmp_path):
    def change(nodes, scale):
        first = nodes["/feature_extractor/backbone/layer1/layer1.0/conv1/Conv"]
        scale(first.input[1], 1e38)

    with pytest.raises(ExportError, match="FP32 network itself overflows"):
        convert_onnx(rewritten(small, tmp_path / "p.onnx", change), tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def test_the_command_checks_own_photographs_too(small, tmp_path, golden, capsys):
    output, photos = tmp_path / "x.onnx", tmp_path / "photos"
    photos.mkdir()
    shutil.copy(golden("coffee.png"), photos)
    (photos / "broken.png").write_bytes(b"no image")
    assert main(["convert", str(small), "--output", str(output), "--images", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "range check, 20 passes" in out  # two sessions of four clicks, and twice five extremes
    assert "skipped" in out
    assert "broken.png" in out
    assert "66 of 66 convolutions and matrix products (100.0%)" in out
    assert "headroom" in out
    assert load_network(output, device="cpu").info.precision == "fp16"
    assert main(["info", str(output)]) == 0
    assert "headroom" in capsys.readouterr().out


def test_export_in_half_precision_in_one_step(tmp_path, capsys):
    path = tmp_path / "one.onnx"
    arguments = ["export", "--backbone", "resnet34", "--size", "95x101", "--precision", "fp16", "--output", str(path)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "against PyTorch" in out
    assert "against fp32" in out
    assert "fp16" in out
    assert [file.name for file in tmp_path.iterdir()] == ["one.onnx"]


def test_refusals_leave_nothing(small, tmp_path, golden):
    with pytest.raises(OptionError, match="fp16 or bf16"):
        convert_onnx(small, tmp_path / "x.onnx", precision="int8")
    with pytest.raises(OptionError, match=r"ending in \.onnx"):
        convert_onnx(small, tmp_path / "x.plan")
    with pytest.raises(OptionError, match="another name"):
        convert_onnx(small, small)
    with pytest.raises(NetworkError, match="no such file"):
        convert_onnx(tmp_path / "missing.onnx", tmp_path / "x.onnx")
    with pytest.raises(ExportError, match="none of its 0 convolutions"):
        convert_onnx(golden("toy.onnx"), tmp_path / "x.onnx")
    half = convert_onnx(small, tmp_path / "half.onnx").path
    with pytest.raises(ExportError, match="half precision"):
        convert_onnx(half, tmp_path / "again.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["half.onnx"]


def test_half_nodes_are_those_that_the_share_counts(converted):
    model = prepared(onnx.load(converted("resnet34").path.with_name("resnet34.onnx")))
    matrix = {node.name for node in model.graph.node if node.op_type in MATRIX_OPERATORS}
    assert len(half_nodes(model) & matrix) == converted("resnet34").half_matrix_nodes
