"""The authors' way of computing a click gives the authors' masks: what the engine is held against is the real thing."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mfp.bench.timing.baseline import AuthorsWay  # noqa: E402
from mfp.bench.timing.baseline_modulation import disk_maps, modulate  # noqa: E402


def as_torch(network):
    """A network of the engine as one on PyTorch's tensors."""
    return lambda *tensors: torch.from_numpy(network(*(np.ascontiguousarray(t.numpy()) for t in tensors)))


def test_the_trajectory_of_a_real_network_is_the_releases(golden, golden_module, photograph, assert_trajectory):
    data = np.load(golden("trajectory_hrnet18.npz"))
    size = tuple(data["target_size"].tolist())
    way = AuthorsWay(golden_module("hrnet18"), photograph(str(data["image"])), size)
    assert_trajectory(way, data["clicks"], data["prob_stride8"])
    assert way.timing.passes == 1
    assert all(getattr(way.timing, stage) > 0 for stage in ("crop", "encode", "modulate", "network", "paste"))


@pytest.mark.parametrize("i", [8, 9, 10])  # all eleven agree, in a minute
def test_scripted_trajectories_are_the_releases(i, toy, golden, photograph, assert_trajectory):
    """Clicks in the last column of a region that shrinks, a click outside the region, an object that is wiped out."""
    data = np.load(golden("trajectory_toy.npz"))
    target = data[f"{i}_target"].tolist()
    way = AuthorsWay(
        as_torch(toy),
        photograph(str(data[f"{i}_image"])),
        tuple(target) if len(target) == 2 else target[0],
        flip=bool(data[f"{i}_flip"]),
    )
    assert_trajectory(way, data[f"{i}_clicks"], data[f"{i}_prob_stride8"], data.get(f"{i}_passes"))


def test_disks_are_the_releases(golden):
    data = np.load(golden("disks.npz"))
    for i in range(int(data["n"])):
        shape = tuple(data[f"{i}_shape"])
        expected = np.unpackbits(data[f"{i}_disks"], count=np.prod(shape)).reshape(shape)
        points = torch.from_numpy(data[f"{i}_points"].astype(np.float32))
        np.testing.assert_array_equal(disk_maps(points[None], *shape[1:])[0].numpy(), expected)


def test_modulation_is_the_releases(golden):
    data = np.load(golden("modulation.npz"))
    for i, tag in enumerate(data["tags"]):
        prev, points = torch.from_numpy(data[f"{i}_prev"]), torch.from_numpy(data[f"{i}_points"].astype(np.float32))
        found = modulate(prev[None, None], points[None], int(data[f"{i}_N"]), float(data[f"{i}_R_max"]))[0, 0].numpy()
        stride, expected = int(data[f"{i}_stride"]), data[f"{i}_out"]
        np.testing.assert_allclose(found[::stride, ::stride], expected, atol=1e-5, err_msg=str(tag))  # NaN for NaN


def test_masks_in_half_precision_are_nearly_the_same(golden_module, photograph):
    image = photograph("coffee")
    full, half = (AuthorsWay(golden_module("hrnet18"), image, (64, 96), precision=p) for p in ("fp32", "bf16"))
    masks = [way.click(200, 150) for way in (full, half)]
    assert masks[0].shape == image.shape[:2]
    assert (masks[0] == masks[1]).mean() > 0.9
    assert not np.array_equal(full.probability, half.probability)
