"""Evaluation protocol (spec section 6): a simulated user, IoU, number of clicks.

Truth is int8, H×W: 1 object, 0 background, −1 ignore.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import cv2
import numpy as np

from ...engine.errors import ClickError, DatasetError
from ...engine.mask import Mask
from ...kernels.clicks import Click
from ..overlap import as_prediction, iou

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAX_CLICKS = 20  # maximum of the published protocol
THRESHOLDS = (0.85, 0.90, 0.95)  # IoUs up to which the published protocol counts clicks


class Clickable(Protocol):
    """Interface that :func:`play` uses: one image that answers clicks with masks."""

    def click(self, x: float, y: float, positive: bool = True) -> Mask: ...


class NoC(NamedTuple):
    """Number of clicks over the objects of a data set, at one IoU threshold.

    Attributes:
        mean: NoC@q, mean number of clicks.
        std: population standard deviation of the number of clicks.
        at_max: NoF@q, number of objects that needed all clicks or failed.
    """

    mean: float
    std: float
    at_max: int


def truth_from_trimap(trimap: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Convert a trimap in GrabCut's format to a truth.

    Args:
        trimap: uint8, H×W: 0 background, 128 ignore, 255 object.

    Returns:
        int8, H×W: 0, −1, 1.

    Raises:
        DatasetError: the trimap has another type, shape or value.
    """
    if trimap.dtype != np.uint8 or trimap.ndim != 2:
        raise DatasetError(f"a trimap is uint8, H×W; got {trimap.dtype} {trimap.shape}")
    unknown = np.setdiff1d(trimap, (0, 128, 255))
    if unknown.size:
        raise DatasetError(f"a trimap holds 0, 128 and 255; got {unknown[:5].tolist()} as well")
    truth = np.zeros(trimap.shape, np.int8)
    truth[trimap == 128] = -1
    truth[trimap == 255] = 1
    return truth


def next_click(truth: NDArray[np.int8], mask: Mask | NDArray[np.bool_], clicked: Sequence[Click]) -> Click | None:
    """Next click of the simulated user (spec section 6).

    The click is at the pixel deepest inside an error region, missed object or excess mask, measured to the
    nearest pixel outside the region, or outside the image. It is positive where the object is missed by
    strictly more than the mask exceeds it. Ties go to the first pixel in row-major order.

    Squared distances are compared as integers, because OpenCV's float distances may differ in the last bit
    from run to run. They are exact for images up to 4090×4090 pixels (measured against an exact transform).
    In larger images a squared distance may be off by 1, so that the click may be on a pixel whose squared distance
    is 1 below the largest.

    Args:
        truth: int8, H×W: 1, 0, −1.
        mask: current mask, H×W.
        clicked: earlier clicks, in image pixels; their pixels are not clicked again.

    Returns:
        The click; x and y are integers, its index is the number of clicks before it. None where every wrong pixel
        has been clicked, or none is wrong.

    Raises:
        DatasetError: types, values or sizes do not fit.
        ClickError: an earlier click lies outside the image.
    """
    predicted = as_prediction(mask, truth)
    missed = _squared_depth((truth == 1) & ~predicted)
    excess = _squared_depth((truth == 0) & predicted)
    height, width = truth.shape
    for click in clicked:
        row, column = int(click.y), int(click.x)
        if not (0 <= row < height and 0 <= column < width):
            raise ClickError(f"expected clicks inside {width}×{height} (x, y) pixels; got ({click.x}, {click.y})")
        missed[row, column] = excess[row, column] = 0
    positive = bool(missed.max() > excess.max())
    depth = missed if positive else excess
    row, column = divmod(int(depth.argmax()), width)
    return Click(column, row, positive, len(clicked)) if depth[row, column] else None


class Turn(NamedTuple):
    """One click of the simulated user and the resulting mask.

    Attributes:
        click: the click, in image pixels.
        mask: mask after the click, H×W.
        iou: IoU of the mask and the truth, in [0, 1].
    """

    click: Click
    mask: Mask
    iou: float


