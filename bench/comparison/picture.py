"""Picture of the click after which two networks differ most."""

from __future__ import annotations

import math
from pathlib import PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engine.network import F32
from ...engine.render import overlay_at
from .compare import WorstCase, figure

U8 = NDArray[np.uint8]

SIDE = 640  # pixels of a map's longer side
NARROWEST = 440  # pixels of a column's width, so that its caption fits
MARGIN = 20
LINE = 26  # pixels from one line of text to the next
BAR = 14  # height of the colour scale in pixels
PAPER, INK = (255, 255, 255), (20, 20, 20)  # RGB
COLOURS = cv2.COLORMAP_INFERNO  # perceptually uniform, black where nothing differs
CHANGED = (0, 225, 225)  # RGB, not in COLOURS: pixels that are object in only one mask


def draw(case: WorstCase, reference: str, other: str) -> U8:
    """Draw both masks over the photograph and the map of differences, side by side, with captions.

    Args:
        case: worst case of a :class:`~mfp.bench.comparison.compare.Comparison`.
        reference, other: names of the networks in the captions; non-ASCII characters become "?".

    Returns:
        uint8 h×w×3, RGB.
    """
    found = case.difference
    height, width = case.gap.shape
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)  # (w, h), OpenCV's order
    top = found.probability_max
    changed = case.reference.array != case.other.array
    masked = [overlay_at(size[::-1], case.photograph, mask, case.clicks) for mask in (case.reference, case.other)]
    columns = [
        (masked[0], f"A: {reference}", f"mask of {case.reference.area:,} pixels"),
        (masked[1], f"B: {other}", f"mask of {case.other.area:,} pixels"),
        (_heat(case.gap, changed, size), "|probability A - probability B|", _count(changed)),
    ]
    step = max(size[0], NARROWEST) + MARGIN
    below = 3 * LINE + 2 * MARGIN  # upper edge of the maps
    canvas = np.full((below + size[1] + 2 * MARGIN + BAR + LINE, MARGIN + 3 * step, 3), PAPER, np.uint8)
    overlap = figure("mask_iou", found.mask_iou)
    title = f"{PurePath(found.image).name}, click {found.click}: lowest mask IoU of this comparison, {overlap}"
    _write(canvas, title, MARGIN, MARGIN + LINE // 2, canvas.shape[1] - 2 * MARGIN)
    for number, (picture, *captions) in enumerate(columns):
        left = MARGIN + number * step
        for line, text in enumerate(captions, 1):
            _write(canvas, text, left, MARGIN + LINE * line + LINE * 3 // 4, step - MARGIN)
        canvas[below : below + size[1], left : left + size[0]] = picture

    bar = below + size[1] + MARGIN // 2
    ramp = np.tile(np.linspace(0, 255, step - MARGIN).astype(np.uint8), (BAR, 1))
    canvas[bar : bar + BAR, left : left + step - MARGIN] = _coloured(ramp)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0) if top else (0.0,):
        text = f"{top * share**2:.2g}"  # the scale is square-root
        place = left + round(share * (step - MARGIN - _text_width(text)))
        _write(canvas, text, place, bar + BAR + LINE * 3 // 4, step)
    return canvas


def _count(changed: NDArray[np.bool_]) -> str:
    count = np.count_nonzero(changed)
    return f"the masks differ in {count:,} pixels" + (" (cyan)" if count else "")


def _heat(gap: F32, changed: NDArray[np.bool_], size: tuple[int, int]) -> U8:
    """The map of differences from 0 to its largest, on a square-root scale: most of them are far below the largest."""
    # A single differing pixel must stay visible when the map is shrunk: each pixel shows the largest value around it.
    reach = math.ceil(max(gap.shape[1] / size[0], gap.shape[0] / size[1]))
    largest, anywhere = (
        cv2.resize(cv2.dilate(values, np.ones((reach, reach), np.uint8)), size, interpolation=cv2.INTER_NEAREST_EXACT)
        for values in (gap, changed.view(np.uint8))
    )
    picture = _coloured(np.rint(np.sqrt(largest / (gap.max() or 1)) * 255).astype(np.uint8))
    picture[anywhere > 0] = CHANGED
    return picture


def _coloured(values: U8) -> U8:
    return np.asarray(cv2.applyColorMap(values, COLOURS)[:, :, ::-1], np.uint8)


def _write(canvas: U8, text: str, x: int, y: int, width: int) -> None:
    """Write one line of text with its baseline at (x, y), cut to ``width`` pixels."""
    text = text.encode("ascii", "replace").decode()  # OpenCV's fonts are ASCII
    while len(text) > 3 and _text_width(text) > width:
        text = text[:-4] + "..."
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, INK, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)[0][0])
