"""Region of interest: the part of the image that a click's network pass runs on (spec section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.clicks import Click
from .contract import Size

EXPANSION = 1.4
SMALLEST = 200.0  # pixels per side
REPLACE_BELOW = 0.5  # IoU of the new box with the stored one
OBJECT_THRESHOLD = 0.5  # probability above which a pixel counts as object here, for any mask threshold


class Roi(NamedTuple):
    """A box in image pixels, inclusive at both ends."""

    row_min: int
    row_max: int
    col_min: int
    col_max: int

    @property
    def height(self) -> int:
        return self.row_max - self.row_min + 1

    @property
    def width(self) -> int:
        return self.col_max - self.col_min + 1

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.row_min, self.row_max + 1), slice(self.col_min, self.col_max + 1)


def whole(height: int, width: int) -> Roi:
    return Roi(0, height - 1, 0, width - 1)


def hull(a: Roi, b: Roi) -> Roi:
    """The smallest box around two boxes."""
    return Roi(
        min(a.row_min, b.row_min), max(a.row_max, b.row_max), min(a.col_min, b.col_min), max(a.col_max, b.col_max)
    )


def network_size(size: Size | int, roi: Roi) -> Size:
    """The (H, W) that a region is resized to: ``size``, or if it is one number, the length of the longer side."""
    if not isinstance(size, int):
        return size
    # The quotient comes first, as in the release: a product first rounds 319 of 352 at 400 to 362 instead of 363.
    scale = size / max(roi.height, roi.width)
    return max(round(roi.height * scale), 1), max(round(roi.width * scale), 1)


def bounding_box(mask: NDArray[np.bool_]) -> Roi | None:
    """Bounding box of the True pixels of an H×W map, or None if there is none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return Roi(int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))


def choose_roi(stored: Roi | None, object_box: Roi | None, clicks: Sequence[Click], height: int, width: int) -> Roi:
    """Choose the region for the next pass.

    Args:
        stored: region of the previous pass, None before the first.
        object_box: bounding box of the probability map above :data:`OBJECT_THRESHOLD`, None if no pixel is.
        clicks: all clicks in image pixels, the newest included.
        height, width: size of the image in pixels.
    """
    positives = [click for click in clicks if click.positive]
    fresh = whole(height, width) if object_box is None else _around(object_box, positives, height, width)
    if stored is None or any(_is_outside(click, stored) for click in positives) or _iou(fresh, stored) < REPLACE_BELOW:
        return fresh
    return stored


def _around(box: Roi, positives: Sequence[Click], height: int, width: int) -> Roi:
    rows = [box.row_min, box.row_max, *(math.trunc(click.y) for click in positives)]
    columns = [box.col_min, box.col_max, *(math.trunc(click.x) for click in positives)]
    return Roi(*_expand(min(rows), max(rows), height), *_expand(min(columns), max(columns), width))


def _expand(low: int, high: int, length: int) -> tuple[int, int]:
    centre = 0.5 * (low + high)
    half = 0.5 * max(EXPANSION * (high - low + 1), SMALLEST)
    return max(round(centre - half), 0), min(round(centre + half), length - 1)


def _is_outside(click: Click, roi: Roi) -> bool:
    # The upper end counts as outside, as in the release.
    return not (roi.row_min <= click.y < roi.row_max and roi.col_min <= click.x < roi.col_max)


def _iou(a: Roi, b: Roi) -> float:
    return _interval_iou(a.row_min, a.row_max, b.row_min, b.row_max) * _interval_iou(
        a.col_min, a.col_max, b.col_min, b.col_max
    )


def _interval_iou(a_min: int, a_max: int, b_min: int, b_max: int) -> float:
    intersection = max(0, min(a_max, b_max) - max(a_min, b_min) + 1)
    union = max(a_max, b_max) - min(a_min, b_min) + 1  # for intervals that overlap; for others the ratio is 0 anyway
    return intersection / union
