"""Simulated user for a batch: clicks at the largest errors, without a loop over the samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor

from ..kernels.reference import DISK_RADIUS

CELL = 4  # pixels per side; measuring depth on a map of cells is sixteen times cheaper and as good for training


def depth(region: Tensor) -> Tensor:
    """Euclidean distance of each pixel of a region to the nearest pixel outside it or outside the map.

    Args:
        region: map of the region, bool (..., H, W).

    Returns:
        float32 (..., H, W); 0 outside the region.
    """
    height, width = region.shape[-2:]
    places = torch.arange(1, width + 1, device=region.device)
    before = torch.where(region, torch.zeros_like(places), places).cummax(-1).values
    after = torch.where(region, torch.zeros_like(places), places).flip(-1)
    after = torch.where(after > 0, width + 1 - after, torch.zeros_like(after)).cummax(-1).values.flip(-1)
    # The distance along rows comes first, then the lower envelope of the parabolas over all rows of a column. The
    # rows above and below the map count as outside.
    along = torch.minimum(places - before, (width + 1 - places) - after).float()
    along = F.pad(along.flatten(0, -3), (0, 0, 1, 1)).square()
    rows = torch.arange(-1, height + 1, device=region.device, dtype=torch.float32)
    apart = (rows[1:-1, None] - rows).square()  # H×(H+2)
    squared = (along[:, None] + apart[..., None]).amin(2)
    return squared.sqrt().reshape(region.shape)


def next_click(
    target: Tensor, prediction: Tensor, spread: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """The user's next click: inside the deepest error region, missed object or excess mask (spec section 6).

    Args:
        target, prediction: masks, bool (B, H, W), H and W multiples of 4.
        spread: share of the largest depth that a place must reach, float32 (B); 1 allows only the deepest place.
        generator: random generator for the choice among the allowed places, on the maps' device.

    Returns:
        float32 (B, 2), (y, x) in whole pixels, and bool (B), whether the click is positive, which is always the
        value of the target at that pixel. If nothing is wrong, the click confirms a random pixel.
    """
    batch, height, width = target.shape
    errors = torch.stack([target & ~prediction, prediction & ~target], 1)
    share = F.avg_pool2d(errors.float(), CELL)
    # The share of wrong pixels ranks places of depth below 1, so thin errors, which fill no cell, are found as well.
    score = depth(share > 0.5) + share
    deepest = score.flatten(2).amax(2)
    side = (deepest[:, 0] <= deepest[:, 1]).long()  # positive only if strictly deeper
    every = torch.arange(batch, device=target.device)
    chosen, wrong = score[every, side].flatten(1), errors[every, side]
    allowed = chosen >= (spread * deepest[every, side])[:, None]
    noise = torch.rand(chosen.shape, device=target.device, generator=generator)
    cell = torch.where(allowed, noise + 1.0, noise).argmax(1)
    columns = width // CELL
    row, column = cell.div(columns, rounding_mode="floor"), cell % columns
    cells = wrong.view(batch, height // CELL, CELL, columns, CELL)[every, row, :, column].flatten(1)
    noise = torch.rand(cells.shape, device=target.device, generator=generator)
    inner = torch.where(cells, noise + 1.0, noise).argmax(1)
    y, x = row * CELL + inner.div(CELL, rounding_mode="floor"), column * CELL + inner % CELL
    return torch.stack([y, x], 1).float(), target[every, y, x]


def disks(points: Tensor, height: int, width: int, radius: float = DISK_RADIUS) -> Tensor:
    """Disks of single clicks (spec section 3): float32 (B, 2) → bool (B, height, width)."""
    rows = torch.arange(height, device=points.device) - points[:, :1]
    columns = torch.arange(width, device=points.device) - points[:, 1:]
    return rows.square()[:, :, None] + columns.square()[:, None, :] <= radius**2
