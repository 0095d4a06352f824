"""Options of a training run, and its schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import OptionError

PLAIN_SIZE = 256  # pixels: ``batch`` is for this height and width
SIZES = ((0.0, 2 / 3), (0.5, 5 / 6), (0.7, 1.0))  # (progress from which the size holds, share of the full size)
WARM_UP = 0.02
LAST_RATE = 0.01  # share of the learning rate at the end of the cosine


@dataclass(frozen=True)
class Options:
    """Options of one training run.

    Attributes:
        backbone: backbone's name in ``mfp.export.models``; optional with ``init``.
        data: training folder (see :mod:`mfp.training.photographs`).
        output: path of the checkpoint to write, in the release's format.
        init: checkpoint to start from.
        encoder: file with ImageNet weights of ``lite0``'s trunk; None: the file of the installed package.
        minutes, steps: length of the run; exactly one of the two.
        batch: objects per pass at 256×256; larger maps get fewer, so that memory and time stay similar.
        size: height and width in pixels at the end of training; None: the backbone's smaller side.
        rate: learning rate of AdamW; the trunk of ``lite0`` gets 0.3 of it.
        weights: weights of the sets in the data; a set that is not named has weight 1.
        validate: number of held-out objects in each validation, eight times a run.
        device, seed: device and seed as in PyTorch.
        resume: whether to continue from the last save beside ``output``, if there is one.
    """

    backbone: str | None
    data: Path
    output: Path
    init: Path | None = None
    encoder: Path | None = None
    minutes: float | None = None
    steps: int | None = None
    batch: int = 8
    size: int | None = None
    rate: float = 1e-3
    weights: Mapping[str, float] = field(default_factory=dict)
    validate: int = 64
    device: str = "cpu"
    seed: int = 0
    resume: bool = False

    def check(self) -> None:
        """Check the numbers against their ranges.

        Raises:
            OptionError: a number is out of its range.
        """
        if (self.minutes is None) == (self.steps is None):
            raise OptionError("expected one of minutes and steps; got both or neither")
        for name, value, low in (
            ("minutes", self.minutes, 0.01),
            ("steps", self.steps, 1),
            ("batch", self.batch, 2),
            ("rate", self.rate, 1e-8),
            ("validate", self.validate, 0),
        ):
            if value is not None and not value >= low:
                raise OptionError(f"{name}: expected a number from {low:g}, got {value!r}")
        if self.size is not None and (self.size < 64 or self.size % 32):
            raise OptionError(f"size: expected a multiple of 32 from 64, got {self.size!r}")

    def progress(self, step: int, elapsed: float) -> float:
        """Share of the run that is finished after these steps and seconds; 1 at its end."""
        return step / self.steps if self.steps is not None else elapsed / (60 * (self.minutes or 1))


def size_at(progress: float, full: int, any_size: bool) -> int:
    """Height and width of the maps in pixels: small at first, the full size for the last 30 % of the run."""
    if not any_size:
        return full
    share = [share for start, share in SIZES if progress >= start][-1]
    return max(round(full * share / 32) * 32, 64)


def batch_at(batch: int, size: int) -> int:
    """Objects per pass with as many pixels in total as ``batch`` objects of 256×256; at least 2, for BatchNorm."""
    return max(round(batch * (PLAIN_SIZE / size) ** 2), 2)


def rate_at(progress: float) -> float:
    """Share of the learning rate at this progress: a warm-up, then a cosine."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def lengths_at(progress: float, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of clicks for the next ``count`` objects: few at first, while every mask is wrong; then mostly many.

    A network that has rarely seen a tenth click gets worse with each click after the fifth.
    """
    few, some, many = rng.integers(1, 5, count), rng.integers(3, 11, count), rng.integers(8, 21, count)
    if progress < 0.1:
        return few
    share = rng.random(count)
    late = min((progress - 0.1) / 0.4, 1.0)
    return np.where(share < 0.5 - 0.2 * late, few, np.where(share < 1.0 - 0.3 * late, some, many))
