import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mfp.bench.accuracy import iou, mean_iou_curve, next_click, noc, run_object, truth_from_trimap
from mfp.engine.errors import ClickError, DatasetError
from mfp.engine.mask import Mask
from mfp.kernels.clicks import Click

GOLDEN = Path(__file__).parents[2] / "golden"

CLICKER = np.load(GOLDEN / "clicker.npz")


@st.composite
def truth_and_mask(draw):
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return draw(arrays(np.int8, shape, elements=st.integers(-1, 1))), draw(arrays(np.bool_, shape))


def squared_depth(region: np.ndarray) -> np.ndarray:
    """The definition, by brute force: nearest pixel outside the region in the map with a frame around it."""
    outside = np.argwhere(~np.pad(region, 1)) - 1
    depth = np.zeros(region.shape, int)
    for y, x in np.argwhere(region):
        depth[y, x] = np.min(np.sum((outside - (y, x)) ** 2, axis=1))
    return depth


def disk(height: int, width: int, row: int, column: int, radius: float) -> np.ndarray:
    ys, xs = np.ogrid[:height, :width]
    return (ys - row) ** 2 + (xs - column) ** 2 <= radius**2


class Painter:
    """A session that answers the n-th click with the n-th mask."""

    def __init__(self, masks: list):
        self.masks = iter(masks)
        self.clicks: list = []

    def click(self, x: float, y: float, positive: bool = True) -> Mask:
        self.clicks.append((x, y, positive))
        return Mask(next(self.masks))


# The simulated user


@pytest.mark.parametrize("case", range(int(CLICKER["n"])))
def test_clicks_of_the_release(case):
    truth, mask, expected = (CLICKER[f"{case}_{name}"] for name in ("gt", "pred", "clicks"))
    clicks: list[Click] = []
    for _ in expected:
        clicks.append(next_click(truth, mask, clicks))
    assert [(click.y, click.x, click.positive) for click in clicks] == [tuple(row) for row in expected]
    assert [click.index for click in clicks] == [0, 1, 2]


@given(truth_and_mask(), st.integers(0, 6))
def test_click_is_the_deepest_wrong_pixel_not_yet_clicked(pair, rounds):
    truth, mask = pair
    missed, excess = squared_depth((truth == 1) & ~mask), squared_depth((truth == 0) & mask)
    clicked: list[Click] = []
    for _ in range(rounds):
        click = next_click(truth, Mask(mask), clicked)
        if click is None:
            assert missed.max() == excess.max() == 0
            return
        deepest = missed if click.positive else excess
        assert click.positive == (missed.max() > excess.max())
        assert [click.y, click.x] == np.argwhere(deepest == deepest.max())[0].tolist()
        assert truth[click.y, click.x] == click.positive != mask[click.y, click.x]
        assert (click.x, click.y) not in [(c.x, c.y) for c in clicked]
        assert click.index == len(clicked)
        clicked.append(click)
        missed[click.y, click.x] = excess[click.y, click.x] = 0


def test_squared_distances_are_exact_on_large_maps():
    # The depth of an object that is missed but for one pixel is known: to that pixel or out of the image.
    truth = np.ones((1500, 2200), np.int8)
    mask = np.zeros(truth.shape, np.bool_)
    mask[701, 903] = True
    click = next_click(truth, mask, [])
    ys, xs = np.mgrid[: truth.shape[0], : truth.shape[1]]
    to_border = np.minimum(np.minimum(ys + 1, 1500 - ys), np.minimum(xs + 1, 2200 - xs)) ** 2
    depth = np.minimum(to_border, (ys - 701) ** 2 + (xs - 903) ** 2)
    assert (click.y, click.x) == divmod(int(depth.argmax()), 2200)


def test_equally_deep_errors_are_answered_with_a_negative_click():
    truth = np.array([[1, 0, 0, 0]], np.int8)
    mask = np.array([[False, False, True, False]])
    assert next_click(truth, mask, []) == Click(x=2, y=0, positive=False, index=0)


def test_ties_go_to_the_first_pixel_in_row_major_order():
    truth = np.zeros((5, 9), np.int8)
    truth[1:4, 1:8] = 1
    assert next_click(truth, truth == 0, [Click(3, 2)]) == Click(2, 2, True, 1)


