"""Results of a latency record's runs, computed from their samples, for tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engine.errors import OptionError
from ..intervals import Interval, median_interval, not_told_apart, ratio_interval
from ..samples import Summary, stage, summary
from .cases import AUTHORS, REFERENCE
from .record import find_run
from .roofline import floor_ms

STAGES = ("crop", "encode", "modulate", "network", "paste", "copy")


@dataclass(frozen=True)
class Figures:
    """Results of one run of one backbone; times in milliseconds.

    Attributes:
        backbone, name, precision: values from the record.
        authors: whether the run is the baseline, in any variant.
        first, later: statistics of first and later clicks, end to end.
        samples: times of later clicks, in order.
        median: interval of the later clicks' median.
        times: the reference's median later click divided by this run's: how many times as fast it is; None without a
            reference.
        times_interval: interval of ``times``.
        stages: mean of later clicks by stage, with ``"rest"`` for time in no stage; means, because they add up.
        floor: lower bound of a later click's time; None where the ceiling was not measured.
        cold, memory, agreement, throughput: values from the record, empty where they were not measured.
    """

    backbone: str
    name: str
    precision: str
    authors: bool
    first: Summary
    later: Summary
    samples: list[float]
    median: Interval
    times: float | None
    times_interval: Interval | None
    stages: dict[str, float]
    floor: float | None
    cold: dict[str, float]
    memory: dict[str, float | None]
    agreement: dict[str, float]
    throughput: dict[str, float]

    @property
    def is_reference(self) -> bool:
        """Whether this run is the reference that the others are compared with."""
        return self.name == REFERENCE.name

    @property
    def from_floor(self) -> float | None:
        """Median later click divided by its floor; None without a floor."""
        return self.later.p50 / self.floor if self.floor else None


def figures(record: dict[str, Any]) -> list[Figures]:
    """Results of all runs that have clicks, backbone by backbone, in the record's order."""
    measured = [run for run in record["runs"] if run["first"] and run["later"]]
    return [_figures(record, run) for backbone in record["networks"] for run in measured if run["backbone"] == backbone]


def of_finished(record: dict[str, Any], name: str) -> list[Figures]:
    """Results of all runs of a finished record, as from :func:`figures`.

    Args:
        record: the record.
        name: name of the record, for the message.

    Raises:
        OptionError: the record is not finished, or has no clicks.
    """
    if not record["finished"]:
        raise OptionError(f"{name} is not finished; finish it first with: mfp bench --resume {name}")
    found = figures(record)
    if not found:
        raise OptionError(f"{name} has no clicks: nothing to report")
    return found


def by_backbone(rows: Sequence[Figures]) -> dict[str, list[Figures]]:
    """Rows grouped by backbone."""
    return {name: [row for row in rows if row.backbone == name] for name in dict.fromkeys(row.backbone for row in rows)}


def alike(rows: Sequence[Figures]) -> list[list[str]]:
    """Groups of one backbone's runs whose differences are smaller than the spread: their intervals overlap."""
    return not_told_apart({row.name: row.times_interval or row.median for row in rows})


def fastest(rows: Sequence[Figures]) -> set[str]:
    """Names of one backbone's fastest run by median click, and of the runs whose intervals overlap with its own."""
    best = min(rows, key=lambda row: row.later.p50)
    mine = best.times_interval or best.median
    return {row.name for row in rows if (row.times_interval or row.median).overlaps(mine)}


def _figures(record: dict[str, Any], run: dict[str, Any]) -> Figures:
    samples = stage(run["later"])
    reference = find_run(record, run["backbone"], REFERENCE.name)
    known = stage(reference["later"]) if reference and reference["later"] else None
    later = summary(samples)
    return Figures(
        backbone=run["backbone"],
        name=run["name"],
        precision=run["precision"],
        authors=run["way"] == AUTHORS,
        first=summary(stage(run["first"])),
        later=later,
        samples=samples,
        median=median_interval(samples),
        times=summary(known).p50 / later.p50 if known else None,
        times_interval=ratio_interval(known, samples) if known else None,
        stages=_stages(run),
        floor=floor_ms(record["networks"][run["backbone"]], record["ceilings"], run["precision"]),
        cold=run["cold"] or {},
        memory=run["memory"] or {},
        agreement=run["agreement"] or {},
        throughput=run["throughput"],
    )


def _stages(run: dict[str, Any]) -> dict[str, float]:
    """Mean milliseconds by stage; on a GPU from the clicks whose steps ran one by one, where they were measured."""
    rows = (run["stages"] or run)["later"]
    found = {name: float(np.mean(stage(rows, name))) for name in STAGES}
    return {**found, "rest": max(float(np.mean(stage(rows))) - sum(found.values()), 0.0)}
