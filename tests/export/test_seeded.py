"""Seeded weights: the golden recipe, and logits that give masks neither empty nor full."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mfp.export import models
from mfp.export.seeded import calibrate_output, seed_weights, seeded, weight

GOLDEN = Path(__file__).parents[1] / "golden"
TINY_VIT = {
    "class": "PlainVitModel_prevMod",
    "params": {
        "backbone_params": {"img_size": 224, "embed_dim": 16, "depth": 4, "num_heads": 2, "mlp_ratio": 2},
        "neck_params": {"out_dims": [4, 4, 4, 4]},
        "head_params": {"channels": 8},
    },
}


@pytest.fixture(scope="module")
def hrnet():
    return seeded("hrnet18", seed=0, size=(96, 128))


@pytest.mark.parametrize("seed", [0, 7])
def test_weights_are_the_golden_recipes(seed):
    module_spec = importlib.util.spec_from_file_location("recipe", GOLDEN / "recipe.py")
    recipe = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(recipe)
    layouts = [json.loads((GOLDEN / f"layout_{name}.json").read_text()) for name in ("hrnet18", "vit_b")]
    small = [entry for layout in layouts for entry in layout["state_dict"] if np.prod(entry[1]) < 20_000]
    leaves = {name.rsplit(".", 1)[-1] for name, _, _ in small}
    assert leaves >= {
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
        "scale",
        "cls_token",
    }
    for name, shape, _ in small:
        ours, theirs = weight(name, tuple(shape), seed), recipe.tensor(name, tuple(shape), seed)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_seed_weights_fills_every_tensor():
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    layers[1].num_batches_tracked += 5
    seed_weights(layers, seed=3)
    for name, tensor in layers.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weight(name, tuple(tensor.shape), 3))
    assert layers[1].num_batches_tracked.dtype == torch.int64
    assert layers[1].num_batches_tracked == 0


def test_seeded_logits_have_mean_0_and_deviation_3(hrnet):
    generator = np.random.Generator(np.random.PCG64(0))
    inputs = [generator.random((1, channels, 96, 128), dtype=np.float32) for channels in (3, 1, 1, 2)]
    inputs[3] = (inputs[3] > 0.97).astype(np.float32)
    logits = hrnet(*map(torch.from_numpy, inputs))
    assert logits.mean().item() == pytest.approx(0, abs=1e-3)
    assert logits.std(correction=0).item() == pytest.approx(3, abs=1e-3)


def test_only_the_output_layer_is_calibrated(hrnet):
    for name, tensor in hrnet.state_dict().items():
        if not name.startswith(hrnet.output_layer):
            np.testing.assert_array_equal(tensor.numpy(), weight(name, tuple(tensor.shape), 0))


def test_calibrating_twice_changes_nothing(hrnet):
    layer = hrnet.get_submodule(hrnet.output_layer)
    before = layer.weight.clone(), layer.bias.clone()
    calibrate_output(hrnet)
    torch.testing.assert_close(layer.weight.data, before[0].data, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(layer.bias.data, before[1].data, rtol=1e-4, atol=1e-3)


def test_seeded_is_ready_for_export(hrnet):
    assert hrnet.weights == "untrained, seed 0"
    assert hrnet.spec.size == (96, 128)
    assert not hrnet.training
    assert seeded(TINY_VIT, seed=12).weights == "untrained, seed 12"


def test_same_seed_same_weights_other_seed_other_weights():
    one, two, other = (seeded(TINY_VIT, seed, size=(240, 224)).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["backbone.pos_embed"], other["backbone.pos_embed"])


def test_resized_positions_follow_the_seed():
    network = seeded(TINY_VIT, seed=1, size=(240, 224))
    assert network.backbone.positions.shape == (1, 15 * 14, 16)
    assert network.backbone.positions.std() > 0.05
    assert models.build(TINY_VIT).backbone.positions.abs().max() == 0
