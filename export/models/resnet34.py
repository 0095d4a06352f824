"""ResNet-34 + DeepLabV3+ (spec section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from .blocks import BasicBlock, LateFusion, MfpModule, SeparableConv, conv_bn, coordinate_stem, resize
from .params import Params, boolean, require

DEFAULT_PARAMS = {"backbone": "resnet34", "deeplab_ch": 128, "use_leaky_relu": True}

WIDTH = 128  # width of the DeepLab head; the release's late fusion supports no other
SKIP_WIDTH = 32
ASPP_DILATIONS = (12, 24, 36)
# (inputs, outputs, stride, blocks, dilations of the first block, dilation of the others): output stride 8
STAGES = (
    (64, 64, 1, 3, (1, 1), 1),
    (64, 128, 2, 4, (1, 1), 1),
    (128, 256, 1, 6, (1, 2), 2),
    (256, 512, 1, 3, (2, 4), 4),
)


class ResNet34(nn.Module):
    """The dilated trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                BasicBlock(inputs, outputs, stride, first),
                *(BasicBlock(outputs, outputs, dilations=(rest, rest)) for _ in range(blocks - 1)),
            )
            for inputs, outputs, stride, blocks, first, rest in STAGES
        )

    def forward(self, image: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Stage 1 (64 channels, 1/4) and stage 4 (512 channels, 1/8) for the image and 64 coordinate maps."""
        x = F.relu(self.bn1(self.conv1(image))) + coords
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        skip = self.layer1(x)
        return skip, self.layer4(self.layer3(self.layer2(skip)))


class GlobalPool(nn.Module):
    """Global mean of the map, through 1×1, BatchNorm and ReLU, broadcast over the map again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_bn(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.gap(x)
        return pooled.expand(-1, -1, x.shape[-2], x.shape[-1])


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: 1×1, three dilated 3×3, global mean. ``concurent`` is the release's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.concurent = nn.ModuleList(
            [
                nn.Sequential(*conv_bn(inputs, outputs)),
                *(nn.Sequential(*conv_bn(inputs, outputs, 3, dilation=rate)) for rate in ASPP_DILATIONS),
                GlobalPool(inputs, outputs),
            ]
        )
        self.project = nn.Sequential(*conv_bn(5 * outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(torch.cat([branch(x) for branch in self.concurent], dim=1))
        return y


def separable_head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two separable convolutions and a 1×1."""
    return nn.Sequential(SeparableConv(inputs, width), SeparableConv(width, width), nn.Conv2d(width, outputs, 1))


class DeepLab(nn.Module):
    """Trunk, ASPP and decoder; 128 channels at 1/4 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet34()
        # The dictionaries only give the state dict its names.
        self.head = nn.ModuleDict({"block": separable_head(WIDTH + SKIP_WIDTH, WIDTH, WIDTH)})
        self.skip_project = nn.ModuleDict({"skip_project": nn.Sequential(*conv_bn(64, SKIP_WIDTH))})
        self.aspp = Aspp(512, WIDTH)

    def forward(self, image: Tensor, coords: Tensor) -> Tensor:
        skip, deep = self.backbone(image, coords)
        x = resize(self.aspp(deep), skip)
        y: Tensor = self.head["block"](torch.cat([x, self.skip_project["skip_project"](skip)], dim=1))
        return y


class ResNet34Network(MfpModule, LateFusion):
    output_layer = "head.layers.2"
    channels = WIDTH

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.maps_transform = coordinate_stem(boolean(params, "use_leaky_relu"))
        self.feature_extractor = DeepLab()
        self.head = nn.ModuleDict({"layers": separable_head(WIDTH, WIDTH // 2, 1)})
        self.add_late_fusion(WIDTH)

    def score(self, image: Tensor, coords: Tensor, side: Tensor) -> Tensor:
        feature = self.feature_extractor(image, self.maps_transform(coords))
        logits: Tensor = self.head["layers"](self.fuse(feature, side))
        return logits


def build(params: Params, size: tuple[int, int] | None) -> ResNet34Network:
    """The network of this configuration; it takes any size."""
    require(params, "backbone", "resnet34")
    require(params, "deeplab_ch", WIDTH)
    return ResNet34Network(params)
