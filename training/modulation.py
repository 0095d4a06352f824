"""Probability modulation of a batch of maps, in PyTorch operators without a loop over the maps.

:mod:`mfp.kernels.reference` says what is computed; a test holds this file to it.
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
    """:func:`mfp.kernels.reference.modulate` of each map with its own clicks (spec section 4).

    Args:
        probability: float (B, H, W) in [0, 1].
        points: float (B, K, 2), (y, x) of the clicks in map coordinates, unrounded.
        positive: bool (B, K).
        index: int64 (B, K); the largest of a row is its newest click, negative ones are padding.
        n_early, r_max: N and R_max.

    Returns:
        Like ``probability``, in its own precision. Rows without a click, or with the newest at negative
        coordinates, unchanged.
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
    # From here on nothing is decided, and the map's own precision does.
    dist, radius = squared.to(probability.dtype).sqrt(), radius.to(probability.dtype)
    # The disks cut out are those of opposite clicks closer than 10 pixels. Four at most: looking at all of twenty
    # clicks took longer than everything else here, and five so close to one another do not occur.
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
    """Early clicks: ``gamma`` for pixels like the clicked one, 1 from the (lower) median difference on."""
    squared = torch.where(inside, difference.square(), torch.zeros_like(difference))
    largest = squared.amax((1, 2), keepdim=True)
    spread = squared / torch.where(largest > 0, largest, torch.ones_like(largest)) * SPREAD
    # nanmedian is the lower median of what is not NaN, so the window needs no list of its pixels.
    outside = torch.full_like(spread, torch.nan)
    median = torch.where(inside, spread, outside).flatten(1).nanmedian(1).values[:, None, None]
    median = torch.where(torch.isnan(median), torch.zeros_like(median), median)
    flat = torch.where(spread == 0, gamma, torch.ones_like(spread))
    # (t − d)³ / t³ as ((t − d) / t)³: t³ leaves float32 where t is 1e-13
    ratio = 1.0 - spread / torch.where(median > 0, median, torch.ones_like(median))
    curve = ((gamma - 1.0) * ratio * ratio * ratio + 1.0).clamp(min=1.0)
    return torch.where(median > 0, curve, flat)


def squared_to_pixels(centre: Tensor, height: int, width: int) -> Tensor:
    """Squared distances of each pixel to B centres (y, x), by the first rule of the reference: float64 B×H×W."""
    rows = torch.arange(height, dtype=torch.float32, device=centre.device) - centre[:, :1].float()
    columns = torch.arange(width, dtype=torch.float32, device=centre.device) - centre[:, 1:].float()
    return rows.double().square()[:, :, None] + columns.double().square()[:, None, :]


def click_gaps(points: Tensor, centre: Tensor) -> Tensor:
    """Distances of places (…, 2) to a centre that broadcasts, by the first two rules of the reference: float32."""
    offsets = (points.float() - centre.float()).double().square()
    squared = offsets[..., 0] + offsets[..., 1]
    if squared.device.type != "cpu":
        return squared.sqrt().float()
    # On a CPU, PyTorch's square root is that of Intel's vector library, which on some processors is one place off.
    return torch.from_numpy(np.sqrt(squared.numpy())).float()


def _flat(position: Tensor, height: int, width: int) -> Tensor:
    """Row-major indices (B) of pixels (y, x), B×2, clamped to the map."""
    row, column = position[:, 0].clamp(0, height - 1), position[:, 1].clamp(0, width - 1)
    return row.long() * width + column.long()
