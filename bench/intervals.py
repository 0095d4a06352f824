"""How far a median, or the ratio of two, would move if the clicks were measured again; which differences are smaller.

The intervals are the bootstrap's (percentiles of resampled statistics: Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13), of blocks of consecutive clicks, with the run as a ring (Politis and Romano, A circular
block-resampling procedure for stationary data, 1992): what disturbs a machine lasts longer than one click, so that
single clicks would make the intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import OptionError

LEVEL = 0.95
RESAMPLES = 2000
BLOCK = 8  # clicks: an object's, see mfp.bench.workload.LATER
BLOCKS = 4  # in a sample at the least: shorter runs take shorter blocks
SEED = 0  # the same record gives the same report


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def overlaps(self, other: Interval) -> bool:
        """Whether they have a value in common."""
        return self.low <= other.high and other.low <= self.high


def median_interval(samples: Sequence[float]) -> Interval:
    """Of the median, in the samples' unit.

    Args:
        samples: at least one, in the order they were taken.
    """
    values = np.asarray(samples, np.float64)
    return _interval(np.median(values[_resamples(len(values))], axis=1))


def ratio_interval(reference: Sequence[float], samples: Sequence[float]) -> Interval:
    """Of median(reference) / median(samples): how many times as fast the samples are.

    Both were taken in turn, so each resample takes the same clicks of both: what met both does not widen the interval.

    Args:
        reference, samples: equally many, at least one, in the order they were taken.

    Raises:
        OptionError: their numbers differ.
    """
    if len(reference) != len(samples):
        raise OptionError(
            f"expected as many clicks of a run as of its reference, got {len(samples)} and {len(reference)}: "
            "they were not taken in turn; measure again with: mfp bench"
        )
    chosen = _resamples(len(samples))
    medians = [np.median(np.asarray(values, np.float64)[chosen], axis=1) for values in (reference, samples)]
    return _interval(medians[0] / medians[1])


def not_told_apart(intervals: Mapping[str, Interval]) -> list[list[str]]:
    """The largest groups of names whose intervals all overlap, in the mapping's order; names alone are left out.

    On a line, intervals that overlap pairwise have a point in common, and one that begins there: it is enough to ask at
    the beginnings.
    """
    names = list(intervals)
    groups = {frozenset(name for name in names if start.low in intervals[name]) for start in intervals.values()}
    largest = [group for group in groups if len(group) > 1 and not any(group < other for other in groups)]
    ordered = [sorted(group, key=names.index) for group in largest]
    return sorted(ordered, key=lambda group: [names.index(name) for name in group])


def _resamples(count: int) -> NDArray[np.int64]:
    """RESAMPLES × count indices below ``count``."""
    block = max(1, min(BLOCK, count // BLOCKS))
    blocks = -(-count // block)
    starts = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, blocks, 1))
    indices = (starts + np.arange(block)) % count
    result: NDArray[np.int64] = indices.reshape(RESAMPLES, -1)[:, :count]
    return result


def _interval(statistics: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(statistics, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
    return Interval(low, high)
