"""Shared parts of the networks: the base class with the contract, the coordinate stem, late fusion, small blocks.

Attribute names are those of the release, because they form the state-dict names of its checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from ...engine.contract import BackboneSpec
from .params import Params, normalisation

LEAKY_SLOPE = 0.2


class MfpModule(nn.Module):
    """Base of the networks: normalises, calls :meth:`score`, resizes the logits to the network size.

    Attributes:
        output_layer: dotted name of the layer that computes the logits; only a resize follows it.
        channels: width K of the late fusion.
        size: (H, W) in pixels if the network takes no other, else None.
        spec, config: values set by :func:`mfp.export.models.build`.
        weights: origin of the weights: "sha256:…" of a checkpoint, or "untrained, seed S".
    """

    output_layer: str
    channels: int
    size: tuple[int, int] | None = None
    spec: BackboneSpec
    config: dict[str, Any]
    weights: str = "untrained, not seeded"
    mean: Tensor
    std: Tensor

    def __init__(self, params: Params) -> None:
        super().__init__()
        mean, std = normalisation(params)
        # Not persistent: the release's state dicts do not contain these buffers.
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, prev_mask: Tensor, modulated_mask: Tensor, clicks: Tensor) -> Tensor:
        """Logits N×1×H×W for N×3×H×W RGB in [0, 1], two N×1×H×W masks and N×2×H×W disks, all float32."""
        image = (image - self.mean) / self.std
        coords = torch.cat([prev_mask, modulated_mask, clicks], dim=1)
        side = torch.cat([image, prev_mask, modulated_mask], dim=1)
        return resize(self.score(image, coords, side), image)

    def score(self, image: Tensor, coords: Tensor, side: Tensor) -> Tensor:
        """Logits at 1/4 of the size, from normalised image (3 channels), coordinates (4) and side input (5)."""
        raise NotImplementedError


def resize(x: Tensor, like: Tensor) -> Tensor:
    """``x`` at the height and width of ``like``, bilinear, corners aligned."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def conv_bn(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Parts of a Sequential: a convolution that keeps the size (up to its stride), BatchNorm, ReLU."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=bias)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class Scale(nn.Module):
    """Multiplication by the absolute value of one learned scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.abs()


def coordinate_stem(leaky: bool) -> nn.Sequential:
    """``maps_transform``: 4 coordinate maps to 64 channels at half the size."""
    activation = nn.LeakyReLU(LEAKY_SLOPE) if leaky else nn.ReLU()
    return nn.Sequential(nn.Conv2d(4, 16, 1), activation, nn.Conv2d(16, 64, 3, stride=2, padding=1), Scale())


class ConvRelu(nn.Module):
    """Convolution with bias, then ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class XBlock(nn.Module):
    """depthwise 3×3 → BatchNorm → depthwise 3×3 → 1×1 → BatchNorm → ReLU; no activation before the last."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv3x3_1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv3x3_2 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.conv1x1 = nn.Conv2d(inputs, outputs, 1)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv3x3_1(x))
        return F.relu(self.norm2(self.conv1x1(self.conv3x3_2(x))))


class LateFusion(nn.Module):
    """Base of the modules that hold ``conv_prevMod`` and ``refine_fusion`` (spec section 2).

    The release's names place them beside other layers, so this is a base class and not a separate layer.
    """

    conv_prevMod: nn.Sequential  # noqa: N815 - the release's name
    refine_fusion: nn.Sequential

    def add_late_fusion(self, channels: int) -> None:
        """Register both parts with width K = ``channels``; the order of calls is the order in the state dict."""
        self.conv_prevMod = nn.Sequential(
            ConvRelu(5, 64, kernel=3, stride=2),
            ConvRelu(64, channels, kernel=3, stride=2),
            XBlock(channels, channels),
        )
        self.refine_fusion = nn.Sequential(XBlock(2 * channels, channels), XBlock(channels, channels))

    def fuse(self, feature: Tensor, side: Tensor) -> Tensor:
        """N×K×h×w feature at 1/4 of the size and N×5×H×W side input → N×K×h×w."""
        fused: Tensor = self.refine_fusion(torch.cat([feature, self.conv_prevMod(side)], dim=1))
        return fused


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut; ``dilations`` are those of the first and the second."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        first, second = dilations
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, first, first, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, second, second, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def shortcut(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """The shortcut of a residual block: the identity, or 1×1 and BatchNorm if the shape changes."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class SeparableConv(nn.Module):
    """depthwise 3×3 → 1×1 → BatchNorm → ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.body = nn.Sequential(depthwise, *conv_bn(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y
