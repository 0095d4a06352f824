"""Overlay pictures: the mask over the photograph, with the clicks on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..kernels.clicks import Click
from .mask import Mask

OBJECT = (30, 144, 255)  # RGB
POSITIVE = (46, 204, 64)
NEGATIVE = (255, 65, 54)
OUTLINE = (255, 255, 255)
OPACITY = 0.45


def overlay(image: NDArray[np.uint8], mask: Mask, clicks: Sequence[Click] = ()) -> NDArray[np.uint8]:
    """Draw the photograph with the mask tinted and outlined and the clicks as numbered dots.

    Args:
        image: photograph, H×W×3 uint8 RGB.
        mask: mask of the same size.
        clicks: clicks in image pixels; positive ones are green, negative ones red.

    Returns:
        H×W×3 uint8 RGB, a new array.
    """
    import cv2

    picture: NDArray[np.uint8] = image.copy()
    inside = mask.array
    tinted = cv2.addWeighted(image, 1 - OPACITY, np.full_like(image, OBJECT), OPACITY, 0)
    np.copyto(picture, np.asarray(tinted, np.uint8), where=inside[:, :, None])
    line = max(1, round(max(image.shape[:2]) / 400))
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, OBJECT, line)
    for number, click in enumerate(clicks, 1):
        centre = round(click.x), round(click.y)
        cv2.circle(picture, centre, 6 * line, OUTLINE, -1, cv2.LINE_AA)
        cv2.circle(picture, centre, 5 * line, POSITIVE if click.positive else NEGATIVE, -1, cv2.LINE_AA)
        place = centre[0] + 8 * line, centre[1] + 4 * line
        for colour, thickness in (((0, 0, 0), 3 * line), (OUTLINE, line)):
            cv2.putText(
                picture,
                str(number),
                place,
                cv2.FONT_HERSHEY_SIMPLEX,
                0.5 * line,
                colour,
                thickness,
                cv2.LINE_AA,
            )
    return picture


def overlay_at(
    size: tuple[int, int], image: NDArray[np.uint8], mask: Mask, clicks: Sequence[Click] = ()
) -> NDArray[np.uint8]:
    """Draw :func:`overlay` at another size, so that outlines stay crisp and clicks visible.

    Args:
        size: size (h, w) of the picture in pixels.
        image, mask, clicks: inputs of :func:`overlay`, at size H×W.

    Returns:
        The picture, h×w×3 uint8 RGB.
    """
    import cv2

    height, width = mask.shape
    shrinks = size[1] < width
    picture = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    share = cv2.resize(
        mask.array.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST_EXACT
    )
    # Pixel centres are whole numbers, so the corner of the image is at -1/2.
    moved = [
        replace(click, x=(click.x + 0.5) * size[1] / width - 0.5, y=(click.y + 0.5) * size[0] / height - 0.5)
        for click in clicks
    ]
    return overlay(np.asarray(picture, np.uint8), Mask(share > 0.5), moved)
