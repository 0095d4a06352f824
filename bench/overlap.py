"""Intersection over union of a mask and a truth (spec section 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import DatasetError
from ..engine.mask import Mask


def iou(mask: Mask | NDArray[np.bool_], truth: NDArray[np.int8]) -> float:
    """Intersection over union in [0, 1]; pixels labelled ignore count in neither (spec section 6).

    Where neither has a pixel, the result is 1.0 (the release divides 0 by 0).

    Args:
        mask: mask or bool map, H×W.
        truth: int8, H×W: 1, 0, −1.

    Raises:
        DatasetError: types, values or sizes do not fit.
    """
    predicted = as_prediction(mask, truth)
    both = np.count_nonzero(predicted & (truth == 1))
    either = np.count_nonzero((predicted & (truth == 0)) | (truth == 1))
    return both / either if either else 1.0


def as_prediction(mask: Mask | NDArray[np.bool_], truth: NDArray[np.int8]) -> NDArray[np.bool_]:
    """``mask`` as a bool map H×W, checked against ``truth``."""
    if truth.dtype != np.int8 or truth.ndim != 2 or not truth.size or truth.min() < -1 or truth.max() > 1:
        raise DatasetError(
            "a truth is int8, H×W, of 1 (object), 0 (background) and −1 (ignore); "
            f"got {truth.dtype} {truth.shape} with values {np.unique(truth)[:5].tolist()}"
        )
    predicted = np.asarray(mask)
    if predicted.dtype != np.bool_ or predicted.shape != truth.shape:
        raise DatasetError(
            f"expected a mask of bool {truth.shape}, the size of the truth; got {predicted.dtype} {predicted.shape}"
        )
    return predicted
