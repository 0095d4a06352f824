"""Checks of a click's coordinates and sign."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..kernels.clicks import Click
from .errors import ClickError


def checked_click(x: Any, y: Any, positive: Any, index: int, height: int, width: int) -> Click:
    """Check a click from the user and return it as a :class:`Click`.

    Raises:
        ClickError: the coordinates are not finite or not in the image, or the sign is neither a boolean nor 0 or 1.
    """
    try:
        if any(map(_no_number, (x, y))):
            raise TypeError
        x, y = float(x), float(y)
    except (TypeError, ValueError, OverflowError):
        raise ClickError(f"expected numbers for a click's x and y, got {x!r} and {y!r}") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ClickError(f"expected finite coordinates, got x={x}, y={y}")
    if not (0 <= x < width and 0 <= y < height):
        raise ClickError(
            f"click outside the image: expected 0 <= x < {width} and 0 <= y < {height}, got x={x:g}, y={y:g}"
        )
    return Click(x, y, _sign(positive), index)


def _no_number(value: Any) -> bool:
    """Whether a value is no number although float() accepts it: text, boolean, complex or masked, also in an array."""
    if isinstance(value, (str, bytes, bytearray)) or value is np.ma.masked:
        return True
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).removeprefix("torch.").startswith(
        ("bool", "complex")
    )


def _sign(positive: Any) -> bool:
    """A click's sign. Values that are only truthy or falsy in Python ("negative", -1, 0.5) are refused."""
    try:
        found = int(positive) if isinstance(positive, np.bool_) else operator.index(positive)
    except TypeError:
        found = -1
    if found not in (0, 1):
        raise ClickError(
            f"expected True (1) or False (0) for a click's sign, got positive={positive!r}; True adds to the object, "
            "False removes from it"
        )
    return found == 1
