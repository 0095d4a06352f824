"""Plots of latency records as PNG and SVG: medians as bars, stacked stages, and every click.

Plots have no background and colours of middle lightness, so that they are readable on white and on dark pages. The
colours are those of the palette of Okabe and Ito, which colour-blind readers can distinguish, that stand out from both.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.image import write_file
from ..markdown import number
from ..plot_style import DPI, INK, STYLE, WIDTH, make_readable
from .results import STAGES, Figures, by_backbone, fastest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEIGHT = 0.23, 0.7  # inches of a row, share of it that a bar takes
CELL = 50  # width of a column of numbers in points
AUTHORS, ENGINE, HALF = "#8a8f98", "#1f7fc4", "#D55E00"
STAGE_COLOURS = {
    "crop": "#D55E00",
    "encode": "#CC79A7",
    "modulate": "#009E73",
    "network": "#0072B2",
    "paste": "#E69F00",
    "copy": "#56B4E9",
    "rest": "#8a8f98",
}


def draw_all(rows: Sequence[Figures], title: str, stem: Path) -> list[Path]:
    """Write ``STEM_latency``, ``STEM_stages`` and ``STEM_clicks``, each as .png and .svg.

    Args:
        rows: rows of one record.
        title: title above each plot: what was measured, and where.
        stem: path without extension.

    Raises:
        ImageError: a file cannot be written.
    """
    from matplotlib import rc_context

    written = []
    for name, draw in PICTURES.items():
        with rc_context(STYLE):
            figure = draw(rows, title)
            make_readable(figure)
            for ending, options in (("png", {"dpi": DPI}), ("svg", {"dpi": DPI, "metadata": {"Date": None}})):
                data = io.BytesIO()
                figure.savefig(data, format=ending, **options)
                written.append(write_file(stem.with_name(f"{stem.name}_{name}.{ending}"), data.getvalue()))
    return written


def draw_latency(rows: Sequence[Figures], title: str) -> Figure:
    """Draw a bar per run to its median later click, a line to its p99, and the baseline's median through all rows."""
    figure, panels = _figure(rows, 1)
    for (backbone, mine), (axes,) in panels:
        best = fastest(mine)
        _cells(axes, -1, [(name, False) for name in ("p50, ms", "p99, ms", "× as fast")])
        for place, row in enumerate(mine):
            p50, p99 = row.later.p50, row.later.p99
            axes.barh(place, p50, height=HEIGHT, color=_colour(row))
            axes.plot([p50, p99], [place, place], color=INK, linewidth=1.4, solid_capstyle="butt")
            axes.plot(p99, place, "|", color=INK, markersize=9, markeredgewidth=1.4)
            times = 1.0 if row.is_reference else row.times
            _cells(
                axes, place, [(number(p50), row.name in best), (number(p99), False), (number(times), row.name in best)]
            )
            if row.is_reference:
                axes.axvline(p50, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=0.5)
        axes.set_title(backbone)
        axes.set_xlim(0, 1.02 * max(row.later.p99 for row in mine))
    panels[-1][1][0].set_xlabel("milliseconds of a later click")
    _legend(
        figure, f"A later click: {title}", [*_kinds(rows), ("p99", INK, "|"), ("p50 of the authors' way", INK, "--")]
    )
    return figure


def draw_stages(rows: Sequence[Figures], title: str) -> Figure:
    """Draw two bars of stacked stages per run: shares of a later click, and milliseconds outside the network."""
    figure, panels = _figure(rows, 2)
    parts = (*STAGES, "rest")
    outside = [name for name in parts if name != "network"]
    for (backbone, mine), (shares, around) in panels:
        for axes, heading in ((shares, "all, ms"), (around, "sum, ms")):
            _cells(axes, -1, [(heading, False)])
        for place, row in enumerate(mine):
            whole = sum(row.stages.values())
            _stack(shares, place, {name: 100 * row.stages[name] / whole for name in parts})
            _stack(around, place, {name: row.stages[name] for name in outside})
            _cells(shares, place, [(number(whole), False)])
            _cells(around, place, [(number(whole - row.stages["network"]), False)])
        shares.set_title(backbone)
        shares.set_xlim(0, 100)
        around.set_title("without the network")
        around.set_xlim(0, 1.02 * max(sum(row.stages[name] for name in outside) for row in mine) or 1)
    panels[-1][1][0].set_xlabel("share of a later click, %")
    panels[-1][1][1].set_xlabel("milliseconds")
    used = [(name, STAGE_COLOURS[name], "") for name in parts if any(row.stages[name] for row in rows)]
    _legend(figure, f"Stages of a later click, means: {title}", used)
    return figure


