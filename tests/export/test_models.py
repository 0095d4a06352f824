"""The PyTorch networks against the authors' release (spec section 2, tests/golden)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mfp.engine.errors import CheckpointError, OptionError
from mfp.export import models

GOLDEN = Path(__file__).parents[1] / "golden"
TINY_VIT = {
    "backbone_params": {"img_size": [224, 224], "embed_dim": 16, "depth": 8, "num_heads": 2, "mlp_ratio": 2},
    "neck_params": {"out_dims": [4, 6, 8, 10]},
    "head_params": {"channels": 8},
}


def vit_config(**trunk):
    params = {**TINY_VIT, "backbone_params": {**TINY_VIT["backbone_params"], **trunk}}
    return {"class": "isegm.model.is_plainvit_model_prevMod.PlainVitModel_prevMod", "params": params}


@pytest.fixture(scope="module", params=["resnet34", "hrnet18", "vit_b"])
def release(request, golden_module):
    """(layout, network built from the layout's configuration with the golden weights), one at a time."""
    return json.loads((GOLDEN / f"layout_{request.param}.json").read_text()), golden_module(request.param)


@pytest.fixture(scope="module", params=["resnet34", "hrnet18", "lite0"])
def convolutional(request, golden_module):
    return request.param, golden_module(request.param)


def assert_agrees(logits, golden):
    difference = np.abs(logits[..., ::4, ::4] - golden["logits_stride4"]).max()
    # The golden data promises 1e-3; measured here 1e-5, and a wrong detail rarely stays below 1e-4.
    assert difference < 1e-4 * golden["std"]
    assert logits.mean() == pytest.approx(golden["mean"], abs=1e-4)
    assert logits.std() == pytest.approx(golden["std"], abs=1e-4)


def test_state_dict_is_the_releases(release):
    layout, network = release
    ours = [
        [name, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in network.state_dict().items()
    ]
    theirs = [[name, shape, dtype.removeprefix("torch.")] for name, shape, dtype in layout["state_dict"]]
    assert ours == theirs


def test_logits_are_the_releases(release, golden_tensors):
    layout, network = release
    golden = np.load(GOLDEN / f"core_{layout['backbone']}.npz")
    low = []
    handle = network.get_submodule(network.output_layer).register_forward_hook(
        lambda _module, _inputs, output: low.append(list(output.shape))
    )
    with torch.no_grad():
        logits = network(*golden_tensors(golden["pcg64"], 2, *layout["input_size"])).numpy()
    handle.remove()
    assert low == [golden["low_shape"].tolist()]
    assert logits.shape == (2, 1, *layout["input_size"])
    assert_agrees(logits, golden)


def test_logits_at_odd_sizes_are_the_releases(convolutional, golden_tensors):
    backbone, network = convolutional
    files = sorted(GOLDEN.glob(f"core_{backbone}_*x*.npz"))
    assert files or backbone == "lite0"  # which the release does not have
    for file in files:
        golden = np.load(file)
        height, width = map(int, file.stem.rsplit("_", 1)[1].split("x"))
        with torch.no_grad():
            logits = network(*golden_tensors(golden["pcg64"], 1, height, width)).numpy()
        assert logits.shape == (1, 1, height, width)
        assert_agrees(logits, golden)


def test_built_network_carries_what_export_needs(release):
    layout, network = release
    assert network.output_layer == layout["output_layer"]
    assert network.spec == models.spec(layout["backbone"])
    assert network.spec.size == tuple(layout["input_size"])
    assert network.spec.n_early == layout["config"]["params"]["N"]
    assert network.spec.r_max == layout["config"]["params"]["R_max"]
    assert not network.training
    with torch.device("meta"):
        again = models.build(network.config)
    assert again.config == network.config
    assert list(again.state_dict()) == list(network.state_dict())


@pytest.mark.filterwarnings("ignore:.torch.jit.trace")
def test_trace_keeps_batch_height_and_width_open(convolutional, golden_tensors):
    _, network = convolutional
    with torch.no_grad():
        traced = torch.jit.trace(network, golden_tensors(1, 1, 64, 64), check_trace=False)
        inputs = golden_tensors(2, 3, 97, 75)
        torch.testing.assert_close(traced(*inputs), network(*inputs), rtol=1e-4, atol=1e-4)


def test_registry_needs_no_torch():
    code = (
        "import sys, mfp.export.models as models\n"
        "assert all(models.spec(name).name == name for name in models.backbone_names())\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_names_and_published_sizes():
    assert models.backbone_names() == ("resnet34", "hrnet18", "vit_b", "lite0")
    assert models.spec("vit_b").size == (448, 448)
    assert models.spec("hrnet18").channels == 270
    with pytest.raises(OptionError, match=r"resnet34, hrnet18, vit_b, lite0.*resnet50"):
        models.spec("resnet50")
    with pytest.raises(OptionError, match="resnet50"):
        models.build("resnet50")


def test_wrapped_and_flat_configurations_are_the_same():
    flat = {"small": True, "ocr_width": 48, "N": 5, "R_max": 75}
    wrapped = {name: {"type": "builtin", "value": value, "specified": True} for name, value in flat.items()}
    with torch.device("meta"):
        one = models.build({"class": "a.b.HRNetModel_prevMod", "params": flat})
        two = models.build({"class": "HRNetModel_prevMod", "params": wrapped}, size=(200, 100))
    assert one.config == two.config
    assert (two.spec.n_early, two.spec.r_max, two.spec.size) == (5, 75.0, (200, 100))
    assert one.spec.size == (320, 480)


def test_small_hrnet_has_fewer_blocks_and_modules():
    with torch.device("meta"):
        network = models.build({"class": "HRNetModel_prevMod", "params": {"small": True, "ocr_width": 48}})
    trunk = network.feature_extractor
    assert len(trunk.layer1) == 2
    assert [len(stage) for stage in (trunk.stage2, trunk.stage3, trunk.stage4)] == [1, 3, 2]
    blocks = {len(branch) for module in trunk.stage4 for branch in module.branches}
    assert blocks == {2}
    assert trunk.cls_head.in_channels == 96


@pytest.mark.parametrize(("leaky", "kind"), [(True, nn.LeakyReLU), (False, nn.ReLU)])
def test_activation_of_the_coordinate_stem_follows_the_configuration(leaky, kind):
    with torch.device("meta"):
        network = models.build({"class": "DeeplabModel_prevMod", "params": {"use_leaky_relu": leaky}})
    assert type(network.maps_transform[1]) is kind


@pytest.mark.parametrize(
    ("class_name", "parameter", "value"),
    [
        ("HRNetModel_prevMod", "width", 32),
        ("HRNetModel_prevMod", "ocr_width", 0),
        ("HRNetModel_prevMod", "ocr_width", 64.0),
        ("HRNetModel_prevMod", "small", "yes"),
        ("HRNetModel_prevMod", "use_leaky_relu", 1),
        ("HRNetModel_prevMod", "use_disks", False),
        ("HRNetModel_prevMod", "norm_radius", 3),
        ("HRNetModel_prevMod", "with_prev_mask", False),
        ("HRNetModel_prevMod", "N", -1),
        ("HRNetModel_prevMod", "R_max", "100"),
        ("HRNetModel_prevMod", "R_max", float("nan")),
        ("HRNetModel_prevMod", "norm_mean_std", "([0.485, 0.456], [0.229, 0.224, 0.225])"),
        ("HRNetModel_prevMod", "norm_mean_std", ((0.5, 0.5, 0.5), (0.0, 1.0, 1.0))),
        ("DeeplabModel_prevMod", "backbone", "resnet101"),
        ("DeeplabModel_prevMod", "deeplab_ch", 256),
        ("PlainVitModel_prevMod", "backbone_params", 7),
        ("PlainVitModel_prevMod", "neck_params", {"out_dims": [1, 2, 3]}),
        ("PlainVitModel_prevMod", "head_params", {"upsample": "x4"}),
        ("PlainVitModel_prevMod", "head_params", {"num_classes": 2}),
        ("PlainVitModel_prevMod", "backbone_params", {"depth": 10}),
        ("PlainVitModel_prevMod", "backbone_params", {"num_heads": 7}),
        ("PlainVitModel_prevMod", "backbone_params", {"img_size": 450}),
        ("PlainVitModel_prevMod", "backbone_params", {"patch_size": 8}),
        ("PlainVitModel_prevMod", "backbone_params", {"embed_dim": 10**9}),
    ],
)
def test_unsupported_configuration_is_refused_by_name(class_name, parameter, value):
    name = next(iter(value)) if isinstance(value, dict) else parameter
    with pytest.raises(CheckpointError, match=rf"{name}.*expected.*got"):
        models.build({"class": class_name, "params": {parameter: value}})


@pytest.mark.parametrize("config", [None, {}, {"class": 3}, {"class": "HRNetModel_prevMod", "params": [1]}])
def test_malformed_configuration_is_refused(config):
    with pytest.raises(CheckpointError, match="configuration"):
        models.build(config)


def test_unknown_class_is_refused_with_the_known_ones():
    with pytest.raises(CheckpointError, match=r"HRNetModel_prevMod.*'SegformerModel'"):
        models.build({"class": "isegm.model.SegformerModel", "params": {}})


def test_normalisation_follows_the_configuration():
    params = {"norm_mean_std": "([0.5, 0.25, 0.125], [1.0, 2.0, 5e-1])"}
    network = models.build({"class": "HRNetModel_prevMod", "params": {"small": True, **params}})
    assert network.mean.flatten().tolist() == [0.5, 0.25, 0.125]
    assert network.std.flatten().tolist() == [1.0, 2.0, 0.5]


@pytest.mark.parametrize("size", [(0, 448), (448,), (448.0, 448.0), (-1, 5), (True, 4)])
def test_impossible_size_is_refused(size):
    with pytest.raises(OptionError, match="size"):
        models.build("hrnet18", size=size)


@pytest.mark.parametrize("size", [(440, 448), (208, 448), (448, 464), (672, 688)])
def test_size_that_a_vit_cannot_have_is_refused(size):
    with pytest.raises(OptionError, match="multiples of 16"):
        models.build(vit_config(), size=size)


def test_vit_refuses_an_image_of_another_size(golden_tensors):
    network = models.build(vit_config(), size=(224, 240))
    with pytest.raises(OptionError, match=r"\(224, 240\).*\(448, 240\)"):
        network(*golden_tensors(0, 1, 448, 240))


def naive_trunk(backbone, image, coords, depth):
    """The windows of the spec cut out one by one."""
    x = backbone.patch_embed(image) + coords
    (rows, columns), grid = backbone.windows, backbone.grid
    native = backbone.pos_embed[:, 1:].reshape(1, *backbone.native, -1).permute(0, 3, 1, 2)
    positions = nn.functional.interpolate(native, grid, mode="bicubic", align_corners=False)
    x = x.transpose(1, 2).reshape(len(image), -1, *grid) + positions
    for index, block in enumerate(backbone.blocks, start=1):
        parts = (1, 1) if index % (6 if depth == 12 else depth // 4) == 0 else (rows, columns)
        strips = []
        for strip in x.chunk(parts[0], dim=2):
            windows = []
            for window in strip.chunk(parts[1], dim=3):
                tokens = window.flatten(2).transpose(1, 2)
                windows.append(block(tokens, tokens.shape[1]).transpose(1, 2).reshape(window.shape))
            strips.append(torch.cat(windows, dim=3))
        x = torch.cat(strips, dim=2)
    return x


@pytest.mark.parametrize("depth", [4, 8, 12])
def test_windows_of_any_shape_and_depth(depth):
    """No golden data has windows that are not 14×14 or a grid that is not square."""
    network = models.build(vit_config(depth=depth), size=(240, 512))
    assert network.backbone.windows == (1, 2)
    torch.manual_seed(0)
    state = {
        name: 0.3 * torch.randn_like(t) if t.is_floating_point() else t for name, t in network.state_dict().items()
    }
    network.load_state_dict(state)
    image, coords = torch.randn(2, 3, 240, 512), torch.randn(2, 15 * 32, 16)
    torch.testing.assert_close(
        network.backbone(image, coords),
        naive_trunk(network.backbone, image, coords, depth),
        rtol=1e-3,
        atol=1e-3,
    )