def test_earlier_click_outside_the_image_is_refused():
    truth = np.ones((3, 4), np.int8)
    for outside in (Click(4, 0), Click(0, 3), Click(-1, 0)):
        with pytest.raises(ClickError, match="4×3"):
            next_click(truth, truth == 0, [outside])


# IoU


@given(truth_and_mask())
def test_iou_agrees_with_counting(pair):
    truth, mask = pair
    pixels = [(bool(m), t == 1) for m, t in zip(mask.flat, truth.flat, strict=True) if t >= 0]
    both, either = sum(m and t for m, t in pixels), sum(m or t for m, t in pixels)
    assert iou(Mask(mask), truth) == iou(mask, truth) == (both / either if either else 1.0)


def test_truth_and_mask_that_do_not_fit_are_refused():
    truth = np.ones((3, 4), np.int8)
    for wrong in (truth.astype(int), truth * 2, truth[0], truth[:0]):
        with pytest.raises(DatasetError, match="a truth is int8"):
            iou(np.zeros((3, 4), np.bool_), wrong)
    for wrong in (np.zeros((4, 3), np.bool_), np.zeros((3, 4))):
        with pytest.raises(DatasetError, match="expected a mask of bool"):
            next_click(truth, wrong, [])


def test_truth_from_trimap():
    trimap = np.array([[0, 128], [255, 0]], np.uint8)
    truth = truth_from_trimap(trimap)
    assert truth.dtype == np.int8
    assert truth.tolist() == [[0, -1], [1, 0]]
    for wrong in (trimap + 1, trimap.astype(int), trimap[0]):
        with pytest.raises(DatasetError, match="a trimap"):
            truth_from_trimap(wrong)


# Metrics


def test_metrics_of_the_release():
    golden = json.loads((GOLDEN / "noc.json").read_text("utf-8"))
    results = [noc(golden["ious"], q, golden["max_clicks"]) for q in golden["thresholds"]]
    assert [result.mean for result in results] == golden["noc"]
    assert [result.std for result in results] == golden["noc_std"]
    assert [result.at_max for result in results] == golden["clicks_at_max"]


def test_noc_counts_the_first_click_at_or_above_the_threshold():
    assert noc([[0.5, 0.9, 0.2], [0.9]], 0.9) == (1.5, 0.5, 0)
    assert noc([[0.1] * 4 + [1.0]], 0.9, max_clicks=4) == (4.0, 0.0, 1)
    assert noc([[0.1, 0.9]], 0.9, max_clicks=2) == (
        2.0,
        0.0,
        1,
    )  # reached with the last click: counted all the same
    with pytest.raises(DatasetError):
        noc([], 0.9)


def test_mean_iou_curve_keeps_the_last_iou():
    curve = mean_iou_curve([[0.5, 1.0], [0.0, 0.25, 0.5]], max_clicks=4)
    assert curve.tolist() == [0.25, 0.625, 0.75, 0.75]
    for wrong in ([], [[0.5], []]):
        with pytest.raises(DatasetError):
            mean_iou_curve(wrong)


# A whole object


def test_run_object_clicks_until_the_iou_is_reached():
    truth = disk(40, 60, 20, 30, 12).astype(np.int8)
    session = Painter([disk(40, 60, 20, 30, 8), disk(40, 60, 20, 30, 14), truth == 1, EOFError])
    ious = run_object(session, truth)
    assert ious == sorted(ious)
    assert len(ious) == 3
    assert ious[-1] == 1.0
    assert session.clicks[0] == (30, 20, True)
    assert [positive for *_, positive in session.clicks] == [True, True, False]


def test_run_object_stops_after_max_clicks_or_when_nothing_is_left_to_click():
    truth = disk(9, 9, 4, 4, 3).astype(np.int8)
    nothing = np.zeros((9, 9), np.bool_)
    assert run_object(Painter([nothing] * 5), truth, max_clicks=5) == [0.0] * 5
    single = np.eye(1, 3, dtype=np.int8)
    session = Painter([np.array([[False, True, False]]), np.zeros((1, 3), np.bool_)])
    assert run_object(session, single) == [0.0, 0.0]
    assert session.clicks == [(0, 0, True), (1, 0, False)]
    with pytest.raises(DatasetError, match="object pixel"):
        run_object(Painter([]), nothing.astype(np.int8))
