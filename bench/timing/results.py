"""What a latency record says: its runs' figures, computed from their samples, for tables and pictures alike."""

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
    """Of one run of one backbone; times in milliseconds.

    Attributes:
        backbone, name, precision: as in the record.
        authors: whether it is the authors' way.
        first, later: of clicks, end to end.
        samples: later clicks in their order.
        median: interval of the later clicks' median.
        times: how many times as fast a later click is as the reference's, ratio of medians; None without a reference.
        times_interval: of it.
        stages: mean of later clicks by stage, ``"rest"`` what is in no stage; means, because those add up.
        floor: that no later click can be faster than; None where the ceiling was not measured.
        cold, memory, agreement, throughput: as in the record, empty where they were not measured.
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
        """Whether the others are held against it."""
        return self.name == REFERENCE.name

    @property
    def from_floor(self) -> float | None:
        """How many times as long as its floor a later click takes."""
        return self.later.p50 / self.floor if self.floor else None


def figures(record: dict[str, Any]) -> list[Figures]:
    """Of all runs that have clicks, backbone by backbone, in the record's order."""
    measured = [run for run in record["runs"] if run["first"] and run["later"]]
    return [_figures(record, run) for backbone in record["networks"] for run in measured if run["backbone"] == backbone]


def of_finished(record: dict[str, Any], name: str) -> list[Figures]:
    """The same, of a record that is complete.

    Args:
        name: of the record, for the message.

    Raises:
        OptionError: it is not, or has no clicks.
    """
    if not record["finished"]:
        raise OptionError(f"{name} is not finished; finish it first with: mfp bench --resume {name}")
    found = figures(record)
    if not found:
        raise OptionError(f"{name} has no clicks: nothing to report")
    return found


def by_backbone(rows: Sequence[Figures]) -> dict[str, list[Figures]]:
    """The rows of each backbone."""
    return {name: [row for row in rows if row.backbone == name] for name in dict.fromkeys(row.backbone for row in rows)}


def alike(rows: Sequence[Figures]) -> list[list[str]]:
    """Groups of one backbone's runs whose differences are smaller than the spread: their intervals overlap."""
    return not_told_apart({row.name: row.times_interval or row.median for row in rows})


def fastest(rows: Sequence[Figures]) -> set[str]:
    """Of one backbone: the run with the fastest median click, and those that cannot be told apart from it."""
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
    """On a GPU those of the clicks whose steps ran one by one, where there are some."""
    rows = (run["stages"] or run)["later"]
    found = {name: float(np.mean(stage(rows, name))) for name in STAGES}
    return {**found, "rest": max(float(np.mean(stage(rows))) - sum(found.values()), 0.0)}
