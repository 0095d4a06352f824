"""Confidence intervals of medians and of their ratios, and groups of runs that they cannot tell apart.

The intervals are bootstrap percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter
13). They resample blocks of consecutive clicks, with the run as a ring (Politis and Romano, A circular block-resampling
procedure for stationary data, 1992). A disturbance of the machine lasts longer than one click, so that resampling
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
BLOCK = 8  # clicks in a block: those of an object, see mfp.bench.workload.LATER
BLOCKS = 4  # blocks in a sample at least: shorter runs take shorter blocks
SEED = 0  # fixed, so that the same record gives the same report


@dataclass(frozen=True)
class Interval:
    """Closed interval from ``low`` to ``high``."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share a value."""
        return self.low <= other.high and other.low <= self.high


def median_interval(samples: Sequence[float]) -> Interval:
    """Confidence interval of the median, in the samples' unit.

    Args:
        samples: at least one sample, in the order of measurement.
    """
    values = np.asarray(samples, np.float64)
    return _interval(np.median(values[_resamples(len(values))], axis=1))


def ratio_interval(reference: Sequence[float], samples: Sequence[float]) -> Interval:
    """Confidence interval of median(reference) / median(samples), the factor by which the samples are faster.

    Both were measured in turn, so each resample takes the same clicks of both: a disturbance that affects both does not
    widen the interval.

    Args:
        reference, samples: equal numbers of samples, at least one, in the order of measurement.

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
    """Largest groups of at least two names whose intervals all overlap, in the mapping's order.

    Intervals on a line that overlap pairwise share a point, and one of them begins at such a point; so it is enough to
    test the lower ends.
    """
    names = list(intervals)
    groups = {frozenset(name for name in names if start.low in intervals[name]) for start in intervals.values()}
    largest = [group for group in groups if len(group) > 1 and not any(group < other for other in groups)]
    ordered = [sorted(group, key=names.index) for group in largest]
    return sorted(ordered, key=lambda group: [names.index(name) for name in group])


def _resamples(count: int) -> NDArray[np.int64]:
    """Random indices below ``count``: int64, RESAMPLES × count."""
    block = max(1, min(BLOCK, count // BLOCKS))
    blocks = -(-count // block)
    starts = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, blocks, 1))
    indices = (starts + np.arange(block)) % count
    result: NDArray[np.int64] = indices.reshape(RESAMPLES, -1)[:, :count]
    return result


def _interval(statistics: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(statistics, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
    return Interval(low, high)