def play(
    session: Clickable, truth: NDArray[np.int8], max_clicks: int = MAX_CLICKS, stop_iou: float | None = None
) -> Iterator[Turn]:
    """Run the simulated user on one object, click by click (spec section 6).

    The iterator ends after ``max_clicks``, once ``stop_iou`` is reached, or where no wrong pixel is left to click on.

    Args:
        session: session on the object's image without clicks.
        truth: int8, H×W: 1, 0, −1, with at least one pixel of object.
        max_clicks: largest number of clicks.
        stop_iou: IoU in [0, 1] at which the user stops; None: the user goes on, as in the published results.

    Raises:
        DatasetError: the truth has no object, or a mask does not fit it.
    """
    if not np.any(truth == 1):
        raise DatasetError("expected a truth with at least one object pixel (1); there is nothing to click on")
    mask: Mask | NDArray[np.bool_] = np.zeros(truth.shape, np.bool_)
    clicks: list[Click] = []
    while len(clicks) < max_clicks:
        click = next_click(truth, mask, clicks)
        if click is None:
            return
        clicks.append(click)
        mask = session.click(click.x, click.y, positive=click.positive)
        turn = Turn(click, mask, iou(mask, truth))
        yield turn
        if stop_iou is not None and turn.iou >= stop_iou:
            return


def run_object(
    session: Clickable, truth: NDArray[np.int8], max_clicks: int = MAX_CLICKS, stop_iou: float | None = 0.95
) -> list[float]:
    """IoU after each click of the simulated user on one object; see :func:`play`.

    Returns:
        One IoU per click, from 1 to ``max_clicks`` of them.
    """
    return [turn.iou for turn in play(session, truth, max_clicks, stop_iou)]


def clicks_needed(ious: Sequence[float], threshold: float, max_clicks: int = MAX_CLICKS) -> int:
    """Number of the first click with an IoU ≥ ``threshold``; ``max_clicks`` where there is none (spec section 6)."""
    return next((n for n, value in enumerate(ious[:max_clicks], 1) if value >= threshold), max_clicks)


def noc(ious: Sequence[Sequence[float]], threshold: float, max_clicks: int = MAX_CLICKS) -> NoC:
    """Number of clicks until an IoU is reached (spec section 6).

    An object counts with the number of the first click whose IoU ≥ ``threshold``, or else with ``max_clicks``.

    Args:
        ious: IoU after each click of each object; the IoUs of an object may stop early.
        threshold: q, in [0, 1].
        max_clicks: number of clicks after which clicks do not count.

    Raises:
        DatasetError: there are no objects.
    """
    if not ious:
        raise DatasetError("expected the IoUs of at least one object; got none")
    needed = np.array([clicks_needed(curve, threshold, max_clicks) for curve in ious])
    return NoC(float(needed.mean()), float(needed.std()), int(np.count_nonzero(needed == max_clicks)))


def mean_iou_curve(ious: Sequence[Sequence[float]], max_clicks: int = MAX_CLICKS) -> NDArray[np.float64]:
    """Mean IoU over the objects after 1, 2, … ``max_clicks`` clicks: float64, (max_clicks,).

    An object that stopped early keeps its last IoU.

    Raises:
        DatasetError: there are no objects, or one without a click.
    """
    if not ious or not all(ious):
        raise DatasetError("expected at least one object, each with the IoU of at least one click")
    curves = np.array([[curve[min(n, len(curve) - 1)] for n in range(max_clicks)] for curve in ious], float)
    mean: NDArray[np.float64] = curves.mean(axis=0)
    return mean


def area_under_curve(curve: NDArray[np.float64]) -> float:
    """Area under a curve of mean IoU against clicks, in [0, 1], as in the legend of the paper's Figure S-2.

    The area is the sum of trapezoids from the first click to the last, divided by the area under a constant 1. The
    release's ``plot_ious_analysis.py`` computes the same and prints it in percent. The area of a single click is its
    IoU.
    """
    return float(((curve[1:] + curve[:-1]) / 2).mean() if len(curve) > 1 else curve[0])


def _squared_depth(region: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Squared distance of each pixel of ``region`` to the nearest pixel outside; 0 outside. H×W."""
    padded = np.pad(region.view(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Rounded to float32, a distance below 2048 (half of 4096) is off by 2⁻¹⁴ at most, its square by ¼.
    return np.rint(distance.astype(np.float64) ** 2).astype(np.int64)
