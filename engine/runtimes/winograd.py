"""Winograd's minimal filtering for wide 3×3 convolutions, for ONNX Runtime on a CPU, which has only direct convolution.

The algorithm is F(4×4, 3×3) of Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016,
arXiv:1509.09308). It computes a tile of 4×4 results from 6×6 inputs d and a filter g as Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, with
36 products instead of the direct method's 144. Summed over channels, the ⊙ is 36 matrix products. With a tile as one
column of 36 numbers, Bᵀ·B and Aᵀ·A are products with the constant matrices Bᵀ⊗Bᵀ (36×36) and Aᵀ⊗Aᵀ (16×36). In plain
operators:

    rows ── Gather ──> 36 × tiles·N·C ── Bᵀ⊗Bᵀ ──> 36 × (tiles·N × C) ── filters ──> 36 × (tiles·N × K)
                                                        rows <── bias ── 16·tiles × N × K <── Aᵀ⊗Aᵀ ──┘

"Rows" are pixels × N × C. Their pixels are in the order in which a convolution's tiles produce them; the next
convolution's Gather accounts for that order. So chains of convolutions, ReLUs, sums and 1×1 convolutions never go back
to N×C×H×W in between. Padding is a row of zeros for the Gather to read. A convolution of dilation d is a convolution of
d×d images, each made of every d-th pixel. Both need only other indices.

Transformed filters take four times the memory, so they are made when a network is loaded, and stored in no file.

The transforms interpolate at points, whose choice decides how much rounding errors grow. 0, 1, −1, ½, −2 and ∞ gave the
smallest errors of those tried, as Barabasz et al. found ("Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks", ACM TOMS 2020, arXiv:1803.10986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Order = NDArray[np.int64]  # for each row the pixel (y·W + x) that it holds, or NOWHERE

GIVES, READS = 4, 6  # sides of a tile of results, and of the inputs that it is computed from
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and ∞
NOWHERE = -1  # outside the image: padding, or results of a tile that reaches over the edge

# Measured on ResNet-34 and HRNet-18: below these values direct convolution is (nearly) as fast, and takes less memory.
MIN_CHANNELS = 128  # of input and output: the transforms' cost grows with their sum, the saving with their product
MIN_TILES = 64  # tiles of an image, which are rows of the 36 products: with fewer, reading the filters costs too much
MIN_SAVING = 2.0  # factor between the direct method's products and these: 4, less for tiles that reach over edges
MIN_SHARE = 1 / 3  # share of the work of all convolutions: HRNet-18's 15 % gained 3 %, and took 300 MB


def transforms() -> tuple[F64, F64, F64]:
    """Matrices Aᵀ (4×6), G (6×3) and Bᵀ (6×6) of F(4, 3), by Toom and Cook's construction.

    With 6 inputs d and 3 taps g, Aᵀ(Gg ⊙ Bᵀd) are the 4 sums Σₖ gₖ dᵢ₊ₖ.
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
        filters, bias: names of the tensors K×C×side×side and K; the bias is "" if there is none.
        shape: (K, C, side, side), the filters' shape.
        source, size: (H, W) of the input and of the output.
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
        """Whether Winograd's filtering is faster than direct convolution."""
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
        """Number of multiply-adds of direct convolution, for one image."""
        return math.prod((*self.shape, *self.size))

    def tiles(self) -> tuple[Order, Order]:
        """Input pixel of each of the 36·tiles inputs, and output pixel of each of the 16·tiles results; 3×3 filters."""
        (y_reads, y_gives), (x_reads, x_gives) = (self._along(axis) for axis in (0, 1))
        return _pixels(y_reads, x_reads, self.source[1]), _pixels(y_gives, x_gives, self.size[1])

    def _along(self, axis: int) -> tuple[Order, Order]:
        """Positions along one axis, as (in a tile) × (image of every d-th pixel) × (tile)."""
        size, step = self.size[axis], self.dilations[axis]
        first = np.arange(step)[:, None] + step * GIVES * np.arange(-(-size // (step * GIVES)))
        reads = first + step * np.arange(READS)[:, None, None] - self.pads[axis]
        gives = first + step * np.arange(GIVES)[:, None, None]
        reads[(reads < 0) | (reads >= self.source[axis])] = NOWHERE
        gives[gives >= size] = NOWHERE
        return reads, gives


def _pixels(y: Order, x: Order, width: int) -> Order:
    """Pixels of positions along both axes, in the order (y, x in a tile), (y, x of the image), (y, x of the tile)."""
    y, x = y[:, None, :, None, :, None], x[None, :, None, :, None, :]
    return np.where((y == NOWHERE) | (x == NOWHERE), NOWHERE, y * width + x).ravel()


def where(wanted: Order, order: Order) -> Order:
    """The row that holds each wanted pixel; for ``NOWHERE`` the index behind the last row."""
    rows = np.full(max(wanted.max(), order.max()) + 2, len(order))
    rows[order[order != NOWHERE]] = np.flatnonzero(order != NOWHERE)
    rows[NOWHERE] = len(order)
    return rows[wanted]
