"""Probability modulation in PyTorch operators, the baseline for the kernels' times.

It works on the window of one map, as an application would. :mod:`mfp.training.modulation`, which handles batches
without a loop, works on whole maps and would be too slow a baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.clicks import Click
from ...kernels.reference import MIN_RADIUS, SPREAD, TARGET_NEGATIVE, TARGET_POSITIVE, click_gaps


def modulate(probability: Any, clicks: Sequence[Click], n_early: int = 7, r_max: float = 100.0) -> Any:
    """:func:`mfp.kernels.reference.modulate`, line by line in operators on the map's device, in float32 but for the
    squared distances that decide which pixels lie in the window.

    Args:
        probability: float32 tensor (H, W) in [0, 1].
        clicks: at least one click, in non-negative map coordinates; the one with the largest index is the newest.
        n_early, r_max: N and R_max.

    Returns:
        float32 tensor (H, W).
    """
    import torch

    height, width = probability.shape
    newest = max(clicks, key=lambda click: click.index)
    y, x = _float32(newest.y), _float32(newest.x)
    opposite = [click for click in clicks if click.positive != newest.positive]
    gaps = click_gaps(newest, opposite).tolist()
    radius = max(min(gaps) / 2, MIN_RADIUS) if gaps else r_max
    rows = slice(max(math.floor(y - radius), 0), min(math.ceil(y + radius) + 1, height))
    columns = slice(max(math.floor(x - radius), 0), min(math.ceil(x + radius) + 1, width))
    row = torch.arange(rows.start, rows.stop, dtype=torch.float32, device=probability.device)[:, None]
    column = torch.arange(columns.start, columns.stop, dtype=torch.float32, device=probability.device)

    squared = (row - y).double() ** 2 + (column - x).double() ** 2
    inside = squared <= radius * radius
    for click, gap in zip(opposite, gaps, strict=True):
        if gap < MIN_RADIUS:
            offsets = row - _float32(click.y), column - _float32(click.x)
            inside &= offsets[0].double() ** 2 + offsets[1].double() ** 2 > gap * gap
    result = probability.clone()
    values = probability[rows, columns][inside]
    distance = torch.sqrt(squared[inside].float())
    p = float(probability[min(int(y), height - 1), min(int(x), width - 1)])
    if p == (0.0 if newest.positive else 1.0):
        falloff = distance / distance.max()
        result[rows, columns][inside] = 1.0 - falloff if newest.positive else falloff
        return result
    if newest.positive:
        gamma = 1.0 / (math.log(TARGET_POSITIVE) / math.log(p) + 1e-8) if p < TARGET_POSITIVE else 1.0
    else:
        gamma = math.log(TARGET_NEGATIVE) / math.log(p) if p > TARGET_NEGATIVE else 1.0
    if newest.index < n_early:
        squared = (values - p) ** 2
        squared = squared / squared.max() * SPREAD
        median = torch.median(squared)  # the lower of two middle values
        exponent = torch.clamp(-(gamma - 1.0) / median**3 * (squared - median) ** 3 + 1.0, min=1.0)
    else:
        exponent = gamma * (1.0 - distance / radius) + distance / radius
    result[rows, columns][inside] = torch.pow(values, 1.0 / exponent if newest.positive else exponent)
    result[min(round(y), height - 1), min(round(x), width - 1)] = 1.0 if newest.positive else 0.0
    return result


def _float32(coordinate: float) -> float:
    return float(np.float32(coordinate))
