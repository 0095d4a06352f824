"""The `Click` dataclass, used by kernels and engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Click:
    """One click of the user.

    Attributes:
        x: column in pixels of the map it belongs to (image or network), 0 at the centre of the leftmost pixel.
        y: row in pixels, 0 at the centre of the top pixel.
        positive: sign: True adds to the object, False removes from it.
        index: position in the click order of its object, from 0; the newest click has the largest.
    """

    x: float
    y: float
    positive: bool = True
    index: int = 0
