"""Probability modulation of a batch of maps, in PyTorch operators without a loop over the maps.

:mod:`mfp.kernels.reference` defines the result; a test compares this module with it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..kernels.reference import MIN_RADIUS, SPREAD, TARGET_NEGATIVE, TARGET_POSITIVE

MAX_CUTS = 4


def modulate(
    probability: Tensor, points: Tensor, positive: Tensor, index: Tensor, n_early: int = 7, r_max: float = 100.0
) -> Tensor:
    """Modulate each map by its own clicks, as :func:`mfp.kernels.reference.modulate` does (spec section 4).

    Args:
        probability: probability maps, float (B, H, W) in [0, 1].
        points: clicks (y, x) in map coordinates, unrounded, float (B, K, 2).
        positive: whether each click is positive, bool (B, K).
        index: click indices, int64 (B, K); the largest of a row is its newest click, negative ones are padding.
        n_early, r_max: N, a number of clicks, and R_max, in pixels.

    Returns:
        Modulated maps with the shape and precision of ``probability``. Maps without a click, or with the newest
        click at negative coordinates, are unchanged.
    """
    _, height, width = probability.shape
    newest = index.argmax(1, keepdim=True)
    sign = positive.gather(1, newest)  # B×1
    centre = points.gather(1, newest[..., None].expand(-1, -1, 2))  # B×1×2
    last = index.gather(1, newest)
    squared = squared_to_pixels(centre[:, 0], height, width)

    opposite = (positive != sign) & (index >= 0)
    gaps = click_gaps(points, centre).double()
    gaps = torch.where(opposite, gaps, torch.full_like(gaps, torch.inf))
    nearest = gaps.amin(1)
    radius = torch.where(torch.isinf(nearest), torch.full_like(nearest, r_max), (nearest / 2).clamp(min=MIN_RADIUS))
    radius = radius[:, None, None]
    inside = squared <= radius * radius
    # No decision follows that needs more precision, so the map's own precision suffices from here on.
    dist, radius = squared.to(probability.dtype).sqrt(), radius.to(probability.dtype)
    # Disks of opposite clicks closer than 10 pixels are cut out, four at most: checking all of twenty clicks took
    # longer than everything else in this function, and five so close to one another do not occur.
    near, which = gaps.topk(min(MAX_CUTS, gaps.shape[1]), dim=1, largest=False)
    cuts = torch.where(near < MIN_RADIUS, near * near, torch.full_like(near, -1.0))
    for k in range(which.shape[1]):
        cut = points.gather(1, which[:, k, None, None].expand(-1, 1, 2))[:, 0]
        inside &= squared_to_pixels(cut, height, width) > cuts[:, k, None, None]

    pixel = _flat(centre[:, 0].trunc(), height, width)
    p = probability.flatten(1).gather(1, pixel[:, None])[..., None]  # B×1×1
    up = sign[..., None]
    zero = torch.zeros_like(probability)
    farthest = torch.where(inside, dist, zero).amax((1, 2), keepdim=True)
    falloff = dist / torch.where(farthest > 0, farthest, torch.ones_like(farthest))
    saturated = torch.where(up, 1.0 - falloff, falloff)

    log_p = p.clamp(1e-37, 1 - 6e-8).log()
    gamma_up = torch.where(p < TARGET_POSITIVE, 1.0 / (math.log(TARGET_POSITIVE) / log_p + 1e-8), torch.ones_like(p))
    gamma_down = torch.where(p > TARGET_NEGATIVE, math.log(TARGET_NEGATIVE) / log_p, torch.ones_like(p))
    gamma = torch.where(up, gamma_up, gamma_down)

    exponent = torch.where(
        (last < n_early)[..., None],
        _by_similarity(probability - p, inside, gamma),
        gamma * (1.0 - dist / radius) + dist / radius,
    )
    raised = probability.pow(torch.where(up, 1.0 / exponent, exponent))
    # The clicked pixel is set unless the shortcut for p = 0 (p = 1) was taken.
    clicked = torch.zeros_like(inside).flatten(1)
    clicked.scatter_(1, _flat(centre[:, 0].round(), height, width)[:, None], True)
    clicked = clicked.view_as(inside) & inside.any(2).any(1)[:, None, None]
    raised = torch.where(clicked, up.to(raised.dtype), torch.where(inside, raised, probability))

    shortcut = p == torch.where(up, torch.zeros_like(p), torch.ones_like(p))
    result = torch.where(shortcut, torch.where(inside & (farthest > 0), saturated, probability), raised)
    acts = ((last >= 0) & (centre >= 0).all(2))[..., None]
    return torch.where(acts, result, probability)


def _by_similarity(difference: Tensor, inside: Tensor, gamma: Tensor) -> Tensor:
    """Exponents of early clicks: ``gamma`` for pixels like the clicked one, 1 from the (lower) median difference."""
    squared = torch.where(inside, difference.square(), torch.zeros_like(difference))
    largest = squared.amax((1, 2), keepdim=True)
    spread = squared / torch.where(largest > 0, largest, torch.ones_like(largest)) * SPREAD
    # nanmedian is the lower median of all values except NaN, so the window needs no list of its pixels.
    outside = torch.full_like(spread, torch.nan)
    median = torch.where(inside, spread, outside).flatten(1).nanmedian(1).values[:, None, None]
    median = torch.where(torch.isnan(median), torch.zeros_like(median), median)
    flat = torch.where(spread == 0, gamma, torch.ones_like(spread))
    # (t − d)³ / t³ is computed as ((t − d) / t)³, because t³ underflows in float32 if t is 1e-13.
    ratio = 1.0 - spread / torch.where(median > 0, median, torch.ones_like(median))
    curve = ((gamma - 1.0) * ratio * ratio * ratio + 1.0).clamp(min=1.0)
    return torch.where(median > 0, curve, flat)


def squared_to_pixels(centre: Tensor, height: int, width: int) -> Tensor:
    """Squared distances of each pixel to B centres (y, x), by the reference's first rule: float64 (B, H, W)."""
    rows = torch.arange(height, dtype=torch.float32, device=centre.device) - centre[:, :1].float()
    columns = torch.arange(width, dtype=torch.float32, device=centre.device) - centre[:, 1:].float()
    return rows.double().square()[:, :, None] + columns.double().square()[:, None, :]


def click_gaps(points: Tensor, centre: Tensor) -> Tensor:
    """Distances of places (…, 2) to a centre that broadcasts, by the reference's first two rules: float32."""
    offsets = (points.float() - centre.float()).double().square()
    squared = offsets[..., 0] + offsets[..., 1]
    if squared.device.type != "cpu":
        return squared.sqrt().float()
    # On a CPU, PyTorch takes the square root of Intel's vector library, which is one place off on some processors.
    return torch.from_numpy(np.sqrt(squared.numpy())).float()


def _flat(position: Tensor, height: int, width: int) -> Tensor:
    """Row-major indices (B) of pixels (y, x), shape (B, 2), clamped to the map."""
    row, column = position[:, 0].clamp(0, height - 1), position[:, 1].clamp(0, width - 1)
    return row.long() * width + column.long()
