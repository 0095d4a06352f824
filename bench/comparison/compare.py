"""Comparison of two networks on the same sessions.

Two comparisons, separate because a session feeds its own probability map back into the network:

- *Logits at equal input*: every pass of the reference's session also runs on the other network, on the reference's
  arrays. Differences come only from the networks' arithmetic.
- *Probability and mask*: each network runs its own session with the same clicks, so that errors feed back as they do
  for a user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.contract import Size
from ...engine.errors import ImageError, NetworkError, OptionError
from ...engine.image import as_rgb
from ...engine.mask import Mask
from ...engine.network import F32, Network
from ...engine.session import Session
from ...kernels.clicks import Click
from ..overlap import iou
from ..workload import seeded_clicks

# measure → its name in tables. Lower is better for all but the last.
MEASURES: Mapping[str, str] = {
    "logits_rms": "logits RMS",
    "logits_max": "logits max",
    "probability_p50": "probability 50 %",
    "probability_p90": "probability 90 %",
    "probability_p99": "probability 99 %",
    "probability_p99_9": "probability 99.9 %",
    "probability_max": "probability max",
    "mask_iou": "mask IoU",
}


@dataclass(frozen=True)
class ClickDifference:
    """Difference of two networks after one click.

    Attributes:
        image: name of the image.
        click: number of the click, from 1.
        x, y: column and row of the click in image pixels.
        positive: whether the click is positive.
        logits_rms, logits_max: root mean square and largest difference of the logits at equal input, in standard
            deviations of the reference's logits (in plain logits where those are constant), from 0; the value of the
            click's worst pass (of 2 at a first click, 1 later).
        probability_p50, …, probability_max: percentiles over the image's pixels of the difference of the two
            sessions' probability maps, in [0, 1].
        mask_iou: intersection over union of the masks at the sessions' threshold, in [0, 1]; 1 where both are empty.
    """

    image: str
    click: int
    x: float
    y: float
    positive: bool
    logits_rms: float
    logits_max: float
    probability_p50: float
    probability_p90: float
    probability_p99: float
    probability_p99_9: float
    probability_max: float
    mask_iou: float


@dataclass(frozen=True)
class WorstCase:
    """The click after which the masks differ most, with its maps.

    Attributes:
        difference: measures of the click.
        photograph: uint8 H×W×3, RGB.
        clicks: clicks up to this one, in image pixels.
        reference, other: masks of the two networks, H×W.
        gap: float32 H×W, absolute difference of the probability maps, in [0, 1].
    """

    difference: ClickDifference
    photograph: NDArray[np.uint8]
    clicks: tuple[Click, ...]
    reference: Mask
    other: Mask
    gap: F32


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare_networks`.

    Attributes:
        differences: one entry per click, in the order of images and clicks.
        worst_case: click with the lowest mask IoU; among equals the one with the largest difference in probability.
    """

    differences: tuple[ClickDifference, ...]
    worst_case: WorstCase

    @property
    def identical(self) -> bool:
        """Whether all logits and probabilities are equal to the bit."""
        return all(d.logits_max == 0 and d.probability_max == 0 for d in self.differences)

    def mean(self, measure: str, click: int | None = None) -> float:
        """Mean of a measure (a key of :data:`MEASURES`) over all clicks, or over the images at one click, from 1."""
        return float(np.mean([getattr(d, measure) for d in self.differences if click in (None, d.click)]))

    def worst(self, measure: str) -> ClickDifference:
        """The click with the worst value of a measure (a key of :data:`MEASURES`); the first among equals."""
        if measure == "mask_iou":
            return min(self.differences, key=lambda d: d.mask_iou)
        return max(self.differences, key=lambda d: float(getattr(d, measure)))


def figure(measure: str, value: float) -> str:
    """Format a measure's value for display. IoU is rounded down, so that 1.00000 means 1."""
    if measure == "mask_iou":
        return f"{math.floor(value * 1e5) / 1e5:.5f}"
    return f"{value:.1e}" if value else "0"


