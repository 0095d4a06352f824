"""Pictures for people."""

import numpy as np

from mfp import Click, Mask
from mfp.engine.render import NEGATIVE, POSITIVE, overlay


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
