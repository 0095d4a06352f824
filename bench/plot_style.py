"""Style of all pictures that matplotlib draws here: inks, fonts, resolution.

Without a background, in inks of middle lightness: readable on a white page and on a dark one.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .markdown import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches; shown 700 pixels wide, a point is 1.4 pixels
DPI = 200  # of the PNG: two pixels of it to one of the page
INK, GRID = "#777d86", "#777d8640"  # text and axes; of equal contrast, 4.2 : 1, with white and with GitHub's dark page
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
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
    "text.parse_math": False,  # a dollar sign in a name is one
    "svg.hashsalt": "mfp",  # the same figures give the same file
}


def missing() -> str | None:
    """What pictures lack here, as a sentence; None if nothing."""
    if find_spec("matplotlib") is None:
        return "no pictures: they need matplotlib, which is not installed; install it with: pip install matplotlib"
    return None


def make_readable(figure: Figure) -> None:
    """Turn all text of a figure into text that fonts can draw: matplotlib refuses a file's name that is no Unicode."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_text(readable(text.get_text()))
