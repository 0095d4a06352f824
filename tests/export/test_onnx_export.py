"""Exports: agreement with PyTorch, with the release, and what a file must hold."""

import hashlib

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfp import Session, load_network
from mfp.cli.main import main
from mfp.engine.errors import ExportError, OptionError
from mfp.export import onnx_export
from mfp.export.checkpoint import load
from mfp.export.graph import _scale, leftovers
from mfp.export.onnx_export import export_module, export_onnx

LARGE = pytest.mark.slow
BACKBONES = ["resnet34", "hrnet18", pytest.param("vit_b", marks=LARGE)]  # with golden data


@pytest.mark.parametrize("backbone", [*BACKBONES, "lite0"])
def test_fixed_files_agree_with_pytorch(exported, backbone):
    report = exported(backbone)
    assert len(report.differences) == 2  # random and photographic input
    assert report.worst <= 1e-4


@pytest.mark.parametrize("backbone", [pytest.param("resnet34", marks=LARGE), "hrnet18", "lite0"])
def test_files_of_any_size_agree_with_pytorch(exported, backbone):
    report = exported(backbone, any_size=True)
    assert sum("photograph" in name for name in report.differences) == 4  # the published size and three odd ones
    assert report.worst <= 5e-4


@pytest.mark.parametrize("backbone", BACKBONES)
def test_files_agree_with_the_release(exported, golden, golden_inputs, backbone):
    data, network = np.load(golden(f"core_{backbone}.npz")), load_network(exported(backbone).path, device="cpu")
    logits = network(*golden_inputs(data["pcg64"], 2, *network.info.size))
    assert np.abs(logits[..., ::4, ::4] - data["logits_stride4"]).max() < 1e-3 * data["std"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_trajectories_are_the_releases(exported, golden, photograph, assert_trajectory, backbone):
    """The whole chain: golden weights, ONNX file, session, a photograph, four clicks."""
    data = np.load(golden(f"trajectory_{backbone}.npz"))
    network = load_network(exported(backbone).path, device="cpu")
    session = Session(network, photograph(str(data["image"])), size=tuple(data["target_size"].tolist()))
    assert_trajectory(session, data["clicks"], data["prob_stride8"])


@pytest.mark.parametrize(
    ("backbone", "any_size"),
    [
        ("resnet34", False),
        ("hrnet18", False),
        pytest.param("vit_b", False, marks=LARGE),
        ("hrnet18", True),
        ("lite0", True),
    ],
)
def test_what_a_file_holds(exported, backbone, any_size):
    report = exported(backbone, any_size)
    model = onnx.load(report.path)
    assert leftovers(model) == []
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["mfp.backbone"] == backbone
    assert facts["mfp.weights"].startswith("sha256:" if backbone == "lite0" else "untrained, seed 0")
    assert facts["mfp.size"] == ("dynamic" if any_size else "{}x{}".format(*report.info.size))
    shapes = {value.name: value.type.tensor_type.shape.dim for value in [*model.graph.input, *model.graph.output]}
    assert set(shapes) == {"image", "prev_mask", "modulated_mask", "clicks", "logits"}
    for name, dims in shapes.items():
        assert dims[0].dim_param == "batch", name
        assert [dim.HasField("dim_value") for dim in dims[2:]] == [not any_size] * 2, name
    if not any_size:  # a known size needs no shape arithmetic in front of its resizes
        resizes = [node for node in model.graph.node if node.op_type == "Resize"]
        assert resizes
        assert all(len(node.input) == 3 for node in resizes)


@pytest.mark.parametrize(("backbone", "size"), [("hrnet18", (267, 400)), ("resnet34", [95, 101]), ("lite0", (95, 101))])
def test_sizes_whose_pyramid_does_not_divide(tmp_path, backbone, size):
    report = export_onnx(backbone, size=size, output=tmp_path / "a.onnx")
    assert report.info.size == tuple(size)
    assert report.worst <= 1e-4


@pytest.mark.parametrize("size", [(240, 240), (336, 368), (720, 240)])
def test_vit_sizes_with_odd_grids(tmp_path, golden, size):
    assert (
        export_onnx(checkpoint=golden("checkpoint_vit_small.pth"), size=size, output=tmp_path / "a.onnx").worst <= 2e-4
    )


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_resize_scales_give_the_size_in_float32_and_in_double(source, target):
    scale = _scale(source, target)
    assert int(np.floor(np.float32(source) * scale)) == int(np.floor(source * float(scale))) == target


def test_a_difference_that_is_no_number_counts():
    assert np.isnan(onnx_export.ExportReport(None, None, {"random": 3e-5, "photograph": np.nan}).worst)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_batch_is_open(exported, batch):
    network = load_network(exported("hrnet18").path, device="cpu")
    rng = np.random.default_rng(0)
    tensors = [rng.random((batch, channels, 320, 480), dtype=np.float32) for channels in (3, 1, 1, 2)]
    logits = network(*tensors)
    assert logits.shape == (batch, 1, 320, 480)
    one = network(*(tensor[-1:] for tensor in tensors))
    np.testing.assert_allclose(logits[-1:], one, atol=1e-4)


def test_a_checkpoint_through_the_command(golden, tmp_path, capsys, photograph):
    """The small ViT of the golden set at another size, from ``.pth`` to a mask."""
    file, path = golden("checkpoint_vit_small.pth"), tmp_path / "small.onnx"
    assert main(["export", "--checkpoint", str(file), "--size", "256x320", "--output", str(path)]) == 0
    out = capsys.readouterr().out
    assert "UNTRAINED" not in out
    assert "photograph 256×320" in out
    network = load_network(path, device="cpu")
    assert network.info.weights == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    assert network.info.size == (256, 320)
    same = Session(load_network(load(file, size=(256, 320))), photograph("coffee"))
    session = Session(network, photograph("coffee"))
    for x, y, positive in [(300, 200, True), (40, 40, False)]:
        session.click(x, y, positive)
        same.click(x, y, positive)
    np.testing.assert_allclose(session.probability, same.probability, atol=2e-3)


def test_untrained_weights_are_said_loudly(tmp_path, capsys, monkeypatch, golden_module):
    monkeypatch.setattr(onnx_export, "_module", lambda *_: golden_module("hrnet18"))  # spares building it again
    assert main(["export", "--backbone", "hrnet18", "--output", str(tmp_path / "a.onnx")]) == 0
    assert "UNTRAINED WEIGHTS" in capsys.readouterr().out


def test_a_disagreement_fails_and_leaves_no_file(tmp_path, golden, monkeypatch):
    module = load(golden("checkpoint_vit_small.pth"))
    path = tmp_path / "a.onnx"
    path.write_bytes(b"an older file")
    finish = onnx_export._finish

    def damage(draft, info):
        finish(draft, info)
        model = onnx.load(draft)
        kernel = next(t for t in model.graph.initializer if t.name.endswith("conv_seg.weight"))
        kernel.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(kernel) * np.float32(1.002), kernel.name)
        )
        onnx.save(model, draft)

    monkeypatch.setattr(onnx_export, "_finish", damage)
    with pytest.raises(ExportError, match="differs from PyTorch by"):
        export_module(module, path)
    assert path.read_bytes() == b"an older file"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "expected a backbone"),
        ({"size": "dynamic"}, "cannot be exported with open height and width"),
        ({"size": (300, 300)}, "300"),
        ({"size": "256x256"}, "expected a size"),
        ({"size": 448}, "expected a size"),
        ({"opset": 16}, "opset from 17"),
        ({"opset": 21}, "opset from 17"),
        ({"output": "a.pt"}, "ending in .onnx"),
        ({"output": "missing/a.onnx"}, "cannot write"),
    ],
)
def test_options_that_are_refused(tmp_path, golden, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    checkpoint = golden("checkpoint_vit_small.pth") if arguments else None
    with pytest.raises(OptionError, match=words):
        export_onnx(checkpoint=checkpoint, **arguments)
    assert list(tmp_path.iterdir()) == []
