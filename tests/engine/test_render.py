"""Pictures for people."""

import numpy as np
import pytest

from mfp import Click, Mask
from mfp.engine.render import NEGATIVE, POSITIVE, overlay, overlay_at


def test_overlay_tints_the_object_and_marks_the_clicks():
    image = np.full((200, 300, 3), 100, np.uint8)
    inside = np.zeros((200, 300), bool)
    inside[50:150, 60:160] = True
    clicks = [Click(100, 100, True, 0), Click(250, 40, False, 1)]
    picture = overlay(image, Mask(inside), clicks)
    assert (image == 100).all()
    assert tuple(picture[100, 100]) == POSITIVE
    assert tuple(picture[40, 250]) == NEGATIVE
    assert (picture[140, 70] != 100).any()
    assert (picture[190, 10] == 100).all()


def test_overlay_of_nothing_and_of_everything_on_a_tiny_image():
    image = np.zeros((1, 1, 3), np.uint8)
    for value in (False, True):
        assert overlay(image, Mask(np.array([[value]])), [Click(0, 0)]).shape == (1, 1, 3)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1, 3])
def test_overlay_at_another_size_moves_mask_and_clicks_with_the_photograph(scale):
    image = np.full((200, 300, 3), 100, np.uint8)
    inside = np.zeros((200, 300), bool)
    inside[:100, :160] = True
    picture = overlay_at((round(200 * scale), round(300 * scale)), image, Mask(inside), [Click(200, 150, False, 0)])
    assert picture.shape == (200 * scale, 300 * scale, 3)
    at = [round((centre + 0.5) * scale - 0.5) for centre in (150, 200)]
    assert tuple(picture[at[0], at[1]]) == NEGATIVE
    tinted = (picture != 100).any(axis=2)
    assert tinted[: int(99 * scale), : int(159 * scale)].all()
    assert not tinted[: int(100 * scale), int(165 * scale) :].any()
    assert (overlay_at((200, 300), image, Mask(inside)) == overlay(image, Mask(inside))).all()
