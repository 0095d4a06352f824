"""Coordinates and signs of clicks."""

import numpy as np
import pytest

from mfp import Session
from mfp.engine.clicks import checked_click
from mfp.engine.errors import ClickError
from mfp.engine.sample import sample_photograph


@pytest.mark.parametrize("yes", [True, 1, np.True_, np.int64(1), np.uint8(1)])
def test_signs(yes):
    assert checked_click(1, 2, yes, 0, 9, 9).positive is True
    assert checked_click(1, 2, type(yes)(0), 0, 9, 9).positive is False


@pytest.mark.parametrize(
    "positive",
    [
        "negative",
        "positive",
        "0",
        "",
        b"",
        -1,
        2,
        np.int8(-1),
        None,
        0.5,
        1.0,
        float("nan"),
        np.float32(1),
        [],
        [1],
        {},
    ],
)
def test_what_is_no_sign_is_refused(toy, positive):
    session = Session(toy, sample_photograph()[:100, :150], size=64)
    session.click(70, 50)
    before = session.probability
    with pytest.raises(ClickError, match=r"True \(1\) or False \(0\) for a click's sign, got positive="):
        session.click(70, 50, positive)
    assert len(session.clicks) == 1
    np.testing.assert_array_equal(session.probability, before)


def test_coordinates_that_are_text():
    for x, y in (("5", 5), (5, "5"), (b"5", 5)):
        with pytest.raises(ClickError, match="expected numbers for a click's x and y"):
            checked_click(x, y, True, 0, 9, 9)
