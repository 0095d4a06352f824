"""What kernels/cuda.py makes of its arguments, with the kernels on the CPU; test_kernels_gpu.py runs it on a GPU."""

import numpy as np
import pytest

from mfp.kernels import reference
from mfp.kernels.clicks import Click
from mfp.kernels.cuda import Workspace

STREAM = 1


@pytest.fixture
def device(host_device):
    return host_device(threads=64, blocks=4)


@pytest.fixture
def workspace(device):
    return Workspace(device)


def test_disks(workspace, golden, clicks_of):
    data = np.load(golden("disks.npz"))
    for i in range(int(data["n"])):
        shape = tuple(data[f"{i}_shape"])
        out = workspace.result(None, shape)
        workspace.encode(clicks_of(data[f"{i}_points"]), 5.0, out, STREAM)
        expected = np.unpackbits(data[f"{i}_disks"])[: np.prod(shape)].reshape(shape)
        np.testing.assert_array_equal(out, expected)


def test_disks_of_another_radius_and_of_no_clicks(workspace):
    clicks = [Click(3, 4), Click(9.5, 2.25, False, 1), Click(-1, -1, True, -1)]
    for given, radius in [(clicks, 2.5), ([], 5.0), (clicks[2:], 5.0)]:
        out = workspace.result(None, (2, 8, 12))
        workspace.encode(given, radius, out, STREAM)
        np.testing.assert_array_equal(out, reference.encode_clicks(given, 8, 12, radius))


def modulated(workspace, device, source, clicks, n_early=7, r_max=100.0, colours=None):
    place = device.empty(source.shape, np.float32)
    place[...] = source
    out = workspace.result(None, source.shape)
    workspace.modulate(place, clicks, n_early, r_max, colours, out, STREAM)
    np.testing.assert_array_equal(place, source)
    return out


def test_modulation_of_one_workspace_after_another_size(workspace, device, golden, clicks_of):
    """Small maps after large ones and large ones after small ones: nothing is left of the call before."""
    data = np.load(golden("modulation.npz"))
    cases = [i for i in range(len(data["tags"])) if data[f"{i}_prev"].size <= 10_000][::4]
    assert cases
    maps = np.random.default_rng(0).random((2, 60, 45), np.float32)
    clicks = [Click(5, 50, True, 0), Click(30, 20, False, 1), Click(33.5, 22, True, 2)]
    for i in cases:
        for source, given, n, r_max in [
            (data[f"{i}_prev"], clicks_of(data[f"{i}_points"]), int(data[f"{i}_N"]), float(data[f"{i}_R_max"])),
            (maps[0], clicks, 2, 100.0),
            (maps[1], clicks[:2], 2, 100.0),
        ]:
            found = modulated(workspace, device, source, given, n, r_max)
            np.testing.assert_allclose(found, reference.modulate(source, given, n, r_max), atol=1e-5)


def test_more_clicks_than_there_was_room_for(workspace, device):
    rng = np.random.default_rng(1)
    source = rng.random((40, 30), np.float32)
    clicks = [Click(x, y, k % 2 == 0, k) for k, (x, y) in enumerate(rng.random((70, 2)) * 30)]
    for count in (3, 70, 1, 40):
        found = modulated(workspace, device, source, clicks[:count])
        np.testing.assert_allclose(found, reference.modulate(source, clicks[:count]), atol=1e-5)
        out = workspace.result(None, (2, 40, 30))
        workspace.encode(clicks[:count], 5.0, out, STREAM)
        np.testing.assert_array_equal(out, reference.encode_clicks(clicks[:count], 40, 30))


@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_colours(workspace, device, scale):
    rng = np.random.default_rng(2)
    source, image = rng.random((30, 40), np.float32), (rng.integers(0, 256, (30, 40, 3)) * scale).astype(np.float32)
    clicks = [Click(12, 13.5)]
    found = modulated(workspace, device, source, clicks, r_max=9.0, colours=image)
    expected = reference.modulate(source, clicks, r_max=9.0, distance="rgb", image=image)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "clicks",
    [
        [],
        [Click(-1, -1, True, -1)],
        [Click(3, 4, True, 5), Click(30, 20, False, 9), Click(9, 9, True, 1)],  # the newest is not the last
        [Click(20, 20, True, 0), Click(21, 20, False, -1)],  # without its index the second one bounds nothing
        [Click(-0.5, 3, True, 0)],
        [Click(1e9, 1e9, False, 0)],
    ],
)
def test_which_click_acts(workspace, device, clicks):
    source = np.random.default_rng(3).random((41, 41), np.float32)
    found = modulated(workspace, device, source, clicks, r_max=15.0)
    np.testing.assert_allclose(found, reference.modulate(source, clicks, r_max=15.0), atol=1e-5)


def test_results_of_the_callers(workspace):
    given = np.zeros((4, 5), np.float32)
    assert workspace.result(given, (4, 5)) is given
    for wrong in (np.zeros((5, 4), np.float32), np.zeros((4, 5)), np.zeros((5, 4), np.float32).T):
        with pytest.raises(ValueError, match=r"expected out as C-contiguous float32 \(4, 5\)"):
            workspace.result(wrong, (4, 5))


def test_a_second_call_allocates_nothing(workspace, device):
    source, clicks = np.full((20, 20), 0.5, np.float32), [Click(5, 5)]
    place, out = device.empty((20, 20), np.float32), device.empty((20, 20), np.float32)
    place[...] = source
    before = None
    for _ in range(3):
        workspace.modulate(place, clicks, 7, 100.0, None, out, STREAM)
        assert before in (None, device.used_bytes())
        before = device.used_bytes()


def test_maps_without_pixels(workspace, device):
    assert modulated(workspace, device, np.zeros((0, 5), np.float32), [Click(1, 1)]).shape == (0, 5)
