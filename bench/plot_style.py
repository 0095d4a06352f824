"""Style of all matplotlib plots of the package: colours, fonts, resolution.

Plots have no background and colours of middle lightness, so that they are readable on white and on dark pages.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .markdown import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches; at a display width of 700 pixels a point is 1.4 pixels
DPI = 200  # resolution of the PNG: two of its pixels per pixel of the page
INK, GRID = "#777d86", "#777d8640"  # text and axes; equal contrast, 4.2 : 1, with white and with GitHub's dark page
STYLE: Any = {
    "font.family": "DejaVu Sans",  # included in matplotlib: the same picture everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar sign in a name is literal
    "svg.hashsalt": "mfp",  # the same data give the same file
}


def missing() -> str | None:
    """Sentence about the package that plots need and is not installed; None if all are."""
    if find_spec("matplotlib") is None:
        return "no pictures: they need matplotlib, which is not installed; install it with: pip install matplotlib"
    return None


def make_readable(figure: Figure) -> None:
    """Make all text of a figure drawable: matplotlib rejects file names that are not Unicode."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_text(readable(text.get_text()))
