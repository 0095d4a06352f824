"""Wide 3×3 convolutions by Winograd's minimal filtering, for ONNX Runtime on a CPU, which has the direct way alone.

F(4×4, 3×3) of Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016, arXiv:1509.09308): a tile
of 4×4 results is made of 6×6 inputs d and a filter g as Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, that is with 36 products where the
direct way takes 144. Summed over channels, the ⊙ is 36 matrix products; and with a tile as one column of 36 numbers,
Bᵀ·B and Aᵀ·A are products with the constant matrices Bᵀ⊗Bᵀ (36×36) and Aᵀ⊗Aᵀ (16×36). In plain operators:

    rows ── Gather ──> 36 × tiles·N·C ── Bᵀ⊗Bᵀ ──> 36 × (tiles·N × C) ── filters ──> 36 × (tiles·N × K)
                                                        rows <── bias ── 16·tiles × N × K <── Aᵀ⊗Aᵀ ──┘

"Rows" are pixels × N × C, in whatever order of pixels they fall out of a convolution's tiles; the next one's Gather
finds them there. So chains of convolutions, ReLUs, sums and 1×1 convolutions never go back to N×C×H×W in between.
Padding is a row of zeros for the Gather to read, and a convolution of dilation d is one of d×d images, each of every
d-th pixel: both are a matter of indices alone.

Transformed filters take four times the room, so they are made when a network is loaded, and are in no file.

The transforms interpolate at points, whose choice decides how much rounding errors grow. 0, 1, −1, ½, −2 and ∞ gave the
least of those tried, as Barabasz et al. found ("Error Analysis and Improving the Accuracy of Winograd Convolution for
Deep Neural Networks", ACM TOMS 2020, arXiv:1803.10986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Order = NDArray[np.int64]  # of rows: the pixel (y·W + x) that each holds, or NOWHERE

GIVES, READS = 4, 6  # sides of a tile of results, and of the inputs that it is made of
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and ∞
NOWHERE = -1  # outside the image: padding, or results of a tile that reaches over the edge

# Measured on ResNet-34 and HRNet-18: below these the direct way is as fast, or nearly, and takes less memory.
MIN_CHANNELS = 128  # read and given: the transforms' work grows with their sum, what they save with their product
MIN_TILES = 64  # of an image: rows of the 36 products, too few of which do not pay for reading the filters
MIN_SAVING = 2.0  # times fewer products than the direct way; 4 less what goes into tiles that reach over edges
MIN_SHARE = 1 / 3  # of the work of a network's convolutions: HRNet-18's one of 15 % gave 3 %, and took 300 MB


def transforms() -> tuple[F64, F64, F64]:
    """Aᵀ (4×6), G (6×3) and Bᵀ (6×6) of F(4, 3), by Toom and Cook's construction.

    Of 6 inputs d and 3 taps g, Aᵀ(Gg ⊙ Bᵀd) are the 4 sums Σₖ gₖ dᵢ₊ₖ.
    """
    points, infinity = np.array(_POINTS), READS - 1
    a, g, b = np.zeros((GIVES, READS)), np.zeros((READS, 3)), np.zeros((READS, READS))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        a[:, i] = point ** np.arange(GIVES)
        g[i] = point ** np.arange(3) / np.prod(point - others)
        b[i, :infinity] = np.poly(others)[::-1]  # coefficients of Π (x − other), lowest power first
    a[-1, infinity] = g[infinity, -1] = 1
    b[infinity] = np.poly(points)[::-1]
    return a, g, b


@dataclass(frozen=True)
class Convolution:
    """A convolution of stride 1 and in one group.

    Attributes:
        filters, bias: names of the tensors K×C×side×side and K; no bias is "".
        shape: (K, C, side, side).
        source, size: (H, W) of what it reads and gives.
        pads: zeros above and to the left; those below and to the right follow from the sizes.
        dilations: along y and x.
    """

    filters: str
    bias: str
    shape: Sequence[int]
    source: Sequence[int]
    size: Sequence[int]
    pads: Sequence[int]
    dilations: Sequence[int]

    @property
    def pays(self) -> bool:
        """Whether Winograd is the faster way."""
        rows, columns = (-(-n // (d * GIVES)) * d for n, d in zip(self.size, self.dilations, strict=True))
        saving = 9 * self.size[0] * self.size[1] / (READS**2 * rows * columns)
        return bool(
            self.shape[2] == 3
            and min(self.shape[:2]) >= MIN_CHANNELS
            and rows * columns >= MIN_TILES
            and saving >= MIN_SAVING
        )

    @property
    def work(self) -> int:
        """Multiply-adds of the direct way, for one image."""
        return math.prod((*self.shape, *self.size))

    def tiles(self) -> tuple[Order, Order]:
        """Of 3×3 filters: the pixel of the input that each of 36·tiles is, and of the output each of 16·tiles."""
        (y_reads, y_gives), (x_reads, x_gives) = (self._along(axis) for axis in (0, 1))
        return _pixels(y_reads, x_reads, self.source[1]), _pixels(y_gives, x_gives, self.size[1])

    def _along(self, axis: int) -> tuple[Order, Order]:
        """Along one axis, positions as (in a tile) × (image of every d-th pixel) × (tile)."""
        size, step = self.size[axis], self.dilations[axis]
        first = np.arange(step)[:, None] + step * GIVES * np.arange(-(-size // (step * GIVES)))
        reads = first + step * np.arange(READS)[:, None, None] - self.pads[axis]
        gives = first + step * np.arange(GIVES)[:, None, None]
        reads[(reads < 0) | (reads >= self.source[axis])] = NOWHERE
        gives[gives >= size] = NOWHERE
        return reads, gives


def _pixels(y: Order, x: Order, width: int) -> Order:
    """Of positions along both axes, pixels in the order (y, x in a tile), (y, x of the image), (y, x of the tile)."""
    y, x = y[:, None, :, None, :, None], x[None, :, None, :, None, :]
    return np.where((y == NOWHERE) | (x == NOWHERE), NOWHERE, y * width + x).ravel()


def where(wanted: Order, order: Order) -> Order:
    """The row that holds each wanted pixel; the row behind the last for one that is nowhere."""
    rows = np.full(max(wanted.max(), order.max()) + 2, len(order))
    rows[order[order != NOWHERE]] = np.flatnonzero(order != NOWHERE)
    rows[NOWHERE] = len(order)
    return rows[wanted]
