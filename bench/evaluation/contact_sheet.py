"""Contact sheet: masks of each object after one, three and five clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engine.image import write_file
from ...engine.mask import Mask
from ...engine.network import Network
from ...engine.render import overlay_at
from ...kernels.clicks import Click
from ..datasets import Target
from .run import Conditions, Result, open_session

U8 = NDArray[np.uint8]

STEPS = (1, 3, 5)  # numbers of clicks
PER_ROW = 2  # objects side by side
TILE = (150, 200)  # (H, W) in pixels; pictures are fitted into it
GAP, MARGIN, CAPTION = 6, 18, 20
QUALITY = 85  # JPEG quality
PAPER, INK = (255, 255, 255), (34, 34, 34)  # RGB


@dataclass(frozen=True)
class Strip:
    """Pictures of one object after each of :data:`STEPS`; fewer where the object was finished before.

    Attributes:
        name: name of the object.
        pictures: mask and clicks over the photograph, uint8 h×w×3 RGB each.
        captions: one caption per picture.
    """

    name: str
    pictures: tuple[U8, ...]
    captions: tuple[str, ...]


def spread(results: Sequence[Result], count: int) -> list[Result]:
    """Pick ``count`` objects at even steps through all of them, so that the selection is unbiased."""
    count = min(count, len(results))
    return [results[number * len(results) // count] for number in range(count)]


def strips(
    network: Network,
    targets: Sequence[Target],
    results: Sequence[Result],
    conditions: Conditions,
) -> list[Strip]:
    """Repeat the clicks on objects to compute their masks.

    Args:
        network: network of the evaluation.
        targets, results: objects and their results, in the same order.
        conditions: conditions of the evaluation.
    """
    found = []
    for target, result in zip(targets, results, strict=True):
        photograph, _ = target.read()
        pictures, captions = [], []
        with open_session(network, photograph, conditions) as session:
            for number, (x, y, positive) in enumerate(result.clicks[: max(STEPS)], 1):
                mask = session.click(x, y, positive)
                if number in STEPS or number == len(result.clicks):
                    pictures.append(_small(photograph, mask, session.clicks))
                    words = f"{number} click{'s' if number > 1 else ''}"
                    captions.append(f"{words}: IoU {100 * result.ious[number - 1]:.1f} %")
        found.append(Strip(target.name, tuple(pictures), tuple(captions)))
    return found


def draw(found: Sequence[Strip]) -> U8:
    """Draw all strips on one page: uint8 h×w×3, RGB."""
    columns = min(PER_ROW, len(found))
    block = len(STEPS) * (TILE[1] + GAP) - GAP + MARGIN, TILE[0] + CAPTION + MARGIN  # (w, h)
    rows = -(-len(found) // columns)
    page = np.full((MARGIN + rows * block[1], MARGIN + columns * block[0], 3), PAPER, np.uint8)
    for number, strip in enumerate(found):
        left, top = MARGIN + number % columns * block[0], MARGIN // 2 + number // columns * block[1]
        for picture, caption in zip(strip.pictures, strip.captions, strict=True):
            place = left + 1, top + CAPTION - 6
            cv2.putText(page, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
            height, width = picture.shape[:2]
            page[top + CAPTION : top + CAPTION + height, left : left + width] = picture
            left += TILE[1] + GAP
    return page


def save(page: U8, path: Path) -> Path:
    """Write the page as JPEG."""
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(page[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return write_file(path, data.tobytes())


def _small(photograph: U8, mask: Mask, clicks: Sequence[Click]) -> U8:
    height, width = photograph.shape[:2]
    scale = min(TILE[0] / height, TILE[1] / width)
    return overlay_at((max(round(height * scale), 1), max(round(width * scale), 1)), photograph, mask, clicks)
