"""EfficientNet-Lite0 with a feature pyramid: the small network that this project trains itself.

The method follows spec section 2 (coordinates added at the stem, late fusion, logits at 1/4). Trunk and
decoder are chosen for a laptop's CPU: 2.6 G multiply-adds per pass at 384×384.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from .blocks import LEAKY_SLOPE, LateFusion, MfpModule, Scale, SeparableConv, conv_bn, resize
from .params import Params, require

# Mean and deviation are those of the ImageNet weights of EfficientNet-Lite (127 and 128 of 255).
DEFAULT_PARAMS = {"backbone": "efficientnet_lite0", "norm_mean_std": ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502))}

WIDTH = 96  # K, the width of decoder output and late fusion
PYRAMID = 128  # channels of the decoder below 1/4
STEM = 32
# (expansion, kernel, stride, outputs, blocks). The seventh stage (320 channels) and the 1280-channel layer of the
# classifier are left out: 1.1 M of 3.4 M weights, for classes rather than for outlines.
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4))
TAPS = {2: 24, 4: 40, 10: 112, 14: 192}  # block → channels, at 1/4, 1/8, 1/16, 1/32
NORM_EPS = 1e-3  # value of the ImageNet weights


class InvertedResidual(nn.Module):
    """1×1 expansion, depthwise convolution, 1×1 projection, each with BatchNorm; ReLU6 after the first two."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        if expansion > 1:
            self.expand: nn.Module = nn.Sequential(*_conv_bn6(inputs, width))
        else:
            self.expand = nn.Identity()
        self.depthwise = nn.Sequential(*_conv_bn6(width, width, kernel, stride, groups=width))
        self.project = nn.Sequential(*_conv_bn6(width, outputs)[:2])
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The trunk: six stages, no squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_bn6(3, STEM, 3, 2)[:2])
        blocks: list[nn.Module] = []
        inputs = STEM
        for expansion, kernel, stride, outputs, count in STAGES:
            for index in range(count):
                blocks.append(InvertedResidual(inputs, outputs, expansion, kernel, 1 if index else stride))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor, coords: Tensor) -> list[Tensor]:
        """Features at 1/4, 1/8, 1/16 and 1/32 for the image and 32 coordinate maps at 1/2."""
        x = F.relu6(self.stem(image) + coords)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                features.append(x)
        return features


class Context(nn.Module):
    """Context of a pixel at 1/32: the pixel, two dilated neighbourhoods and the mean of the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(*conv_bn(inputs, outputs))
        self.near = _dilated(outputs, 2)
        self.far = _dilated(outputs, 4)
        # No BatchNorm: it would normalise one value per image, over only as many values as the batch has images.
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(outputs, outputs, 1), nn.ReLU())
        self.project = nn.Sequential(*conv_bn(4 * outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        mean = self.mean(x).expand(-1, -1, x.shape[-2], x.shape[-1])
        y: Tensor = self.project(torch.cat([x, self.near(x), self.far(x), mean], dim=1))
        return y


class Pyramid(nn.Module):
    """Feature pyramid from context at 1/32: each level is upsampled, added and smoothed; 96 channels at 1/4."""

    def __init__(self) -> None:
        super().__init__()
        fine, *_, coarse = TAPS.values()
        self.context = Context(coarse, PYRAMID)
        self.lateral = nn.ModuleList(nn.Sequential(*conv_bn(width, PYRAMID)[:2]) for width in list(TAPS.values())[1:-1])
        self.smooth = nn.ModuleList(SeparableConv(PYRAMID, PYRAMID) for _ in self.lateral)
        self.skip = nn.Sequential(*conv_bn(fine, WIDTH // 2))
        self.block = nn.Sequential(SeparableConv(PYRAMID + WIDTH // 2, WIDTH), SeparableConv(WIDTH, WIDTH))

    def forward(self, features: list[Tensor]) -> Tensor:
        fine, *middle, coarse = features
        x = self.context(coarse)
        for feature, lateral, smooth in zip(middle[::-1], self.lateral[::-1], self.smooth[::-1], strict=True):
            side = lateral(feature)
            x = smooth(resize(x, side) + side)
        skip = self.skip(fine)
        y: Tensor = self.block(torch.cat([resize(x, skip), skip], dim=1))
        return y


class Lite0Network(MfpModule, LateFusion):
    output_layer = "head.1"
    channels = WIDTH

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.maps_transform = nn.Sequential(
            nn.Conv2d(4, 16, 1), nn.LeakyReLU(LEAKY_SLOPE), nn.Conv2d(16, STEM, 3, stride=2, padding=1), Scale()
        )
        self.encoder = EfficientNetLite0()
        self.decoder = Pyramid()
        self.head = nn.Sequential(SeparableConv(WIDTH, WIDTH), nn.Conv2d(WIDTH, 1, 1))
        self.add_late_fusion(WIDTH)
        # For all layers: 1e-5 would scale channels that training left almost constant by 320, and with them their
        # rounding errors in FP16 (0.11 of the logits' standard deviation, too much for `mfp convert`).
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = NORM_EPS

    def score(self, image: Tensor, coords: Tensor, side: Tensor) -> Tensor:
        feature = self.decoder(self.encoder(image, self.maps_transform(coords)))
        logits: Tensor = self.head(self.fuse(feature, side))
        return logits


def build(params: Params, size: tuple[int, int] | None) -> Lite0Network:
    """The network of this configuration; it takes any size."""
    require(params, "backbone", "efficientnet_lite0")
    return Lite0Network(params)


def _conv_bn6(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs, eps=NORM_EPS), nn.ReLU6()]


def _dilated(width: int, dilation: int) -> nn.Sequential:
    depthwise = nn.Conv2d(width, width, 3, 1, dilation, dilation, groups=width, bias=False)
    return nn.Sequential(depthwise, *conv_bn(width, width))