def compare_networks(
    reference: Network,
    other: Network,
    images: Iterable[tuple[str, Any]],
    clicks: int = 5,
    seed: int = 0,
    flip: bool = True,
    size: Size | int | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Comparison:
    """Run the same seeded clicks on both networks.

    Memory does not grow with the number of images: they are processed one at a time, and only the pixels of the worst
    case are kept.

    Args:
        reference, other: networks from :func:`~mfp.engine.network.load_network` that pass :func:`check_comparable`.
        images: pairs of a name and an image, H×W×3 uint8 RGB; may be a generator. The name determines the clicks, see
            :func:`seeded_clicks`.
        clicks: number of clicks per image, from 1.
        seed: seed of the clicks.
        flip: whether to run also on the mirrored crop, as sessions do by default.
        size: network size, (H, W) or one number for the longer side of the crop; None: the size that either network is
            fixed to, or else a session's default.
        progress: function called after each click with the image's name and the click's number, from 1.

    Raises:
        OptionError: the networks cannot be compared, or an option is out of its range.
        ImageError: an image is not accepted, or there is none.
        NetworkError: a network fails, or gives logits that are not finite; the message names image and click.
    """
    if clicks < 1:
        raise OptionError(f"expected at least 1 click an image, got {clicks}")
    check_comparable(reference, other)
    if size is None:
        size = reference.info.size or other.info.size
    paired = _Paired(reference, other)
    differences: list[ClickDifference] = []
    worst: WorstCase | None = None
    for name, image in images:
        photograph = as_rgb(image)
        sessions = [Session(network, photograph, size=size, flip=flip) for network in (paired, other)]
        height, width = photograph.shape[:2]
        for number, click in enumerate(seeded_clicks(name, height, width, clicks, seed), 1):
            paired.errors.clear()
            try:
                masks = [session.click(click.x, click.y, click.positive) for session in sessions]
            except NetworkError as error:
                raise NetworkError(f"{name}, click {number}: {error}") from error
            gap: F32 = np.abs(sessions[0].probability - sessions[1].probability)
            difference = _measured(name, number, click, paired.errors, gap, masks)
            differences.append(difference)
            if worst is None or _badness(difference) > _badness(worst.difference):
                worst = WorstCase(difference, photograph, tuple(sessions[0].clicks), masks[0], masks[1], gap)
            if progress:
                progress(name, number)
    if worst is None:
        raise ImageError("expected at least one image to compare on, got none")
    return Comparison(tuple(differences), worst)


def check_comparable(reference: Network, other: Network) -> list[str]:
    """Check that two networks can be compared.

    Returns:
        One sentence for each permitted difference that makes a comparison of arithmetic meaningless.

    Raises:
        OptionError: the networks are fixed to different sizes, or modulate with a different N or R_max, so that they
            never get the same input.
    """
    a, b = reference.info, other.info
    if a.size and b.size and a.size != b.size:
        sizes = " and ".join(f"{height}×{width}" for height, width in (a.size, b.size))
        raise OptionError(
            f"the networks are fixed to different sizes, {sizes}; export one of them again: mfp export --size"
        )
    if (a.n_early, a.r_max) != (b.n_early, b.r_max):
        raise OptionError(
            f"the networks modulate differently: n_early={a.n_early}, r_max={a.r_max:g} and n_early={b.n_early}, "
            f"r_max={b.r_max:g}; expected the same, because they would not see the same input"
        )
    kinds = {"backbones": (a.backbone, b.backbone), "weights": (a.weights, b.weights)}
    return [f"the networks have different {what}: {x} and {y}" for what, (x, y) in kinds.items() if x != y]


def logits_error(reference: F32, other: F32) -> tuple[float, float]:
    """Root mean square and largest difference, in standard deviations of ``reference`` (plain where it is constant)."""
    difference = other.astype(np.float64) - reference
    unit = float(np.std(reference, dtype=np.float64)) if np.ptp(reference) else 1.0
    return float(np.sqrt(np.mean(difference**2))) / unit, float(np.abs(difference).max()) / unit


class _Paired(Network):
    """The reference network; runs each pass on the other network too and records the difference of the logits."""

    def __init__(self, reference: Network, other: Network) -> None:
        self.info, self.runtime, self.device = reference.info, reference.runtime, reference.device
        self._networks = reference, other
        self.errors: list[tuple[float, float]] = []  #: errors of each pass, see :func:`logits_error`

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        logits, others = (network(image, prev_mask, modulated_mask, clicks) for network in self._networks)
        self.errors.append(logits_error(logits, others))
        return logits


def _measured(
    image: str, number: int, click: Click, errors: list[tuple[float, float]], gap: F32, masks: list[Mask]
) -> ClickDifference:
    rms, largest = (max(values) for values in zip(*errors, strict=True))
    p50, p90, p99, p99_9, top = np.percentile(gap, (50, 90, 99, 99.9, 100)).tolist()
    overlap = iou(masks[1], masks[0].array.view(np.int8))
    return ClickDifference(
        image, number, click.x, click.y, click.positive, rms, largest, p50, p90, p99, p99_9, top, overlap
    )


def _badness(difference: ClickDifference) -> tuple[float, float]:
    return -difference.mask_iou, difference.probability_max