def draw_clicks(rows: Sequence[Figures], title: str) -> Figure:
    """Draw a dot per later click, in order from the upper to the lower edge of a row, and a line at the median."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure, panels = _figure(rows, 1)
    for (backbone, mine), (axes,) in panels:
        for place, row in enumerate(mine):
            count = len(row.samples)
            heights = [place + HEIGHT * ((k + 0.5) / count - 0.5) for k in range(count)]
            size = 3.2 if count <= 60 else 2.2
            look = {"color": _colour(row), "alpha": 0.75, "markersize": size, "markeredgewidth": 0, "zorder": -1}
            axes.plot(row.samples, heights, "o", **look)
            axes.plot([row.later.p50] * 2, [place - 0.47, place + 0.47], color=INK, linewidth=2.2)
        axes.set_rasterization_zorder(0)  # in an SVG, thousands of dots are smaller as pixels
        axes.set_title(backbone)
        axes.set_xscale("log")
        low, high = min(min(row.samples) for row in mine) / 1.03, max(max(row.samples) for row in mine) * 1.03
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(_ticks(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panels[-1][1][0].set_xlabel("milliseconds, logarithmic; a row's clicks in their order, the first at its upper edge")
    _legend(figure, f"Every later click: {title}", [*_kinds(rows), ("p50", INK, "|")])
    return figure


PICTURES: dict[str, Callable[[Sequence[Figures], str], Figure]] = {
    "latency": draw_latency,
    "stages": draw_stages,
    "clicks": draw_clicks,
}


def _figure(rows: Sequence[Figures], columns: int) -> tuple[Figure, list[Any]]:
    """Figure with one row of panels per backbone, as high as it has runs, and the runs' names on the left."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    backbones = by_backbone(rows)
    heights = [len(mine) + 1.0 for mine in backbones.values()]
    size = WIDTH, 0.9 + sum(ROW * height + 0.4 for height in heights)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.09))
    FigureCanvasAgg(figure)  # not by pyplot, which keeps figures and may open windows
    grid = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for panels, mine in zip(grid, backbones.values(), strict=True):
        for axes in panels:
            axes.set_ylim(len(mine) - 0.4, -0.6)
            axes.set_yticks(range(len(mine)), [row.name for row in mine] if axes is panels[0] else [])
            axes.locator_params(axis="x", nbins=6 if columns == 1 else 4)
    return figure, list(zip(backbones.items(), grid, strict=True))


def _stack(axes: Axes, place: int, parts: Mapping[str, float]) -> None:
    """Draw a bar of stacked stages."""
    left = 0.0
    for name, length in parts.items():
        axes.barh(place, length, left=left, height=HEIGHT, color=STAGE_COLOURS[name])
        left += length


def _cells(axes: Axes, place: int, cells: Sequence[tuple[str, bool]]) -> None:
    """Write texts in columns to the right of a row; those with True are bold."""
    for column, (text, is_bold) in enumerate(cells):
        axes.annotate(
            text,
            (1, place),
            (CELL * (column + 1), 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            weight="bold" if is_bold else "normal",
        )


def _legend(figure: Figure, title: str, entries: Sequence[tuple[str, str, str]]) -> None:
    """Draw a legend below the title. Entries: name, colour, and marker or line style, or "" for an area."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for name, colour, style in entries:
        line = (
            {"marker": "|", "linestyle": "", "markersize": 9, "markeredgewidth": 1.6}
            if style == "|"
            else {"linestyle": style}
        )
        handles.append(Line2D([], [], color=colour, label=name, **line) if style else Patch(color=colour, label=name))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        title="\n".join(textwrap.wrap(title, 70)),
        title_fontproperties={"weight": "bold", "size": 10.5},
        alignment="left",
        borderpad=0,
        handlelength=1.3,
        handletextpad=0.5,
        columnspacing=1.3,
    )


def _kinds(rows: Sequence[Figures]) -> list[tuple[str, str, str]]:
    used = {_colour(row) for row in rows}
    names = {AUTHORS: "authors' way", ENGINE: "engine, FP32", HALF: "engine, half precision"}
    return [(name, colour, "") for colour, name in names.items() if colour in used]


def _colour(row: Figures) -> str:
    return AUTHORS if row.authors else ENGINE if row.precision == "fp32" else HALF


def _ticks(low: float, high: float) -> list[float]:
    """About six round numbers on a logarithmic axis; on a short axis they are spaced as on a linear one."""
    from matplotlib.ticker import MaxNLocator

    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) >= 4:
            return found
    return [float(tick) for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
