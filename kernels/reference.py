"""The executable specification: click encoding and probability modulation in plain NumPy, float64.

Every faster implementation is tested against this file. Section numbers are those of the MFP paper's supplement and of
``docs/method.md``. Clicks are given in map coordinates, unrounded, as sequences of
:class:`~mfp.kernels.clicks.Click`.

Distances decide which pixels a click moves, so they are defined to the last bit (spec section 4, "Distances"); every
implementation follows these three rules:

1. The *squared distance* of two places with float32 coordinates is ``dy² + dx²``: the differences are rounded to
   float32, the squares are float64 and exact (24 bits squared are 48), the sum is rounded to float64 once. The result
   is therefore the same whether or not a processor fuses a product with a sum.
2. The *gap* of two clicks is the root of their squared distance, rounded to float64 and then to float32, by a
   correctly rounded square root: hardware's is, those of some vector libraries are not.
3. A pixel lies *within* a radius ``r`` if its squared distance is at most ``r²`` in float64; no root decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .clicks import Click

F64 = NDArray[np.float64]

MIN_RADIUS = 10.0  # pixels; also the distance below which opposite clicks cut pieces out of the window
DISK_RADIUS = 5.0  # pixels
TARGET_POSITIVE = 0.99  # an early positive click lifts its own pixel to this probability …
TARGET_NEGATIVE = 0.01  # … and a negative click lowers it to this one
SPREAD = 1000.0  # the release's rescaled maximum of the squared differences


def encode_clicks(clicks: Sequence[Click], height: int, width: int, radius: float = DISK_RADIUS) -> NDArray[np.float32]:
    """Disk maps of the clicks (spec section 3).

    Args:
        clicks: clicks in map pixels, centres not rounded. A click with both coordinates negative is padding.
        height, width: size of the map in pixels.
        radius: radius in pixels; a pixel belongs to a disk if ``dy² + dx² <= radius²``, in float32 as in the release.

    Returns:
        float32 (2, height, width) of 0 and 1: channel 0 positive clicks, channel 1 negative clicks.
    """
    disks = np.zeros((2, height, width), np.float32)
    rows = np.arange(height, dtype=np.float32)
    columns = np.arange(width, dtype=np.float32)
    for click in clicks:
        if max(click.x, click.y) < 0:
            continue
        near_rows = _span(click.y, radius, height)
        near_columns = _span(click.x, radius, width)
        dy = rows[near_rows, None] - np.float32(click.y)
        dx = columns[None, near_columns] - np.float32(click.x)
        disk = dy * dy + dx * dx <= np.float32(radius) ** 2
        disks[0 if click.positive else 1, near_rows, near_columns][disk] = 1.0
    return disks


def modulate(
    probability: ArrayLike,
    clicks: Sequence[Click],
    n_early: int = 7,
    r_max: float = 100.0,
    distance: str = "probability",
    image: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Probability modulation around the newest click (paper section 3.2, spec section 4).

    Args:
        probability: array (H, W) in [0, 1].
        clicks: all clicks of the object. The one with the largest index is the newest and the only one that acts; the
            others of opposite sign bound its window. A negative index marks padding.
        n_early: N; clicks with an index below it modulate by similarity, later ones by distance.
        r_max: R_max, radius of the window in pixels if there is no click of the opposite sign.
        distance: quantity that early clicks compare, ``"probability"`` (the release) or ``"rgb"`` (supplement, Table
            S-5).
        image: array (H, W, 3) of any scale; needed for ``"rgb"`` only.

    Returns:
        float32 (H, W) in [0, 1]. The input is unchanged if there is no click or the newest has negative coordinates.
        The result is finite also where the release divides by zero.

    Raises:
        ValueError: ``distance`` is unknown, or ``image`` is missing or has another size.
    """
    source = np.asarray(probability, np.float64)
    check_distance(distance, source.shape, None if image is None else np.shape(image))
    result = source.astype(np.float32)
    valid = [click for click in clicks if click.index >= 0]
    if not valid:
        return result
    newest = max(valid, key=lambda click: click.index)
    y, x = float(np.float32(newest.y)), float(np.float32(newest.x))
    if y < 0 or x < 0:
        return result

    opposite = [click for click in valid if click.positive != newest.positive]
    radius, cuts = _window_radius(newest, opposite, r_max)
    region = _span(y, radius, source.shape[0]), _span(x, radius, source.shape[1])
    squared_to_pixels = _squared_to_pixels(y, x, region)
    inside = squared_to_pixels <= radius * radius
    for cut_y, cut_x, cut_radius in cuts:
        inside &= _squared_to_pixels(cut_y, cut_x, region) > cut_radius * cut_radius
    if not inside.any():
        return result

    dist = np.sqrt(squared_to_pixels[inside])
    values = source[region][inside]
    clicked = _pixel(math.trunc(y), math.trunc(x), source.shape)
    p = float(source[clicked])
    if p == (0.0 if newest.positive else 1.0):
        farthest = dist.max()
        if farthest > 0:
            falloff = dist / farthest
            result[region][inside] = 1.0 - falloff if newest.positive else falloff
        return result

    gamma = _strength(p, newest.positive)
    if newest.index < n_early:
        if distance == "rgb":
            colours = np.asarray(image, np.float64)
            squared = ((colours[region][inside] - colours[clicked]) ** 2).sum(axis=-1)
        else:
            squared = (values - p) ** 2
        exponent = _exponent_by_similarity(squared, gamma)
    else:
        exponent = gamma * (1.0 - dist / radius) + dist / radius
    result[region][inside] = values ** (1.0 / exponent if newest.positive else exponent)
    result[_pixel(round(y), round(x), source.shape)] = 1.0 if newest.positive else 0.0
    return result


