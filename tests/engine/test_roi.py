"""The region of interest (spec section 5)."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfp.engine.roi import Roi, bounding_box, choose_roi, network_size, whole
from mfp.kernels.clicks import Click

HEIGHT, WIDTH = 600, 800


def test_without_an_object_it_is_the_whole_image():
    assert choose_roi(None, None, [Click(5, 5)], HEIGHT, WIDTH) == whole(HEIGHT, WIDTH)


def test_it_is_the_object_with_its_positive_clicks_expanded():
    box = Roi(200, 399, 300, 499)
    found = choose_roi(None, box, [Click(520.9, 300), Click(700, 10, False)], HEIGHT, WIDTH)
    # rows: centre 299.5, 1.4 · 200 = 280 high; columns: 300 … 520, centre 410, 1.4 · 221 = 309.4 wide; halves to even
    assert found == Roi(160, 440, 255, 565)


def test_small_objects_get_200_pixels_and_borders_clamp():
    assert choose_roi(None, Roi(0, 9, 790, 799), [], HEIGHT, WIDTH) == Roi(0, 104, 694, 799)


def test_a_stored_region_stays_while_it_fits():
    stored = Roi(100, 450, 200, 600)
    assert choose_roi(stored, Roi(180, 380, 280, 500), [Click(300, 200)], HEIGHT, WIDTH) == stored


def test_a_positive_click_on_its_upper_end_replaces_it_and_a_negative_one_does_not():
    stored, box = Roi(100, 450, 200, 600), Roi(180, 380, 280, 500)
    assert choose_roi(stored, box, [Click(300, 450, False)], HEIGHT, WIDTH) == stored
    assert choose_roi(stored, box, [Click(300, 450)], HEIGHT, WIDTH) != stored
    assert choose_roi(stored, box, [Click(300, 100)], HEIGHT, WIDTH) == stored


def test_a_much_smaller_object_replaces_it():
    assert choose_roi(whole(HEIGHT, WIDTH), Roi(10, 50, 10, 50), [Click(20, 20)], HEIGHT, WIDTH).height < 300


@given(
    st.tuples(st.integers(0, 599), st.integers(0, 599), st.integers(0, 799), st.integers(0, 799)),
    st.lists(st.tuples(st.integers(0, 799), st.integers(0, 599), st.booleans()), max_size=4),
)
def test_it_lies_in_the_image_and_holds_object_and_positive_clicks(sides, points):
    box = Roi(*sorted(sides[:2]), *sorted(sides[2:]))
    clicks = [Click(*point) for point in points]
    found = choose_roi(None, box, clicks, HEIGHT, WIDTH)
    assert 0 <= found.row_min <= box.row_min <= box.row_max <= found.row_max < HEIGHT
    assert 0 <= found.col_min <= box.col_min <= box.col_max <= found.col_max < WIDTH
    for click in clicks:
        if click.positive:
            assert found.row_min <= click.y <= found.row_max
            assert found.col_min <= click.x <= found.col_max


def test_bounding_box_of_nothing():
    assert bounding_box(np.zeros((4, 5), bool)) is None


def test_the_longer_side_becomes_a_number_as_in_the_release(golden):
    rows = json.loads(golden("roi_sizes.json").read_text())
    assert len(rows) == 44
    for height, width, size, *expected in rows:
        for top in (0, 7):
            roi = Roi(top, top + height - 1, 3, 3 + width - 1)
            assert network_size(size, roi) == tuple(expected), (height, width, size)
            assert network_size((48, 64), roi) == (48, 64)


@pytest.mark.parametrize(("region", "size"), [((1, 801), 400), ((8192, 2), 1)])
def test_a_side_has_at_least_one_pixel(region, size):
    assert min(network_size(size, whole(*region))) == 1
