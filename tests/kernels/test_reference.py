"""Disks and modulation against the release, and what must hold for any map and clicks (spec sections 3 and 4)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.kernels.clicks import Click
from mfp.kernels.reference import encode_clicks, modulate

coordinate = st.floats(0, 39.875, width=32)
click_lists = st.lists(st.tuples(coordinate, coordinate, st.booleans()), min_size=1, max_size=6).map(
    lambda rows: [Click(x, y, positive, i) for i, (x, y, positive) in enumerate(rows)]
)
maps = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(["noise", "two values", "constant", "saturated"]))


def make_map(seed, kind):
    rng = np.random.default_rng(seed)
    noise = rng.random((40, 40), dtype=np.float32)
    if kind == "two values":
        return np.where(noise > 0.7, np.float32(0.8), np.float32(0.2))
    if kind == "constant":
        return np.full_like(noise, rng.choice([0.0, 0.3, 0.995, 1.0]))
    if kind == "saturated":
        return np.clip(noise * 3 - 1, 0, 1).astype(np.float32)
    return noise


def test_disks_are_the_releases(golden, clicks_of):
    data = np.load(golden("disks.npz"))
    for i in range(int(data["n"])):
        shape = tuple(data[f"{i}_shape"])
        expected = np.unpackbits(data[f"{i}_disks"])[: np.prod(shape)].reshape(shape)
        np.testing.assert_array_equal(encode_clicks(clicks_of(data[f"{i}_points"]), *shape[1:]), expected)


def test_modulation_is_the_releases(golden, clicks_of):
    data = np.load(golden("modulation.npz"))
    worst = 0.0
    for i, tag in enumerate(data["tags"]):
        stride, expected = int(data[f"{i}_stride"]), data[f"{i}_out"]
        found = modulate(
            data[f"{i}_prev"], clicks_of(data[f"{i}_points"]), int(data[f"{i}_N"]), float(data[f"{i}_R_max"])
        )
        assert np.isfinite(found).all(), tag
        defined = np.isfinite(expected)
        assert defined.all() or data["nan_in_reference"][i], tag
        worst = max(worst, np.abs(found[::stride, ::stride] - expected)[defined].max(initial=0))
    assert worst < 1e-5


@settings(max_examples=300)
@given(maps, click_lists, st.integers(0, 7), st.sampled_from(["probability", "rgb"]))
def test_modulation_stays_a_probability_and_acts_in_the_right_direction(map_, clicks, n_early, distance):
    probability = make_map(*map_)
    before = probability.copy()
    image = np.random.default_rng(map_[0]).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    found = modulate(probability, clicks, n_early, 12.0, distance, image)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_array_equal(probability, before)
    newest = clicks[-1]
    shortcut = probability[int(newest.y), int(newest.x)] == (0 if newest.positive else 1)
    if not shortcut:
        assert (found >= probability - 1e-6).all() if newest.positive else (found <= probability + 1e-6).all()


@settings(max_examples=200)
@given(maps, click_lists)
def test_modulation_leaves_what_lies_outside_the_window(map_, clicks):
    probability, newest = make_map(*map_), clicks[-1]
    gaps = [np.hypot(c.x - newest.x, c.y - newest.y) for c in clicks if c.positive != newest.positive]
    radius = max(min(gaps) / 2, 10.0) if gaps else 12.0
    rows, columns = np.mgrid[:40, :40]
    outside = np.hypot(rows - newest.y, columns - newest.x) > radius + 1e-4
    clicked = (rows == min(round(newest.y), 39)) & (columns == min(round(newest.x), 39))
    found = modulate(probability, clicks, r_max=12.0)
    np.testing.assert_array_equal(found[outside & ~clicked], probability[outside & ~clicked])


def test_limits_where_the_release_divides_by_zero():
    """Spec section 4: the clicked pixel's like move by gamma, all others keep their value."""
    probability = np.full((41, 41), 0.3, np.float32)
    lifted = modulate(probability, [Click(20, 20)], r_max=15.0)
    inside = np.hypot(*(np.mgrid[:41, :41] - 20)) <= 15
    np.testing.assert_allclose(lifted[inside & (lifted < 1)], 0.99, atol=1e-6)
    np.testing.assert_array_equal(lifted[~inside], probability[~inside])
    probability[20, 25] = 0.8  # one pixel differs: the median difference is zero
    assert modulate(probability, [Click(20, 20)], r_max=15.0)[20, 25] == np.float32(0.8)


def test_rgb_distance_moves_what_has_the_clicked_colour():
    """The supplement's Table S-5: colour takes the place of probability."""
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, 30:] = (0, 120, 255)
    image[40:] += np.arange(20, dtype=np.uint8)[:, None, None]  # so that the median colour difference is not zero
    probability = np.full((60, 60), 0.4, np.float32)
    found = modulate(probability, [Click(32, 20)], r_max=20.0, distance="rgb", image=image)
    assert found[20, 40] > 0.98
    assert found[20, 20] == np.float32(0.4)


@pytest.mark.parametrize("image", [None, np.zeros((3, 3, 3))])
def test_rgb_distance_needs_an_image_of_the_maps_size(image):
    with pytest.raises(ValueError, match=r"needs an image of shape \(4, 4, 3\)"):
        modulate(np.zeros((4, 4)), [Click(1, 1)], distance="rgb", image=image)


def test_unknown_distance():
    with pytest.raises(ValueError, match="got 'lab'"):
        modulate(np.zeros((4, 4)), [Click(1, 1)], distance="lab")


@pytest.mark.parametrize("clicks", [[], [Click(-1, -1, True, -1)], [Click(-0.5, 3, True, 0)]])
def test_without_a_newest_click_on_the_map_nothing_moves(clicks):
    probability = make_map(1, "noise")
    np.testing.assert_array_equal(modulate(probability, clicks), probability)


@settings(max_examples=100)
@given(click_lists, st.floats(0.5, 9))
def test_disks_hold_the_pixels_within_the_radius(clicks, radius):
    found = encode_clicks(clicks, 40, 40, radius)
    rows, columns = np.mgrid[:40, :40]
    for channel, positive in enumerate((True, False)):
        gaps = [np.hypot(rows - c.y, columns - c.x) for c in clicks if c.positive == positive]
        nearest = np.min(gaps, axis=0) if gaps else np.full((40, 40), np.inf)
        clear = np.abs(nearest - radius) > 1e-4  # nearer to the rim than that, float32 decides
        np.testing.assert_array_equal(found[channel][clear], (nearest <= radius)[clear])
