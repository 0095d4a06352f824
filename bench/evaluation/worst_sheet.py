"""Sheet of the objects that needed most clicks: photograph, truth and final mask of each."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engine.image import write_file
from ...engine.mask import Mask
from ...engine.network import Network
from ...engine.roi import Roi, bounding_box, whole
from ...kernels.clicks import Click
from ..datasets import Target
from ..overlap import iou
from ..plot_style import make_readable
from .protocol import clicks_needed
from .run import Conditions, Result, open_session

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """One object of the sheet.

    Attributes:
        target: the object.
        photograph: uint8 H×W×3, RGB.
        truth: int8 H×W: 1, 0, −1.
        mask: mask after ``clicks``, H×W.
        clicks: clicks up to the one that reached the IoU, or else all, in image pixels.
        iou: IoU of the mask and the truth, in [0, 1].
        reached: whether the IoU was reached.
    """

    target: Target
    photograph: U8
    truth: NDArray[np.int8]
    mask: Mask
    clicks: tuple[Click, ...]
    iou: float
    reached: bool


def worst(results: Sequence[Result], count: int, threshold: float, max_clicks: int) -> list[Result]:
    """Objects that needed most clicks to reach an IoU; among equals those with the lowest IoU come first."""

    def badness(result: Result) -> tuple[int, float]:
        needed = clicks_needed(result.ious, threshold, max_clicks)
        return -needed, result.ious[min(needed, len(result.ious)) - 1]

    return sorted(results, key=badness)[:count]


def replay(
    network: Network,
    targets: Sequence[Target],
    results: Sequence[Result],
    conditions: Conditions,
    threshold: float,
    progress: Callable[[], None] | None = None,
) -> list[Case]:
    """Repeat the clicks on objects to compute their masks: evaluations store only clicks, which determine the masks.

    Args:
        network: network of the evaluation.
        targets, results: objects and their results, in the same order.
        conditions: conditions of the evaluation.
        threshold: IoU in [0, 1]; the first click that reaches it is the last one shown.
        progress: function called after each object.
    """
    cases = []
    for target, result in zip(targets, results, strict=True):
        photograph, truth = target.read()
        shown = min(clicks_needed(result.ious, threshold, conditions.max_clicks), len(result.clicks))
        with open_session(network, photograph, conditions) as session:
            for x, y, positive in result.clicks[:shown]:
                mask = session.click(x, y, positive)
            clicks = tuple(session.clicks)
        overlap = iou(mask, truth)
        cases.append(Case(target, photograph, truth, mask, clicks, overlap, result.ious[shown - 1] >= threshold))
        if progress:
            progress()
    return cases


TILE = (360, 440)  # (H, W) in pixels; pictures are fitted into it
GAP, MARGIN = 12, 32
HEAD, CAPTION, LEGEND = 104, 40, 56  # pixels above the sheet, above each object and below the sheet
PER_ROW = 2  # objects side by side
DPI = 100
CONTEXT = 0.15  # margin around object, mask and clicks in the enlarged part, as a share of their box
SMALLEST = 40  # smallest side of the enlarged part in pixels
WORTH_IT = 0.6  # share of the photograph above which all of it is shown

FOUND, MISSED, EXCESS = (0, 114, 178), (213, 94, 0), (240, 228, 66)  # RGB, distinguishable by colour-blind readers
POSITIVE, NEGATIVE = "#009E73", "#CC0000"
INK, FAINT = "#222222", "#777777"


class Tile(NamedTuple):
    """A picture at display size, and the part of the photograph that it shows."""

    picture: U8
    part: Roi
    dots: bool = False
    frame: Roi | None = None


def draw_sheet(cases: Sequence[Case], title: str, subtitle: str = "") -> Figure:
    """Draw each object as photograph, and enlarged as truth and as mask with its clicks.

    Args:
        cases: cases from :func:`replay`, in the order of the sheet.
        title, subtitle: text above the sheet.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(PER_ROW, len(cases))
    tiles = [_tiles(case) for case in cases]
    rows = range(0, len(cases), columns)
    heights = [max(tile.picture.shape[0] for row in tiles[i : i + columns] for tile in row) for i in rows]
    tops = [HEAD + sum(heights[:row]) + row * (CAPTION + MARGIN) for row in range(len(heights) + 1)]
    step = 3 * (TILE[1] + GAP) - GAP + MARGIN
    width, height = MARGIN + columns * step, tops[-1] + LEGEND
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def text(x: float, y: float, words: str, **style: Any) -> None:  # x, y: pixels from the top left corner
        figure.text(x / width, 1 - y / height, words, va="baseline", parse_math=False, **{"color": INK, **style})

    text(MARGIN, 48, title, fontsize=22)
    text(MARGIN, 78, subtitle, fontsize=13, color=FAINT)
    for number, case in enumerate(cases):
        x, y = MARGIN + number % columns * step, tops[number // columns]
        text(x, y + 26, f"{number + 1}.  {_caption(case)}", fontsize=15)
        for tile in tiles[number]:
            h, w = tile.picture.shape[:2]
            axes = figure.add_axes((x / width, 1 - (y + CAPTION + h) / height, w / width, h / height))
            # The axes' unit is the photograph's pixel; pixel centres have integer coordinates.
            part = tile.part
            extent = (part.col_min - 0.5, part.col_max + 0.5, part.row_max + 0.5, part.row_min - 0.5)
            axes.imshow(tile.picture, interpolation="none", extent=extent, aspect="auto")
            axes.set(xlim=extent[:2], ylim=extent[2:], autoscale_on=False)
            axes.axis("off")
            if tile.frame:
                _draw_frame(axes, tile.frame)
            if tile.dots:
                _draw_clicks(axes, case.clicks)
            x += w + GAP
    _draw_legend(figure, height)
    return figure


def _caption(case: Case) -> str:
    count = f"{len(case.clicks)} click" + ("s" if len(case.clicks) > 1 else "")
    return f"{case.target.name}    {count}{'' if case.reached else ', not reached'}    IoU {case.iou:.3f}"


def _tiles(case: Case) -> tuple[Tile, Tile, Tile]:
    everything = whole(*case.truth.shape)
    part = _interesting(case)
    photograph, truth, mask = (
        _fitted(array[part.slices], smooth)
        for array, smooth in ((case.photograph, True), (case.truth, False), (case.mask.array.view(np.int8), False))
    )
    return (
        Tile(_fitted(case.photograph, True), everything, frame=None if part == everything else part),
        Tile(_truth(photograph, truth), part),
        Tile(_outcome(photograph, truth, mask == 1), part, dots=True),
    )


def _interesting(case: Case) -> Roi:
    """Part of the photograph that contains the object, the mask and the clicks."""
    involved = (case.truth != 0) | case.mask.array
    for click in case.clicks:
        involved[int(click.y), int(click.x)] = True
    box = bounding_box(involved)
    assert box is not None  # an object has a pixel
    sides = []
    for low, high, end in zip(box[::2], box[1::2], case.truth.shape, strict=True):
        room = max(CONTEXT * (high - low + 1), (SMALLEST - (high - low + 1)) / 2)
        sides += [max(round(low - room), 0), min(round(high + room), end - 1)]
    part = Roi(*sides)
    everything = whole(*case.truth.shape)
    return part if part.height * part.width < WORTH_IT * everything.height * everything.width else everything


def _fitted(array: NDArray[Any], smooth: bool) -> NDArray[Any]:
    """Resize an array to fit into a tile. Maps keep their values."""
    scale = min(TILE[0] / array.shape[0], TILE[1] / array.shape[1])
    size = max(round(array.shape[1] * scale), 1), max(round(array.shape[0] * scale), 1)
    interpolation = (cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC) if smooth else cv2.INTER_NEAREST_EXACT
    # OpenCV does not resize int8
    resized = cv2.resize(np.ascontiguousarray(array).view(np.uint8), size, interpolation=interpolation)
    return np.asarray(resized).view(array.dtype)


def _truth(photograph: U8, truth: NDArray[np.int8]) -> U8:
    """Picture of the truth: object unchanged, background pale, ignored pixels striped."""
    pale = np.broadcast_to(photograph.mean(axis=2, keepdims=True) * 0.3 + 170, photograph.shape)
    ys, xs = np.indices(truth.shape)
    stripes = np.where((ys + xs) // 4 % 2 == 0, 40, 220)[:, :, None]
    object_, ignored = ((truth == value)[:, :, None] for value in (1, -1))
    return np.where(object_, photograph, np.where(ignored, stripes, pale)).astype(np.uint8)


def _outcome(photograph: U8, truth: NDArray[np.int8], mask: NDArray[np.bool_]) -> U8:
    """Picture of the mask: correct, missed and excess pixels tinted."""
    picture = photograph.astype(np.float64)
    for region, colour in (
        (mask & (truth == 1), FOUND),
        (~mask & (truth == 1), MISSED),
        (mask & (truth == 0), EXCESS),
    ):
        picture[region] = 0.4 * picture[region] + 0.6 * np.array(colour)
    return picture.astype(np.uint8)


def _draw_frame(axes: Axes, part: Roi) -> None:
    """Draw a frame around the part that the other two tiles show."""
    from matplotlib.patches import Rectangle

    corner = part.col_min - 0.5, part.row_min - 0.5
    for colour, line in (("black", 3.0), ("white", 1.2)):
        axes.add_patch(Rectangle(corner, part.width, part.height, fill=False, edgecolor=colour, linewidth=line))


def _draw_clicks(axes: Axes, clicks: Sequence[Click]) -> None:
    """Draw numbered clicks: positive ones as green disks, negative ones as red squares, the newest on top."""
    for number, click in enumerate(clicks, 1):
        colour, marker = (POSITIVE, "o") if click.positive else (NEGATIVE, "s")
        axes.plot(
            click.x, click.y, marker, markersize=11, color=colour, markeredgecolor="white", clip_on=False,
            zorder=2 + number,
        )  # fmt: skip
        axes.text(
            click.x, click.y, str(number), color="white", fontsize=7, ha="center", va="center_baseline", weight="bold",
            zorder=2.5 + number,
        )  # fmt: skip


def _draw_legend(figure: Figure, height: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    colours = ((FOUND, "found"), (MISSED, "missed"), (EXCESS, "too much"))
    clicks = ((POSITIVE, "o", "click on the object"), (NEGATIVE, "s", "click beside it"))
    handles = [
        *(Patch(color="#{:02x}{:02x}{:02x}".format(*colour), label=label) for colour, label in colours),
        Patch(facecolor="#dcdcdc", edgecolor="#282828", hatch="/////", linewidth=0, label="ignored"),
        *(
            Line2D([], [], linestyle="none", marker=marker, color=colour, markersize=12, label=label)
            for colour, marker, label in clicks
        ),
    ]
    place = (MARGIN / (figure.get_figwidth() * DPI), 14 / height)
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=place,
        ncols=len(handles),
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        fontsize=14,
    )


def save_sheet(figure: Figure, path: Path) -> Path:
    """Write the sheet as PNG."""
    data = io.BytesIO()
    make_readable(figure)
    figure.savefig(data, format="png", dpi=DPI)
    return write_file(path, data.getvalue())
