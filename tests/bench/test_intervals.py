"""Intervals: properties that any bootstrap of clicks in turn must have."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfp.bench.intervals import BLOCK, Interval, median_interval, not_told_apart, ratio_interval
from mfp.engine.errors import OptionError

TIMES = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=60)


@given(TIMES)
def test_a_median_stays_among_the_samples(samples):
    interval = median_interval(samples)
    assert min(samples) <= interval.low <= interval.high <= max(samples)
    assert interval == median_interval(samples)  # the same record gives the same report


@given(TIMES, st.floats(0.1, 10))
def test_what_meets_both_does_not_widen_a_ratio(samples, factor):
    interval = ratio_interval([factor * value for value in samples], samples)
    assert (interval.low, interval.high) == pytest.approx((factor, factor))


def test_noise_that_lasts_widens_an_interval():
    rng = np.random.default_rng(0)
    lasting = np.repeat(np.exp(rng.normal(0, 0.2, 12)), BLOCK)
    brief = rng.permutation(lasting)
    wide, narrow = median_interval(lasting.tolist()), median_interval(brief.tolist())
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [2.0 in ratio_interval(*np.exp(rng.normal([[np.log(2)], [0]], 0.1, (2, 96))).tolist()) for _ in range(40)]
    assert sum(held) >= 34


def test_runs_that_were_not_taken_in_turn_have_no_ratio():
    with pytest.raises(OptionError, match="as many clicks of a run as of its reference, got 2 and 3"):
        ratio_interval([1, 2, 3], [1, 2])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=7))
def test_groups_are_the_largest_in_which_all_overlap(pairs):
    intervals = {str(number): Interval(low, low + length) for number, (low, length) in enumerate(pairs)}
    groups = not_told_apart(intervals)
    alike = [
        set(names)
        for size in range(2, len(intervals) + 1)
        for names in itertools.combinations(intervals, size)
        if all(intervals[a].overlaps(intervals[b]) for a, b in itertools.combinations(names, 2))
    ]
    assert sorted(groups) == sorted(sorted(group) for group in alike if not any(group < other for other in alike))
