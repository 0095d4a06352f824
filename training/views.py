"""Crops of a batch on the device: their position, resampling and random colours."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from numpy.typing import NDArray
from torch import Tensor

from ..engine.roi import EXPANSION, SMALLEST

F64 = NDArray[np.float64]


def on_device(array: NDArray[np.generic], device: str) -> Tensor:
    """An array as a tensor on ``device``, without waiting for the GPU's running work."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device != "cpu" else tensor


def zoomed(
    boxes: F64,
    sizes: F64,
    expansion: F64 | float = EXPANSION,
    shift: F64 | float = 0.0,
    square: NDArray[np.bool_] | bool = False,
) -> F64:
    """Crops around objects, as a session zooms in on them (spec section 5).

    Args:
        boxes: boxes (top, left, bottom, right) in pixels of the photographs, float64 (n, 4).
        sizes: heights and widths of the photographs in pixels, float64 (n, 2).
        expansion: factor on the box's sides, (n, 1) or one number.
        shift: shift of the centre, as a share of the box's sides, (n, 2) or one number.
        square: whether the crop is as high as it is wide, as far as the photograph allows, (n, 1) or one flag; such
            a crop is not distorted when it is resized to a square.

    Returns:
        Crops (top, left, bottom, right) inside the photographs, float64 (n, 4).
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2 + shift * sides
    half = np.maximum(expansion * sides, SMALLEST) / 2
    half = np.where(square, half.max(1, keepdims=True), half)
    low, high = np.clip(centre - half, 0, sizes), np.clip(centre + half, 0, sizes)
    # The middle half of the object stays inside, whatever the shift.
    low = np.minimum(low, boxes[:, :2] + sides / 4)
    high = np.maximum(high, boxes[:, 2:] - sides / 4)
    return np.concatenate([low, high], 1)


def cut(maps: Tensor, boxes: Tensor, flipped: Tensor, size: int, outside: str = "border") -> Tensor:
    """Crops of maps, resampled bilinearly.

    Args:
        maps: maps, float32 (n, C, H, W).
        boxes: boxes (top, left, bottom, right) in pixels of the maps, edges and not centres, float32 (n, 4).
        flipped: whether to mirror left and right, bool (n,).
        size: height and width of the result in pixels.
        outside: padding outside the map, "border" or "zeros".

    Returns:
        float32 (n, C, size, size).
    """
    height, width = maps.shape[-2:]
    steps = (torch.arange(size, device=maps.device, dtype=torch.float32) + 0.5) / size
    columns = torch.where(flipped[:, None], 1.0 - steps, steps)
    y = boxes[:, :1] + steps * (boxes[:, 2:3] - boxes[:, :1])
    x = boxes[:, 1:2] + columns * (boxes[:, 3:] - boxes[:, 1:2])
    grid = torch.stack(
        [
            (2 * x / width - 1)[:, None, :].expand(-1, size, -1),
            (2 * y / height - 1)[:, :, None].expand(-1, -1, size),
        ],
        -1,
    )
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def seen_from(inner: F64, outer: F64, flipped: NDArray[np.bool_], size: int) -> F64:
    """Positions of boxes ``inner`` in maps that were cut from boxes ``outer``: pixels of the maps, float64 (n, 4).

    Args:
        inner, outer: boxes (top, left, bottom, right) in pixels of the photographs, (n, 4).
        flipped: whether each map was mirrored left and right, bool (n,).
        size: height and width of the maps in pixels.
    """
    sides = np.tile(outer[:, 2:] - outer[:, :2], 2)
    relative = (inner - np.tile(outer[:, :2], 2)) / sides
    mirrored = relative[:, [0, 3, 2, 1]]
    mirrored[:, [1, 3]] = 1 - mirrored[:, [1, 3]]
    return np.where(flipped[:, None], mirrored, relative) * size


class Colours:
    """Random colour changes: gamma, then a matrix (gain of the channels, saturation, contrast), then an offset."""

    def __init__(self, count: int, device: str, generator: torch.Generator) -> None:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, device=device, generator=generator) * 2 - 1

        grey = uniform(1, 1) > 0.84  # 8 %
        saturation = torch.where(grey, 0.0, 1.0 + 0.5 * uniform(1, 1))
        gain = (1.0 + 0.08 * uniform(3, 1)) * (1.0 + 0.3 * uniform(1, 1))
        weights = torch.tensor([0.299, 0.587, 0.114], device=device).expand(3, 3)
        self.matrix = gain * (saturation * torch.eye(3, device=device) + (1 - saturation) * weights)
        self.offset = 0.5 - 0.5 * self.matrix.sum(2, keepdim=True) + 0.15 * uniform(1, 1)
        self.gamma = torch.exp(0.3 * uniform(1, 1))

    def of(self, rows: Tensor) -> Colours:
        """The colour changes of some samples."""
        part = object.__new__(Colours)
        part.matrix, part.offset, part.gamma = self.matrix[rows], self.offset[rows], self.gamma[rows]
        return part

    def put(self, rows: Tensor, other: Colours) -> None:
        """Replace the colour changes of some samples."""
        self.matrix[rows], self.offset[rows], self.gamma[rows] = other.matrix, other.offset, other.gamma

    def paint(self, images: Tensor) -> Tensor:
        """The images, RGB in [0, 1] of shape (n, 3, H, W), with these colour changes."""
        flat = images.flatten(2).clamp(min=1e-4) ** self.gamma
        return torch.baddbmm(self.offset, self.matrix, flat).clamp(0, 1).view_as(images)