def squared_distances(dy: NDArray[np.float32], dx: NDArray[np.float32]) -> F64:
    """Squared distances ``dy² + dx²`` of float32 differences of any broadcastable shapes (rule 1 above)."""
    rows, columns = dy.astype(np.float64), dx.astype(np.float64)
    return rows * rows + columns * columns


def click_gaps(newest: Click, others: Sequence[Click]) -> NDArray[np.float32]:
    """Distances of clicks to the newest one, float32, one per click (rules 1 and 2 above)."""
    places = np.array([(click.y, click.x) for click in others], np.float32).reshape(-1, 2)
    offsets = places - np.array((newest.y, newest.x), np.float32)
    return np.sqrt(squared_distances(offsets[:, 0], offsets[:, 1])).astype(np.float32)


def check_distance(distance: str, shape: tuple[int, ...], image: tuple[int, ...] | None) -> None:
    """Check :func:`modulate`'s ``distance``, and the shapes of its map and image against each other.

    Raises:
        ValueError: the ``distance`` is unknown, or the image is missing or has another size.
    """
    if distance not in ("probability", "rgb"):
        raise ValueError(f'distance must be "probability" or "rgb", got {distance!r}')
    if distance == "rgb" and image != (*shape, 3):
        raise ValueError(f'distance="rgb" needs an image of shape {(*shape, 3)}, got {image or "none"}')


def _window_radius(
    newest: Click, opposite: Sequence[Click], r_max: float
) -> tuple[float, list[tuple[float, float, float]]]:
    """Radius of the window, and the disks (y, x, radius) cut out of it."""
    if not opposite:
        return float(r_max), []
    gaps = [float(gap) for gap in click_gaps(newest, opposite)]
    radius = max(min(gaps) / 2, MIN_RADIUS)
    cuts = [
        (float(np.float32(click.y)), float(np.float32(click.x)), gap)
        for click, gap in zip(opposite, gaps, strict=True)
        if gap < MIN_RADIUS
    ]
    return radius, cuts


def _strength(p: float, positive: bool) -> float:
    """The gamma that moves probability ``p`` at the clicked pixel to its target; 1 if it is there already."""
    if positive:
        return 1.0 / (math.log(TARGET_POSITIVE) / math.log(p) + 1e-8) if p < TARGET_POSITIVE else 1.0
    return math.log(TARGET_NEGATIVE) / math.log(p) if p > TARGET_NEGATIVE else 1.0


def _exponent_by_similarity(squared: F64, gamma: float) -> F64:
    """Exponent of early clicks: ``gamma`` for pixels like the clicked one, 1 from the median difference on."""
    largest = squared.max()
    spread = squared / largest * SPREAD if largest > 0 else squared
    median = np.partition(spread, (spread.size - 1) // 2)[(spread.size - 1) // 2]  # lower median
    if median == 0:  # the release divides by zero here; this is the limit of the formula
        return np.where(spread == 0, gamma, 1.0)
    below = median - spread
    # The cube is written out: NumPy's power is 20 times slower for negative bases.
    exponent: F64 = np.maximum(1.0, (gamma - 1.0) / median**3 * (below * below * below) + 1.0)
    return exponent


def _squared_to_pixels(y: float, x: float, region: tuple[slice, slice]) -> F64:
    """Squared distances of the pixels of ``region`` to (y, x), which are float32 numbers."""
    rows = np.arange(region[0].start, region[0].stop, dtype=np.float32)
    columns = np.arange(region[1].start, region[1].stop, dtype=np.float32)
    return squared_distances(rows[:, None] - np.float32(y), columns[None, :] - np.float32(x))


def _span(centre: float, radius: float, length: int) -> slice:
    """Indices that can lie within ``radius`` of ``centre``; possibly empty, never outside 0 … length."""
    start = min(max(math.floor(centre - radius), 0), length)
    return slice(start, min(max(math.ceil(centre + radius) + 1, start), length))


def _pixel(row: int, column: int, shape: tuple[int, ...]) -> tuple[int, int]:
    return min(max(row, 0), shape[0] - 1), min(max(column, 0), shape[1] - 1)
