"""Plain ViT with windowed attention, multi-scale neck and segmentation head (spec section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from ...engine.errors import OptionError
from .blocks import ConvRelu, LateFusion, MfpModule
from .params import Params, integer, integers, number, refusal, require, section

DEFAULT_PARAMS = {
    "backbone_params": {
        "img_size": (448, 448),
        "embed_dim": 768,
        "depth": 12,
        "num_heads": 12,
        "mlp_ratio": 4,
    },
    "neck_params": {"out_dims": (128, 256, 512, 1024)},
    "head_params": {"channels": 256},
}

PATCH = 16  # pixels per side
WINDOW = 14  # tokens per side, at least
CLASSES = 1000  # classes of the unused classification head in the files
NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """N×C×H×W → N×(H/16 · W/16)×d, tokens in row-major order."""

    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, dim, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.proj(x)
        return tokens.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, tokens: int) -> Tensor:
        """N×tokens×d → the same. ``tokens`` is a Python number, hence a constant in an exported graph."""
        qkv = self.qkv(x).reshape(-1, tokens, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        # Scaled before the product: in float16 the unscaled product could overflow.
        weights = torch.softmax((query * self.head_dim**-0.5) @ key.transpose(-2, -1), dim=-1)
        y = (weights @ value).transpose(1, 2).reshape(-1, tokens, self.heads * self.head_dim)
        out: Tensor = self.proj(y)
        return out


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, heads)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: Tensor, tokens: int) -> Tensor:
        x = x + self.attn(self.norm1(x), tokens)
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class VisionTransformer(nn.Module):
    """The trunk, for one grid of tokens.

    ``pos_embed`` is the tensor in the file. ``positions`` is the tensor that is added: ``pos_embed`` without its
    class token, resized to the grid. Every ``load_state_dict`` renews it, so an exported graph holds a constant.
    """

    positions: Tensor

    def __init__(
        self, dim: int, depth: int, heads: int, hidden: int, native: tuple[int, int], grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.grid = grid
        self.native = native
        self.windows = grid[0] // WINDOW, grid[1] // WINDOW
        self.period = 6 if depth == 12 else depth // 4  # every period-th block sees all tokens
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, native[0] * native[1] + 1, dim))
        self.patch_embed = PatchEmbed(3, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(depth))
        self.fc_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.head = nn.Linear(dim, CLASSES)
        self.register_buffer("positions", _positions(self), persistent=False)
        self.register_load_state_dict_post_hook(_renew_positions)  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor, coords: Tensor) -> Tensor:
        """N×3×H×W image and N×(h·w)×d coordinate tokens → N×d×h×w."""
        height, width = self.grid
        rows, columns = self.windows
        high, wide, dim = height // rows, width // columns, self.pos_embed.shape[-1]
        x = self.patch_embed(image) + coords + self.positions
        x = x.reshape(-1, rows, high, columns, wide, dim).transpose(2, 3).reshape(-1, high * wide, dim)
        for place, block in enumerate(self.blocks, start=1):
            # Attention does not depend on the order of its tokens. So a block that sees all of them takes the
            # windows of an image one after another, and the grid is assembled once, at the end.
            tokens = height * width if place % self.period == 0 else high * wide
            x = block(x.reshape(-1, tokens, dim), tokens)
        y: Tensor = x.reshape(-1, rows, columns, high, wide, dim).transpose(2, 3)
        return y.reshape(-1, height, width, dim).permute(0, 3, 1, 2)


def _positions(backbone: VisionTransformer) -> Tensor:
    tokens = backbone.pos_embed.detach()[:, 1:]
    if backbone.grid == backbone.native:
        return tokens.clone()
    grid = tokens.reshape(1, *backbone.native, -1).permute(0, 3, 1, 2)
    return F.interpolate(grid, backbone.grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)


def _renew_positions(backbone: nn.Module, _: object) -> None:
    assert isinstance(backbone, VisionTransformer)
    backbone.positions = _positions(backbone)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)


def _double(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)


def _project(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 1), _norm(outputs), nn.GELU()


class Neck(nn.Module):
    """Feature maps at four scales, 1/4 to 1/32, from the 1/16 feature."""

    def __init__(self, dim: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        first = max(2 * outputs[0], dim // 2)
        second = max(outputs[1], dim // 2)
        last = max(outputs[3], 2 * dim)
        self.down_4 = nn.Sequential(
            _double(dim, first),
            _norm(first),
            nn.GELU(),
            _double(first, first // 2),
            _norm(first // 2),
            *_project(first // 2, outputs[0]),
        )
        self.down_8 = nn.Sequential(_double(dim, second), _norm(second), *_project(second, outputs[1]))
        self.down_16 = nn.Sequential(*_project(dim, outputs[2]))
        self.down_32 = nn.Sequential(nn.Conv2d(dim, last, 2, stride=2), _norm(last), *_project(last, outputs[3]))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.down_4(x), self.down_8(x), self.down_16(x), self.down_32(x)]


class Head(LateFusion):
    """Segmentation head: fuses the four scales at 1/4 of the size, applies late fusion, outputs one channel."""

    def __init__(self, inputs: tuple[int, ...], channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv_seg = nn.Conv2d(channels, 1, 1)
        self.convs = nn.ModuleList(ConvRelu(width, channels) for width in inputs)
        self.fusion_conv = ConvRelu(len(inputs) * channels, channels)
        # Present in the files but unused: the release upsamples here in variants that it never published.
        self.up_conv1 = nn.Sequential(_double(channels, half), _norm(half), *_project(half, half))
        self.up_conv2 = nn.Sequential(_double(half, quarter), _norm(quarter), *_project(quarter, quarter))
        self.add_late_fusion(channels)

    def forward(self, scales: list[Tensor], side: Tensor) -> Tensor:
        ys = [conv(x) for conv, x in zip(self.convs, scales, strict=True)]
        size = ys[0].shape[-2:]
        same = [ys[0], *(F.interpolate(y, size=size, mode="bilinear", align_corners=False) for y in ys[1:])]
        logits: Tensor = self.conv_seg(self.fuse(self.fusion_conv(torch.cat(same, dim=1)), side))
        return logits


class VitNetwork(MfpModule):
    output_layer = "head.conv_seg"

    def __init__(self, params: Params, size: tuple[int, int] | None) -> None:
        super().__init__(params)
        trunk = section(params, "backbone_params")
        dim = integer(trunk, "embed_dim", 2, 8192)
        depth = integer(trunk, "depth", 4, 128)
        heads = integer(trunk, "num_heads", 1, dim)
        hidden = int(dim * number(trunk, "mlp_ratio", 0.25, 16))
        native_height, native_width = integers(trunk, "img_size", 2, PATCH, 1 << 14)
        if depth % 4:
            raise refusal("depth", "a multiple of 4", depth)
        if dim % heads:
            raise refusal("num_heads", f"a divisor of embed_dim ({dim})", heads)
        if native_height % PATCH or native_width % PATCH:
            raise refusal("img_size", f"multiples of {PATCH}", (native_height, native_width))
        outputs = integers(section(params, "neck_params"), "out_dims", 4, 1, 8192)
        self.channels = integer(section(params, "head_params"), "channels", 4, 8192)
        self.size = size or (native_height, native_width)

        self.patch_embed_coords = PatchEmbed(4, dim)
        native = native_height // PATCH, native_width // PATCH
        self.backbone = VisionTransformer(dim, depth, heads, hidden, native, _grid(self.size))
        self.neck = Neck(dim, outputs)
        self.head = Head(outputs, self.channels)

    def score(self, image: Tensor, coords: Tensor, side: Tensor) -> Tensor:
        # Reshaping would silently read two images of half the size as one. A trace does not need the check.
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if not tracing and tuple(image.shape[-2:]) != self.size:
            raise OptionError(
                f"this ViT was built for {self.size}, the image is {tuple(image.shape[-2:])} (H, W); "
                "build or load it with size=(H, W)"
            )
        feature = self.backbone(image, self.patch_embed_coords(coords))
        logits: Tensor = self.head(self.neck(feature), side)
        return logits


def _grid(size: tuple[int, int]) -> tuple[int, int]:
    """Grid of tokens (rows, columns) for a size (H, W) in pixels.

    Raises:
        OptionError: the size cannot be divided into patches and windows (spec section 2).
    """
    for side in size:
        tokens = side // PATCH
        if side % PATCH or tokens < WINDOW or tokens % (tokens // WINDOW):
            raise OptionError(
                f"size for a ViT: expected multiples of {PATCH}, at least {PATCH * WINDOW}, whose number of "
                f"patches n divides by n // {WINDOW} (224 … 432, 448, 480, 512, …, 672, 720, …); got {size}"
            )
    return size[0] // PATCH, size[1] // PATCH


def build(params: Params, size: tuple[int, int] | None) -> VitNetwork:
    """The network of this configuration for one size (H, W) in pixels, by default ``img_size``.

    Raises:
        OptionError: the size is not a multiple of 16, or its grid cannot be divided into windows.
        CheckpointError: the network does not support a parameter.
    """
    trunk, head = section(params, "backbone_params"), section(params, "head_params")
    if "patch_size" in trunk and integers(trunk, "patch_size", 2, 1, 1 << 14) != (PATCH, PATCH):
        raise refusal("patch_size", f"{PATCH}×{PATCH}", trunk["patch_size"])
    require(trunk, "in_chans", 3)
    require(trunk, "qkv_bias", True)
    require(head, "num_classes", 1)
    if "in_index" in head and integers(head, "in_index", 4, 0, 3) != (0, 1, 2, 3):
        raise refusal("in_index", "0, 1, 2, 3", head["in_index"])
    require(head, "align_corners", False)
    require(head, "upsample", "x1")
    return VitNetwork(params, size)
