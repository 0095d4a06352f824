"""Statistics of samples: percentiles, spread, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DRIFT_LIMIT = 0.1  # share of the median; if the ends of a run differ by more, the machine was not quiet


@dataclass(frozen=True)
class Summary:
    """Statistics of one quantity, in the samples' unit.

    Attributes:
        count: number of samples.
        p25, p50, p75, p95, p99: percentiles.
        mean: mean of all samples.
        drift: median of the last third divided by that of the first third, minus 1; 0 with fewer than 6 samples.
    """

    count: int
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float
    mean: float
    drift: float

    @property
    def drifts(self) -> bool:
        """Whether the ends of the run differ by more than :data:`DRIFT_LIMIT`."""
        return abs(self.drift) > DRIFT_LIMIT


def summary(samples: Sequence[float]) -> Summary:
    """Statistics of at least one sample."""
    p25, p50, p75, p95, p99 = np.percentile(samples, (25, 50, 75, 95, 99)).tolist()
    third = len(samples) // 3
    begin, end = (float(np.median(part)) if third >= 2 else 0.0 for part in (samples[:third], samples[-third:]))
    drift = end / begin - 1 if begin else 0.0
    return Summary(len(samples), p25, p50, p75, p95, p99, float(np.mean(samples)), drift)


def stage(rows: Sequence[Mapping[str, float]], name: str = "total") -> list[float]:
    """Samples of one stage of a record's clicks; 0 for a click without that stage."""
    return [row.get(name, 0.0) for row in rows]
