"""Disks and modulation as the authors' release computes them: PyTorch operations on whole maps.

They follow spec sections 3 and 4, and are timed next to :mod:`mfp.kernels`, whose results are the same (tests/golden).
One rule differs from the release: where its result depends on the processor, in the last place of a distance, the rule
of :mod:`mfp.kernels.reference` applies. Points are float32, N×2S×3: row, column and index of S positive and S negative
clicks of each item, padded with (−1, −1, −1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...kernels.reference import DISK_RADIUS, MIN_RADIUS, SPREAD, TARGET_NEGATIVE, TARGET_POSITIVE
from ...training.modulation import click_gaps

FAR = 1e6  # squared distance of padding: outside every disk


def disk_maps(points: Tensor, height: int, width: int) -> Tensor:
    """Disks of positive and negative clicks, float32 N×2×H×W of 0 and 1, from a distance map of every point."""
    items, slots, _ = points.shape
    places = points[:, :, :2].reshape(-1, 2)
    padding = places.max(dim=1).values < 0
    axes = (torch.arange(side, dtype=torch.float32, device=points.device) for side in (height, width))
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None].repeat(len(places), 1, 1, 1)
    offsets.sub_(places[:, :, None, None])
    offsets.mul_(offsets)
    squared = offsets[:, 0]
    squared += offsets[:, 1]
    squared[padding] = FAR
    nearest = squared.view(items * 2, slots // 2, height, width).min(dim=1).values
    return (nearest.view(items, 2, height, width) <= DISK_RADIUS**2).float()


def modulate(prev: Tensor, points: Tensor, n_early: int, r_max: float) -> Tensor:
    """Probability modulation around the newest click of each item, in float64.

    Where the window is constant, the release divides by zero, and so does this function: the result is NaN there.

    Args:
        prev: float32 N×1×H×W in [0, 1].
        points: float32 N×2S×3, as described in this module.
        n_early, r_max: N and R_max of the modulation.

    Returns:
        float32 N×1×H×W; ``prev`` itself where an item's newest click has a negative coordinate.
    """
    slots = points.shape[1] // 2
    newest = points[:, :, 2].argmax(dim=1)
    centres = points[torch.arange(len(points), device=points.device), newest]
    if torch.any(centres < 0):
        return prev
    axes = (torch.arange(side, dtype=torch.float32, device=points.device) for side in prev.shape[2:])
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    result = prev.to(torch.float64)
    for item, (y, x, index) in enumerate(centres):
        positive = bool(newest[item] < slots)
        opposite = points[item, slots:] if positive else points[item, :slots]
        opposite = opposite[opposite[:, 2] != -1]
        map_, old = result[item, 0], prev[item, 0]
        p = old[y.long(), x.long()]
        squared = _squared(rows - y, columns - x)
        distance = torch.sqrt(squared)
        difference = (old - p) ** 2
        window, radius = _window(squared, rows, columns, centres[item, :2], opposite[:, :2], r_max)
        inside = distance[window]
        if p == (0 if positive else 1):
            falloff = inside / inside.max()
            map_[window] = 1 - falloff if positive else falloff
            continue
        gamma = 1.0
        if positive and p < TARGET_POSITIVE:
            gamma = 1 / (math.log(TARGET_POSITIVE, p) + 1e-8)
        elif not positive and p > TARGET_NEGATIVE:
            gamma = math.log(TARGET_NEGATIVE, p)
        if index < n_early:
            spread = difference[window] / difference[window].max() * SPREAD
            median = spread.median()
            exponent = -(gamma - 1) / median**3 * (spread - median) ** 3 + 1
            exponent[exponent <= 1] = 1
        else:
            exponent = gamma * (1 - inside / radius) + inside / radius
        map_[window] = map_[window] ** (1 / exponent if positive else exponent)
        map_[int(y.round()), int(x.round())] = 1 if positive else 0
    return result.to(torch.float32)


def _window(
    squared: Tensor, rows: Tensor, columns: Tensor, centre: Tensor, opposite: Tensor, r_max: float
) -> tuple[Tensor, float]:
    """Window in which the newest click acts, bool H×W, and its radius."""
    if not len(opposite):
        return squared <= r_max * r_max, r_max
    gaps = click_gaps(opposite, centre).double()
    nearest = float(gaps.min())
    radius = nearest / 2
    window = squared <= radius * radius
    if radius < MIN_RADIUS:
        radius = MIN_RADIUS
        window = squared <= radius * radius
        if nearest < MIN_RADIUS:
            for (y, x), cut in zip(opposite[gaps < MIN_RADIUS], gaps[gaps < MIN_RADIUS], strict=True):
                window[_squared(rows - y, columns - x) <= cut * cut] = False
    return window, radius


def _squared(dy: Tensor, dx: Tensor) -> Tensor:
    """Squared lengths of float32 offsets, in float64."""
    return dy.double() ** 2 + dx.double() ** 2
