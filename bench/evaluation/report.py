"""Tables of evaluation results, for the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..markdown import NONE, plain, table
from .protocol import THRESHOLDS
from .published import Published, departures, published
from .record import Evaluation

SHOWN_CLICKS = (1, 2, 3, 5, 10, 20)  # points of the curve shown on the terminal
KEY = (
    "NoC@q: mean number of clicks to IoU q %. NoF@q: objects that needed all clicks or failed. AUC: area under the "
    "curve of mean IoU against clicks, by trapezoids, in percent of the area under IoU 1. Published rows are the "
    "paper's."
)

Row = list[str]


def figures_head() -> Row:
    """Column heads of :func:`figures_row`."""
    counts = (f"{what}@{threshold * 100:.0f}" for what in ("NoC", "NoF") for threshold in THRESHOLDS)
    return [*counts, "AUC %", "s/click"]


def figures_row(evaluation: Evaluation) -> Row:
    """NoC and NoF at each IoU, area under the curve in percent, seconds per click."""
    found = {threshold: evaluation.noc(threshold) for threshold in evaluation.thresholds}
    means = [f"{found[q].mean:.2f}" if q in found else NONE for q in THRESHOLDS]
    failures = [f"{found[q].at_max}" if q in found else NONE for q in THRESHOLDS]
    return [*means, *failures, f"{100 * evaluation.auc:.3f}", f"{evaluation.seconds_per_click:.3f}"]


def figures_rows(evaluations: Sequence[tuple[str, Evaluation]], beside: Sequence[Published] = ()) -> list[Row]:
    """Rows of runs with their names, followed by rows of published results."""
    rows = [[name, *figures_row(evaluation)] for name, evaluation in evaluations]
    blank = [NONE] * (len(figures_head()) - len(THRESHOLDS))
    return rows + [[f"{row}", *(f"{mean:.2f}" for mean in row.noc), *blank] for row in beside]


def published_beside(evaluations: Sequence[tuple[str, Evaluation]]) -> list[Published]:
    """Published results for the data sets and backbones of runs."""
    runs = [evaluation for _, evaluation in evaluations]
    rows = (row for run in runs for row in published(run.dataset, run.settings["network"]["backbone"]))
    return list(dict.fromkeys(rows))


def curve_rows(evaluations: Sequence[tuple[str, Evaluation]], clicks: Sequence[int]) -> list[Row]:
    """Mean IoU in percent after the given numbers of clicks, one row per run."""
    return [
        [name, *(f"{100 * e.curve[n - 1]:.2f}" if n <= len(e.curve) else NONE for n in clicks)]
        for name, e in evaluations
    ]


def described(evaluation: Evaluation) -> str:
    """One line: data set, objects, network."""
    network = evaluation.settings["network"]
    count = f"{_counted(len(evaluation.results), 'object')} on {_counted(evaluation.images, 'photograph')}"
    return f"{evaluation.dataset}: {count}; {named(evaluation)} ({network['weights'][:19]}) on {network['device']}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def named(evaluation: Evaluation) -> str:
    """Name of a run in plots and tables: backbone, precision and runtime."""
    network = evaluation.settings["network"]
    return f"{network['backbone']} {network['precision']}, {network['runtime']}"


def remarks(evaluation: Evaluation) -> list[str]:
    """Remarks that belong next to the results, one sentence each."""
    found = list(evaluation.notes)
    if evaluation.settings["network"]["weights"].startswith("untrained"):
        found.append("UNTRAINED WEIGHTS: the figures show that the way is right, and nothing else")
    if evaluation.stop_iou is not None:
        found.append(f"objects were done at IoU {evaluation.stop_iou:g}, and count with it in the curve from then on")
    if evaluation.workers > 1:
        found.append(f"{evaluation.workers} workers at the same time: the seconds a click are not those of one alone")
    apart = departures(evaluation)
    if apart:
        found.append("not the published protocol: " + "; ".join(apart))
    return found


def terminal_tables(evaluations: Sequence[tuple[str, Evaluation]], beside: Sequence[Published] = ()) -> list[Any]:
    """Tables for rich: results with published ones, and the curve at :data:`SHOWN_CLICKS`."""
    from rich.table import Table

    counts = len(THRESHOLDS)
    figures = Table("", min_width=72)
    for name in (
        *figures_head()[:counts],
        f"NoF@\n{'/'.join(f'{100 * q:.0f}' for q in THRESHOLDS)}",
        "AUC %",
        "s/click",
    ):
        figures.add_column(name, justify="right")
    for name, *cells in figures_rows(
        evaluations, beside
    ):  # the failures share one column, so that the table fits into 80 characters
        failures = cells[counts : 2 * counts]
        joined = NONE if set(failures) == {NONE} else "/".join(failures)
        row = [*cells[:counts], joined, *cells[2 * counts :]]
        figures.add_row(name, *row, style="dim" if name.startswith("published") else None)

    clicks = [n for n in SHOWN_CLICKS if n <= max(e.max_clicks for _, e in evaluations)]
    curves = Table("mean IoU in % after", min_width=72)
    for n in clicks:
        curves.add_column(f"{n} click{'s' if n > 1 else ''}".replace(" ", "\n"), justify="right")
    for name, *cells in curve_rows(evaluations, clicks):
        curves.add_row(name, *cells)
    return [figures, curves]


def markdown(evaluations: Sequence[tuple[str, Evaluation]], pictures: Sequence[str] = ()) -> str:
    """Markdown page with results, curves, settings and remarks.

    Args:
        evaluations: runs with their names.
        pictures: paths of pictures to show, relative to the page.
    """
    first = evaluations[0][1]
    several = len(evaluations) > 1
    lines = [f"# {plain(first.dataset if several else described(first))}", ""]
    lines += figures_table(evaluations, published_beside(evaluations))
    lines += ["", KEY, ""]
    for name, evaluation in evaluations:
        lines += [f"- {plain(f'{name}: {remark}' if several else remark)}" for remark in remarks(evaluation)]
    clicks = range(1, max(evaluation.max_clicks for _, evaluation in evaluations) + 1)
    lines += ["", "Mean IoU in % after so many clicks:", ""]
    lines += table(["", *map(str, clicks)], [[plain(name), *cells] for name, *cells in curve_rows(evaluations, clicks)])
    lines += ["", *(f"![{picture}]({picture})" for picture in pictures)]
    for name, evaluation in evaluations:
        lines += ["", settings_line(name, evaluation)]
    return "\n".join(lines) + "\n"


def figures_table(evaluations: Sequence[tuple[str, Evaluation]], beside: Sequence[Published] = ()) -> list[str]:
    """Table of :func:`figures_rows` in Markdown."""
    return table(["", *figures_head()], [[plain(name), *cells] for name, *cells in figures_rows(evaluations, beside)])


def settings_line(name: str, evaluation: Evaluation) -> str:
    """Line in small print: network, conditions, machine."""
    conditions, machine, network = evaluation.settings["conditions"], evaluation.machine, evaluation.settings["network"]
    size = conditions["size"]
    parts = (
        f"{name}: {network['file']} ({network['weights']}), {network['runtime']} {network['precision']} on "
        f"{network['device']}",
        f"{size[0]}×{size[1]}" if isinstance(size, list) else f"longer side {size}",
        f"mirrored pass {'on' if conditions['flip'] else 'off'}, threshold {conditions['threshold']:g}",
        f"N = {conditions['n_early']}, R_max = {conditions['r_max']:g}, {conditions['distance']} distance",
        f"{conditions['max_clicks']} clicks at most",
        f"{machine.get('processor')}, commit {machine.get('commit')}, {machine.get('date')}",
    )
    return f"<sub>{plain('; '.join(parts))}.</sub>"
