"""Plots of evaluations as PNG and SVG in the style of plot_style.py: mean IoU against clicks, and sweeps."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from ...engine.errors import RuntimeMissingError
from ...engine.image import write_file
from .. import plot_style
from ..plot_style import DPI, INK, WIDTH
from .record import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Palette of Okabe and Ito, distinguishable by colour-blind readers; with a lighter blue and without yellow.
COLOURS = ("#1f7fc4", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", INK)
DASHES = ("-", "--", ":")  # line styles of the first, second and third round through the colours
STYLE: dict[Any, Any] = {**plot_style.STYLE, "axes.grid.axis": "y", "axes.spines.left": True, "ytick.major.size": 3.5}
TITLE: dict[str, Any] = {"x": 0.01, "ha": "left", "fontsize": 10.5, "weight": "bold"}
SHADE = INK + "20"
LINE = 0.19  # height of a legend's line in inches
LONG_NAME = 32  # length in characters from which a name leaves no room for a second column


def require_matplotlib() -> None:
    """Check before long work that its plots can be drawn.

    Raises:
        RuntimeMissingError: matplotlib is not installed; the message tells how to install it.
    """
    lack = plot_style.missing()
    if lack:
        raise RuntimeMissingError(lack)


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate a function so that it draws in :data:`STYLE`."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


@_styled
def draw_curves(evaluations: Sequence[tuple[str, Evaluation]], title: str) -> Figure:
    """Draw mean IoU against clicks, one line per run, with the area under it in the legend (the paper's Figure S-2).

    Args:
        evaluations: runs with their names; they should share one data set.
        title: title above the plot.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(WIDTH, 3.8)
    axes = figure.add_subplot()
    lowest = 100.0
    longest = max(evaluation.max_clicks for _, evaluation in evaluations)
    for number, (name, evaluation) in enumerate(evaluations):
        percent = 100 * evaluation.curve
        lowest = min(lowest, float(percent.min()))
        axes.plot(
            range(1, len(percent) + 1),
            percent,
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
            linewidth=2,
            marker="o",
            markersize=3.5,
            label=f"{name}  [{100 * evaluation.auc:.2f}]",
        )
    axes.set_xlim(0.6, longest + 0.4)
    axes.set_ylim(_floor(lowest), 100.5 if lowest > 50 else 101)
    axes.xaxis.set_major_locator(MaxNLocator(20, integer=True, min_n_ticks=1))
    axes.set_xlabel("clicks")
    axes.set_ylabel("mean IoU, %")
    figure.suptitle("\n".join(textwrap.wrap(title, 78)), **TITLE)
    # The legend is below the plot: inside, the grid's lines would cross its text.
    columns = 2 if len(evaluations) > 1 and max(len(name) for name, _ in evaluations) < LONG_NAME else 1
    lines = math.ceil(len(evaluations) / columns) + 1
    figure.set_figheight(figure.get_figheight() + LINE * lines)
    legend = figure.legend(loc="outside lower left", ncols=columns, title="run  [area under its curve, %]")
    legend.set(alignment="left")
    legend.get_title().set_fontsize(8)
    return figure


@_styled
def draw_sweep(panels: Sequence[tuple[str, Sequence[tuple[str, Evaluation]], str | None]], title: str) -> Figure:
    """Draw NoC against parameters, one panel each: the paper's Tables S-3 to S-5 and Figure S-5.

    Args:
        panels: name of a parameter, its values with the run of each, and the value that the network was trained with,
            which is marked.
        title: title above the plot.
    """
    from matplotlib.patches import Patch

    figure = _figure(3.1 * len(panels) + 0.6, 3.9)
    every = [mean for _, runs, _ in panels for _, e in runs for mean in (e.noc(q).mean for q in e.thresholds)]
    room = 0.12 * (max(every) - min(every)) or 0.5
    first: Axes | None = None
    for place, (parameter, runs, trained) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1, sharey=first)
        first = first or axes
        names = [name for name, _ in runs]
        line = "-" if all(name.replace(".", "").isdigit() for name in names) else ""  # lines only between numbers
        for number, threshold in enumerate(runs[0][1].thresholds):
            means = [evaluation.noc(threshold).mean for _, evaluation in runs]
            colour = COLOURS[number]
            label = f"NoC@{100 * threshold:.0f}"
            axes.plot(range(len(runs)), means, marker="o", linestyle=line, color=colour, linewidth=2, label=label)
            for x, mean in enumerate(means):
                axes.annotate(
                    f"{mean:.2f}", (x, mean), (0, 6), textcoords="offset points", ha="center", fontsize=8, color=colour
                )
        if trained in names:
            place_of = names.index(trained)
            axes.axvspan(place_of - 0.3, place_of + 0.3, color=SHADE, linewidth=0, zorder=0)
        axes.set_xticks(range(len(runs)), names)
        axes.set_xlim(-0.5, len(runs) - 0.5)
        axes.set_ylim(max(min(every) - room, 0), max(every) + 1.5 * room)
        axes.set_xlabel(parameter)
        if place:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("mean number of clicks")
    assert first is not None
    figure.suptitle("\n".join(textwrap.wrap(title, 36 * len(panels))), **TITLE)
    handles = [*first.get_legend_handles_labels()[0], Patch(color=SHADE, linewidth=0, label="as trained")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2 if len(panels) == 1 else 4)
    return figure


def save(figure: Figure, path: Path) -> list[str]:
    """Write ``path``.png and ``path``.svg; return their names."""
    from matplotlib import rc_context

    plot_style.make_readable(figure)
    written = []
    formats: dict[str, dict[str, Any]] = {"png": {"dpi": DPI}, "svg": {"metadata": {"Date": None}}}
    for ending, options in formats.items():
        data = io.BytesIO()
        with rc_context(STYLE):
            figure.savefig(data, format=ending, **options)
        written.append(str(write_file(path.parent / f"{path.name}.{ending}", data.getvalue())))
    return written


def _figure(width: float, height: float) -> Figure:
    """Figure of a size in inches. It does not come from pyplot, which keeps figures and may open windows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _floor(lowest: float) -> float:
    """Lower end of a percent axis: a multiple of 5 below the lowest point, with some margin."""
    return max(5 * math.floor((lowest - 1) / 5), 0)
