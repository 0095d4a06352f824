"""HRNet-18 + OCR (spec section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from .blocks import BasicBlock, LateFusion, MfpModule, conv_bn, coordinate_stem, resize, shortcut
from .params import Params, boolean, integer, require

DEFAULT_PARAMS = {"width": 18, "ocr_width": 64, "small": False, "use_leaky_relu": True}

WIDTH = 18  # the release's late fusion has 15 · 18 channels, fixed
WIDTHS = (WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH)
CHANNELS = sum(WIDTHS)


class Bottleneck(nn.Module):
    """1×1 to 64 channels, 3×3, 1×1 to 256 channels, with a shortcut."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 64, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 256, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(256)
        self.downsample = shortcut(inputs, 256)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Module(nn.Module):
    """Parallel branches of basic blocks; at the end each branch receives the sum of all."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers):
            assert isinstance(layers, nn.ModuleList)
            parts = [layer(x) for layer, x in zip(layers, xs, strict=True)]
            total = parts[0]
            for source, part in enumerate(parts[1:], start=1):
                total = total + (resize(part, xs[target]) if source > target else part)
            fused.append(F.relu(total))
        return fused


def _exchange(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """Layers from one branch to another: 1×1 upwards (a resize follows), a chain of stride-2 3×3 downwards."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*conv_bn(widths[source], widths[target])[:2])
    steps = [nn.Sequential(*conv_bn(widths[source], widths[source], 3, 2)) for _ in range(target - source - 1)]
    last = nn.Sequential(*conv_bn(widths[source], widths[target], 3, 2)[:2])
    return nn.Sequential(*steps, last)


def _transition(new: int) -> nn.ModuleList:
    """The existing branches unchanged, and branch ``new`` from the one above it at half its size."""
    down = nn.Sequential(nn.Sequential(*conv_bn(WIDTHS[new - 1], WIDTHS[new], 3, 2)))
    return nn.ModuleList([*(nn.Identity() for _ in range(new)), down])


class ObjectContext(nn.Module):
    """The contribution of the object's feature to each pixel."""

    def __init__(self, inputs: int, keys: int) -> None:
        super().__init__()
        self.f_pixel = nn.Sequential(*_conv_bn_pair(inputs, keys), *_conv_bn_pair(keys, keys))
        self.f_object = nn.Sequential(*_conv_bn_pair(inputs, keys), *_conv_bn_pair(keys, keys))
        self.f_down = nn.Sequential(*_conv_bn_pair(inputs, keys))
        self.f_up = nn.Sequential(*_conv_bn_pair(keys, inputs))

    def forward(self, context: Tensor) -> Tensor:
        """N×C×1×1 → N×C×1×1, the same for every pixel.

        The release weighs the object's value with softmax(query · key) over the objects. There is one object,
        so that weight is exactly 1 at every pixel. Query and key (``f_pixel``, ``f_object``) are in the files
        but cannot change the result.
        """
        y: Tensor = self.f_up(self.f_down(context))
        return y


def _conv_bn_pair(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    convolution, norm, relu = conv_bn(inputs, outputs)
    return convolution, nn.Sequential(norm, relu)


class OcrHead(nn.Module):
    """Concatenation of object context and pixel features, projected back to their width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.object_context_block = ObjectContext(2 * width, width)
        self.conv_bn_dropout = nn.Sequential(*_conv_bn_pair(4 * width, 2 * width))

    def forward(self, pixels: Tensor, context: Tensor) -> Tensor:
        spread = self.object_context_block(context).expand_as(pixels)
        y: Tensor = self.conv_bn_dropout(torch.cat([spread, pixels], dim=1))
        return y


class HRNet(nn.Module):
    """The trunk, and the OCR head that follows the late fusion."""

    def __init__(self, small: bool, ocr_width: int) -> None:
        super().__init__()
        blocks = 2 if small else 4
        modules = (1, 3, 2) if small else (1, 4, 3)

        def stage(branches: int) -> nn.ModuleList:
            return nn.ModuleList(Module(WIDTHS[:branches], blocks) for _ in range(modules[branches - 2]))

        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64), *(Bottleneck(256) for _ in range(blocks - 1)))
        self.transition1 = nn.ModuleList(
            [
                nn.Sequential(*conv_bn(256, WIDTHS[0], 3)),
                nn.Sequential(nn.Sequential(*conv_bn(256, WIDTHS[1], 3, 2))),
            ]
        )
        self.stage2 = stage(2)
        self.transition2 = _transition(2)
        self.stage3 = stage(3)
        self.transition3 = _transition(3)
        self.stage4 = stage(4)
        self.conv3x3_ocr = nn.Sequential(*conv_bn(CHANNELS, 2 * ocr_width, 3, bias=True))
        self.ocr_distri_head = OcrHead(ocr_width)
        self.cls_head = nn.Conv2d(2 * ocr_width, 1, 1)
        self.aux_head = nn.Sequential(*conv_bn(CHANNELS, CHANNELS, bias=True), nn.Conv2d(CHANNELS, 1, 1))

    def features(self, image: Tensor, coords: Tensor) -> Tensor:
        """Features with 270 channels at 1/4 of the size, for the image and 64 coordinate maps at 1/2."""
        x = F.relu(self.bn1(self.conv1(image))) + coords
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        xs = [layer(x) for layer in self.transition1]
        for stage, transition in ((self.stage2, self.transition2), (self.stage3, self.transition3)):
            for module in stage:
                xs = module(xs)
            xs = [layer(y) for layer, y in zip(transition, [*xs, xs[-1]], strict=True)]
        for module in self.stage4:
            xs = module(xs)
        return torch.cat([xs[0], *(resize(y, xs[0]) for y in xs[1:])], dim=1)

    def logits(self, fused: Tensor) -> Tensor:
        """Logits with one channel, for the 270 channels after the late fusion."""
        weights = torch.softmax(self.aux_head(fused).flatten(2), dim=2)  # N×1×pixels
        pixels = self.conv3x3_ocr(fused)
        context = pixels.flatten(2) @ weights.transpose(1, 2)  # N×C×1: the object's feature, a weighted mean of pixels
        y: Tensor = self.cls_head(self.ocr_distri_head(pixels, context.unsqueeze(3)))
        return y


class HRNet18Network(MfpModule, LateFusion):
    output_layer = "feature_extractor.cls_head"
    channels = CHANNELS

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.maps_transform = coordinate_stem(boolean(params, "use_leaky_relu"))
        self.feature_extractor = HRNet(boolean(params, "small"), integer(params, "ocr_width", 1, 1024))
        self.add_late_fusion(CHANNELS)

    def score(self, image: Tensor, coords: Tensor, side: Tensor) -> Tensor:
        feature = self.feature_extractor.features(image, self.maps_transform(coords))
        return self.feature_extractor.logits(self.fuse(feature, side))


def build(params: Params, size: tuple[int, int] | None) -> HRNet18Network:
    """The network of this configuration; it takes any size."""
    require(params, "width", WIDTH)
    return HRNet18Network(params)
