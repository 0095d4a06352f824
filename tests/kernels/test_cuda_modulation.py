"""Disks, window and modulation as kernels, against the specification and the release (spec sections 3 and 4)."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfp.kernels import reference
from mfp.kernels.clicks import Click
from mfp.kernels.reference import encode_clicks, modulate

OUTSIDE = 0xFFFFFFFF
MODULATION = "mfp_window", "mfp_select_second", "mfp_select_third"
GRIDS = [
    {"threads": 32, "blocks": 1},
    {"threads": 32, "blocks": 7, "backward": True},
    {"threads": 96, "blocks": 3},
    {"threads": 256, "blocks": 2, "backward": True},
    {"threads": 1024, "blocks": 1},
]

#: Quarters, so that pixels lie exactly on rims; off the map as well.
coordinate = st.integers(-12, 4 * 44).map(lambda quarters: quarters / 4)
click_lists = st.lists(st.tuples(coordinate, coordinate, st.booleans()), min_size=1, max_size=6).map(
    lambda rows: [Click(x, y, positive, i) for i, (x, y, positive) in enumerate(rows)]
)
kinds = st.sampled_from(["noise", "two values", "constant", "saturated", "denormal", "near"])


def make_map(seed, kind, shape):
    rng = np.random.default_rng(seed)
    noise = rng.random(shape, dtype=np.float32)
    if kind == "two values":
        return np.where(noise > 0.7, np.float32(0.8), np.float32(0.2))
    if kind == "constant":
        return np.full_like(noise, rng.choice([0.0, 1e-45, 0.3, 0.995, 1.0]))
    if kind == "saturated":
        return np.clip(noise * 3 - 1, 0, 1).astype(np.float32)
    if kind == "denormal":
        return (noise * 9).astype(np.uint32).view(np.float32)
    if kind == "near":  # all digits of the median but the last are alike
        return (np.float32(0.5).view(np.uint32) + (noise * 5).astype(np.uint32)).view(np.float32)
    return noise


def members(click, opposite, r_max, shape):
    """Boolean map of the window, by the specification."""
    y, x = float(np.float32(click.y)), float(np.float32(click.x))
    radius, cuts = reference._window_radius(click, opposite, r_max)
    everything = slice(0, shape[0]), slice(0, shape[1])
    inside = reference._squared_to_pixels(y, x, everything) <= radius * radius
    for cut_y, cut_x, cut_radius in cuts:
        inside &= reference._squared_to_pixels(cut_y, cut_x, everything) > cut_radius * cut_radius
    return inside


def test_disks_are_the_releases(workbench, golden, clicks_of):
    data = np.load(golden("disks.npz"))
    for i in range(int(data["n"])):
        shape = tuple(data[f"{i}_shape"])
        bench = workbench(shape[1:])
        bench.set_block(clicks_of(data[f"{i}_points"]))
        bench.run("mfp_begin", "mfp_disks")
        expected = np.unpackbits(data[f"{i}_disks"])[: np.prod(shape)].reshape(shape)
        np.testing.assert_array_equal(bench.get("clicks")[0], expected)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(click_lists, st.sampled_from([0.5, 2.25, 5.0]), st.sampled_from([(40, 37), (1, 65), (33, 2)]))
def test_disks_are_the_specifications(workbench, mirrored, clicks, radius, size):
    clicks = [*clicks, Click(-1, -1, True, -1), Click(-0.5, 3, False, -1)]
    bench = workbench(size, batch=2, threads=32)
    bench.set_block(clicks, disk_radius=radius)
    bench.run("mfp_begin", "mfp_disks")
    found = bench.get("clicks")
    np.testing.assert_array_equal(found[0], encode_clicks(clicks, *size, radius))
    np.testing.assert_array_equal(found[1], encode_clicks(mirrored(clicks, size[1]), *size, radius))


def test_modulation_is_the_releases(workbench, golden, clicks_of):
    data = np.load(golden("modulation.npz"))
    benches = {}
    worst = 0.0
    for i, tag in enumerate(data["tags"]):
        prev, expected, stride = data[f"{i}_prev"], data[f"{i}_out"], int(data[f"{i}_stride"])
        bench = benches.setdefault(prev.shape, workbench(prev.shape, threads=32))
        points = clicks_of(data[f"{i}_points"])
        found = bench.modulate(prev, points, n_early=data[f"{i}_N"], r_max=data[f"{i}_R_max"])[0]
        assert np.isfinite(found).all(), tag
        defined = np.isfinite(expected)
        assert defined.all() or data["nan_in_reference"][i], tag
        worst = max(worst, np.abs(found[::stride, ::stride] - expected)[defined].max(initial=0))
    assert worst < 1e-5


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32 - 1),
    kinds,
    click_lists,
    st.sampled_from([(40, 40), (41, 37), (3, 90), (1, 1)]),
    st.integers(0, 7),
    st.sampled_from([3.0, 10.0, 12.5, 100.0]),
    st.booleans(),
)
def test_modulation_is_the_specifications(workbench, mirrored, seed, kind, clicks, size, n_early, r_max, rgb):
    prev = make_map(seed, kind, (2, *size))
    image = np.random.default_rng(seed).integers(0, 256, (2, 3, *size)).astype(np.float32) / 255 if rgb else None
    bench = workbench(size, batch=2, threads=32)
    found = bench.modulate(prev, clicks, image, n_early=n_early, r_max=r_max)
    both = clicks, mirrored(clicks, size[1])
    if any(min(item[-1].x, item[-1].y) < 0 for item in both):  # the release's quirk: the whole batch stays
        np.testing.assert_array_equal(found, prev)
        return
    for i, item in enumerate(both):
        colours = {"distance": "rgb", "image": image[i].transpose(1, 2, 0)} if rgb else {}
        expected = modulate(prev[i], item, n_early, r_max, **colours)
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-5)
        inside = members(item[-1], [c for c in item if c.positive != item[-1].positive], r_max, size)
        touched = inside.copy()
        touched[min(round(item[-1].y), size[0] - 1), min(round(item[-1].x), size[1] - 1)] = True
        np.testing.assert_array_equal(found[i][~touched], prev[i][~touched])
        window = bench.windows[i]
        assert window["count"] == inside.sum()
        rows, columns = slice(window["row_start"], window["row_stop"]), slice(window["col_start"], window["col_stop"])
        assert not np.delete(np.delete(inside, np.r_[rows], 0), np.r_[columns], 1).any()
        np.testing.assert_array_equal(bench.get("keys")[i][rows, columns] != OUTSIDE, inside[rows, columns])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_modulation_does_not_depend_on_the_grid(workbench, grid, kind):
    prev = make_map(5, kind, (2, 45, 71))
    clicks = [Click(3, 3, False, 0), Click(60, 20.5, False, 1), Click(33.25, 21.5, True, 2)]
    expected = workbench((45, 71), batch=2, threads=64).modulate(prev, clicks, r_max=30)
    np.testing.assert_array_equal(workbench((45, 71), batch=2, **grid).modulate(prev, clicks, r_max=30), expected)
    assert (expected[0] != prev[0]).sum() > 200


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), kinds, st.sampled_from([2.0, 8.0, 60.0]))
def test_the_median_is_exact(workbench, seed, kind, radius):
    """Lower median of an even or odd number of keys, with ties, denormals, keys that differ in their last bits."""
    prev = make_map(seed, kind, (40, 40))
    prev[20, 20] = 0.6
    bench = workbench((40, 40), threads=32)
    bench.modulate(prev, [Click(20.4, 20.2)], r_max=radius)
    window = bench.windows[0]
    inside = members(Click(20.4, 20.2), [], radius, (40, 40))
    keys = np.abs(prev[inside] - prev[20, 20])
    expected = np.sort(keys)[(keys.size - 1) // 2]
    last_digit = np.searchsorted(np.cumsum(window["histogram"][2]), window["rank"][2], side="right")
    assert np.uint32(window["prefix"][2] << 10 | last_digit).view(np.float32) == expected


def test_the_window_of_one_click_does_not_show_in_the_next(workbench):
    """Counters start at zero with every click, whatever lies in the lane."""
    prev = make_map(1, "noise", (1, 40, 40))
    used, fresh = workbench((40, 40)), workbench((40, 40))
    used.modulate(prev, [Click(20, 20)], r_max=50)
    used.modulate(1 - prev, [Click(2, 3, False)], r_max=12)
    for clicks in ([Click(9, 5), Click(30, 30, False, 1)], [Click(30, 39, False, 9)]):
        np.testing.assert_array_equal(used.modulate(prev, clicks, r_max=30), fresh.modulate(prev, clicks, r_max=30))


@pytest.mark.parametrize(
    ("others", "r_max"),
    [
        ([(20, 25)], 100),  # the rim of the cut goes through the click's own pixel and eleven others
        ([(20, 30)], 100),  # at exactly 10 pixels nothing is cut
        ([(20, 30), (26, 28)], 100),
        ([(20, 25), (17, 24), (20, 29.75)], 100),
        ([(20, 20)], 100),  # a cut of one pixel
        ([(20, 26.5, -1)], 12),  # without an index it bounds nothing
    ],
)
@pytest.mark.parametrize("newest_index", [3, 9])
def test_opposite_clicks_cut_the_window(workbench, others, r_max, newest_index):
    others = [Click(x, y, False, *(index or [0])) for y, x, *index in others]
    click = Click(20, 20, True, newest_index)
    prev = make_map(8, "noise", (41, 41))
    bench = workbench((41, 41))
    found = bench.modulate(prev, [*others, click], r_max=r_max)[0]
    np.testing.assert_allclose(found, modulate(prev, [*others, click], r_max=r_max), rtol=0, atol=1e-5)
    inside = members(click, [other for other in others if other.index >= 0], r_max, (41, 41))
    window = bench.windows[0]
    rows, columns = slice(window["row_start"], window["row_stop"]), slice(window["col_start"], window["col_stop"])
    assert inside[rows, columns].sum() == inside.sum()
    np.testing.assert_array_equal(bench.get("keys")[0][rows, columns] != OUTSIDE, inside[rows, columns])


@pytest.mark.parametrize("p", [0.0, 1.0, 0.4])
@pytest.mark.parametrize("positive", [True, False])
def test_a_window_of_one_pixel_and_of_none(workbench, p, positive):
    prev = np.full((9, 9), p, np.float32)
    bench = workbench((9, 9))
    for click in (Click(4, 4, positive), Click(4.5, 4.5, positive)):
        found = bench.modulate(prev, [click], r_max=0.5)[0]
        np.testing.assert_allclose(found, modulate(prev, [click], r_max=0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("corner", [(0, 0), (39, 0), (0, 36), (39.49, 36.5), (39.9, 36.99)])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("index", [0, 9])
def test_clicks_at_the_corners(workbench, corner, positive, index):
    prev = make_map(2, "noise", (40, 37))
    click = Click(corner[1], corner[0], positive, index)
    found = workbench((40, 37)).modulate(prev, [click], r_max=15)[0]
    np.testing.assert_allclose(found, modulate(prev, [click], r_max=15), rtol=0, atol=1e-5)


@pytest.mark.parametrize("clicks", [[], [Click(-1, -1, True, -1)], [Click(-0.5, 3, True, 0)]])
def test_without_a_newest_click_on_the_map_nothing_moves(workbench, clicks):
    prev = make_map(1, "noise", (30, 30))
    bench = workbench((30, 30))
    bench.put("prev", prev)
    bench.set_block(clicks)
    if not clicks or clicks[0].index < 0:
        bench.set_block(newest=-1)
    bench.run("mfp_begin", *MODULATION, "mfp_modulate")
    np.testing.assert_array_equal(bench.get("modulated")[0, 0], prev)


def test_a_click_near_the_last_column_stops_the_modulation_of_both_items(workbench):
    """The quirk: its mirror image has a negative column (spec section 4)."""
    prev = make_map(3, "noise", (2, 20, 30))
    bench = workbench((20, 30), batch=2)
    assert (bench.modulate(prev, [Click(29.0, 10)]) != prev).any()
    np.testing.assert_array_equal(bench.modulate(prev, [Click(29.01, 10)]), prev)
    assert (workbench((20, 30)).modulate(prev[:1], [Click(29.01, 10)]) != prev[:1]).any()


def test_clicks_come_from_the_image_onto_the_maps(workbench):
    """In float64 and the release's order of operations, then float32."""
    height, width, roi = 48, 64, (10, 131, 7, 219)
    rng = np.random.default_rng(4)
    clicks = [Click(x, y, bool(i % 2), i) for i, (x, y) in enumerate(rng.uniform(7, 220, (16, 2)))]
    bench = workbench((height, width), batch=2)
    bench.set_picture(probability=np.zeros((200, 300), np.float32), roi=roi)
    bench.set_block(clicks, mapped=0)
    bench.run("mfp_begin")
    placed = bench.placed
    rows = [height * (c.y - roi[0]) / (roi[1] - roi[0] + 1) for c in clicks]
    columns = [width * (c.x - roi[2]) / (roi[3] - roi[2] + 1) for c in clicks]
    for item, expected in enumerate((columns, [width - column - 1 for column in columns])):
        np.testing.assert_array_equal(placed[item]["x"], np.float32(expected))
        np.testing.assert_array_equal(placed[item]["y"], np.float32(rows))
        np.testing.assert_array_equal(placed[item]["positive"], [c.positive for c in clicks])


def test_more_clicks_than_threads(workbench):
    rng = np.random.default_rng(6)
    clicks = [Click(x, y, bool(i % 3), i) for i, (x, y) in enumerate(rng.uniform(0, 40, (75, 2)))]
    prev = make_map(7, "noise", (40, 40))
    bench = workbench((40, 40), capacity=80, threads=32)
    found = bench.modulate(prev, clicks, n_early=100)[0]
    bench.run("mfp_disks")
    np.testing.assert_allclose(found, modulate(prev, clicks, n_early=100), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(bench.get("clicks")[0], encode_clicks(clicks, 40, 40))
