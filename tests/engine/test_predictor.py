"""The SAM-shaped predictor over sessions."""

import numpy as np
import pytest

from mfp import Predictor, Session
from mfp.engine.errors import ClickError, OptionError, SessionError
from mfp.engine.network import Network

POINTS = np.array([[70, 50], [20, 20], [90, 40]])
LABELS = np.array([1, 0, 1])


class Counting(Network):
    runtime, device = "onnxruntime", "cpu"

    def __init__(self, inner):
        self.inner, self.info, self.passes = inner, inner.info, 0

    def __call__(self, *tensors):
        self.passes += 1
        return self.inner(*tensors)


@pytest.fixture
def image(photograph):
    return photograph("coffee")[::4, ::4]


@pytest.fixture
def predictor(toy, image):
    made = Predictor(Counting(toy), size=64)
    made.set_image(image)
    return made


def test_shapes_and_agreement_with_a_session(predictor, toy, image):
    masks, scores, logits = predictor.predict(POINTS, LABELS)
    session = Session(toy, image, size=64)
    for (x, y), label in zip(POINTS, LABELS, strict=True):
        session.click(x, y, bool(label))
    assert masks.shape == (1, 100, 150)
    assert masks.dtype == bool
    assert masks.flags.writeable  # tools for SAM edit them in place
    assert scores.shape == (1,)
    assert 0 <= scores[0] <= 1
    assert logits.shape == (1, 256, 256)
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(masks[0], session.mask.array)
    full, _, _ = predictor.predict(POINTS, LABELS, return_logits=True)
    np.testing.assert_array_equal(full[0] > 0, session.mask.array)


def test_points_that_extend_the_last_ones_cost_one_pass_each(predictor):
    predictor.predict(POINTS[:1], LABELS[:1])
    assert predictor.network.passes == 2
    _, _, logits = predictor.predict(POINTS[:2], LABELS[:2])
    assert predictor.network.passes == 3
    first, _, _ = predictor.predict(POINTS, LABELS, mask_input=logits)  # SAM's way of going on
    assert predictor.network.passes == 4
    again, _, _ = predictor.predict(POINTS, LABELS)
    assert predictor.network.passes == 4
    np.testing.assert_array_equal(first, again)


def test_other_points_start_over(predictor):
    predictor.predict(POINTS, LABELS)
    alone, _, _ = predictor.predict(POINTS[2:], LABELS[2:])
    assert predictor.network.passes == 4 + 2
    fresh = Predictor(predictor.network, size=64)
    fresh.set_image(predictor._image)
    np.testing.assert_array_equal(alone, fresh.predict(POINTS[2:])[0])


def test_points_that_share_a_beginning_cost_the_rest(predictor, toy, image):
    predictor.predict(POINTS, LABELS)
    passes = predictor.network.passes
    changed = np.array([[70, 50], [20, 20], [30, 90]])
    masks, _, _ = predictor.predict(changed, LABELS)
    assert predictor.network.passes == passes + 1
    shorter, _, _ = predictor.predict(POINTS[:2], LABELS[:2])  # a tool's undo
    assert predictor.network.passes == passes + 1
    for points, found in ((changed, masks), (POINTS[:2], shorter)):
        session = Session(toy, image, size=64)
        for (x, y), label in zip(points, LABELS, strict=False):
            session.click(x, y, bool(label))
        np.testing.assert_array_equal(found[0], session.mask.array)


def test_the_last_logits_with_points_of_their_own_are_a_start(predictor):
    _, _, logits = predictor.predict(POINTS[:2], LABELS[:2])
    passes = predictor.network.passes
    predictor.predict(POINTS[2:], LABELS[2:], mask_input=logits)
    assert predictor.network.passes == passes + 1  # from the mask: nothing to bootstrap


def test_a_foreign_mask_is_the_start(predictor):
    mask = np.full((1, 256, 256), -10, np.float32)
    mask[:, 64:192, 64:192] = 10
    predictor.predict(POINTS[:1], LABELS[:1], mask_input=mask)
    assert predictor.network.passes == 1  # nothing to bootstrap
    predictor.predict(POINTS[:2], LABELS[:2], mask_input=mask)
    assert predictor.network.passes == 2


def test_opencvs_channel_order(toy, image):
    rgb, bgr = Predictor(toy, size=64), Predictor(toy, size=64)
    rgb.set_image(image)
    bgr.set_image(image[:, :, ::-1], image_format="BGR")
    np.testing.assert_array_equal(rgb.predict(POINTS)[0], bgr.predict(POINTS)[0])


def test_before_an_image_is_set(toy):
    with pytest.raises(SessionError, match="set_image"):
        Predictor(toy).predict(POINTS)
    with pytest.raises(OptionError, match="mask_input"):
        Predictor(toy, initial_mask=np.zeros((3, 3), bool))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"box": [0, 0, 9, 9], "point_coords": POINTS}, "clicks, not boxes"),
        ({}, "point_coords"),
        ({"point_coords": [1, 2]}, "point_coords"),
        ({"point_coords": POINTS, "point_labels": [1, 0]}, r"shape \(3,\)"),
        ({"point_coords": POINTS, "point_labels": [1, 0, 2]}, "of 0 and 1"),
        ({"point_coords": POINTS, "point_labels": [1, 0, -1]}, "-1 stands for padding"),
        ({"point_coords": POINTS, "point_labels": [1, 0, 0.5]}, "of 0 and 1"),
        ({"point_coords": POINTS, "point_labels": [1, 0, np.nan]}, "of 0 and 1"),
        ({"point_coords": POINTS, "point_labels": ["1", "0", "1"]}, "array of numbers"),
        ({"point_coords": POINTS, "mask_input": np.full((1, 256, 256), np.nan)}, "NaN or infinity"),
        ({"point_coords": POINTS, "mask_input": np.tri(256)[None]}, "from 0 to 1: that is a mask"),
        ({"point_coords": POINTS, "mask_input": np.tri(256)[None] > 0}, "from 0 to 1: that is a mask"),
        ({"point_coords": POINTS, "mask_input": np.tri(256, dtype=np.uint8)[None] * 255}, "from 0 to 255"),
        ({"point_coords": POINTS, "mask_input": np.random.default_rng(0).random((1, 256, 256))}, "a probability map"),
        ({"point_coords": POINTS, "mask_input": np.zeros((256, 256))}, "mask_input"),
        ({"point_coords": POINTS, "mask_input": np.zeros((1, 8, 8))}, "mask_input"),
        ({"point_coords": POINTS, "mask_input": "previous"}, "array of numbers"),
        ({"point_coords": [[1, 2], [3]]}, "array of numbers"),
    ],
)
def test_arguments_that_are_refused(predictor, arguments, words):
    with pytest.raises(OptionError, match=words):
        predictor.predict(**arguments)


def test_a_point_outside(predictor):
    with pytest.raises(ClickError, match="outside"):
        predictor.predict([[70, 50], [200, 5]])
    masks, _, _ = predictor.predict([[70, 50], [100, 5]])
    assert masks.shape == (1, 100, 150)
