"""Comparison of two latency records of the same machine: whether their intervals overlap, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..markdown import NONE, number, plain, table
from .report import bullets, range_, source_line
from .results import Figures, of_finished


@dataclass(frozen=True)
class Pair:
    """A run that both records have."""

    before: Figures
    after: Figures

    @property
    def medians_overlap(self) -> bool:
        """Whether the intervals of the later clicks' medians overlap."""
        return self.before.median.overlaps(self.after.median)

    @property
    def times_overlap(self) -> bool | None:
        """Whether the intervals of "times as fast" overlap; None where one of them is missing."""
        before, after = self.before.times_interval, self.after.times_interval
        return before.overlaps(after) if before and after else None


def pairs(before: Sequence[Figures], after: Sequence[Figures]) -> list[Pair]:
    """Runs that both records have, in the order of the first."""
    others = {(row.backbone, row.name): row for row in after}
    return [Pair(row, others[row.backbone, row.name]) for row in before if (row.backbone, row.name) in others]


def comparison(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Markdown page that compares two records.

    Args:
        records: the two records.
        names: names of their files.

    Raises:
        OptionError: one of the records is not finished.
    """
    before, after = (of_finished(record, name) for record, name in zip(records, names, strict=True))
    found = pairs(before, after)
    lines = [f"# {plain(names[0])} and {plain(names[1])}", "", *_table(found), "", *bullets(verdict(found))]
    differences = differing(*records)
    if differences:
        lines += [f"- **Not measured alike**, so that a difference need not be the engine's: {'; '.join(differences)}."]
    here = [{(row.backbone, row.name) for row in rows} for rows in (before, after)]
    for name, mine, other in zip(names, here, reversed(here), strict=True):
        if mine - other:
            alone = "; ".join(sorted(plain(", ".join(key)) for key in mine - other))
            lines.append(f"- Only in {plain(name)}: {alone}.")
    lines += ["", *(source_line(record, name) + "\n" for record, name in zip(records, names, strict=True))]
    return "\n".join(lines)


def verdict(found: Sequence[Pair]) -> list[str]:
    """Sentences about the number of runs that agree."""
    if not found:
        return ["The records have no run in common."]
    times = [pair.times_overlap for pair in found if pair.times_overlap is not None and not pair.before.is_reference]
    return [
        f"Medians of a later click: the intervals of {sum(pair.medians_overlap for pair in found)} of {len(found)} "
        "runs overlap.",
        f"Times as fast as the authors' way in the same run: those of {sum(times)} of {len(times)} do.",
    ]


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Differences of machine and settings, as Markdown."""
    found = []
    for part in ("machine", "settings"):
        was, now = _flat(before[part]), _flat(after[part])
        for key in sorted({*was, *now} - {"date"}):
            if was.get(key) != now.get(key):
                found.append(plain(f"{key} {was.get(key)} and {now.get(key)}"))
    return found


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= {f"{key} {inner}": v for inner, v in _flat(value).items()} if isinstance(value, dict) else {key: value}
    return flat


def _table(found: Sequence[Pair]) -> list[str]:
    head = ["backbone", "run", "p50 before", "p50 after", "after / before", "overlap", "times as fast before", "after"]
    rows = []
    for pair in found:
        before, after = pair.before, pair.after
        medians = [f"{number(row.later.p50)} {range_(row.median)}" for row in (before, after)]
        times = [f"{number(row.times)} {range_(row.times_interval)}" for row in (before, after)]
        change = f"{after.later.p50 / before.later.p50:.2f}"
        cells = [*medians, change, _yes(pair.medians_overlap), *times, _yes(pair.times_overlap)]
        if before.is_reference:
            cells[4:] = [NONE] * 3
        rows.append([before.backbone, plain(before.name), *cells])
    return table([*head, "overlap"], rows, left=2)


def _yes(overlap: bool | None) -> str:
    return NONE if overlap is None else "yes" if overlap else "**no**"
