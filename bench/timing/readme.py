"""Latency tables in a README, generated between two markers::

    <!-- bench:cpu bench/results/NAME.json -->
    … text written by mfp bench report …
    <!-- /bench -->

``cpu`` or ``gpu`` is the kind of device that the record was measured on. The record's path is relative to the README;
it is filled in, so the markers of a new block need no path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...engine.errors import OptionError
from ..markdown import number, plain, table
from .record import read
from .report import KEY, bold, bullets, iou_cells, remarks, source_line, times_cell
from .results import Figures, by_backbone, fastest, of_finished

BLOCK = re.compile(r"<!-- bench:(?P<kind>\w+)(?: (?P<record>[^\n]+?))? -->\n(?P<text>.*?)<!-- /bench -->", re.DOTALL)
PICTURE = "latency"  # the plot of a record that a README shows


def kind_of(record: dict[str, Any]) -> str:
    """Kind of block that a record fills in a README: ``"cpu"`` or ``"gpu"``."""
    return "cpu" if record["settings"]["device"] == "cpu" else "gpu"


def rewritten(readme: Path, records: Mapping[str, Path] | None = None) -> str:
    """Text of the README with its blocks generated again.

    Args:
        records: records by kind; only their blocks are filled. None: each block is filled from the record it names.

    Raises:
        OptionError: the README or a record cannot be read, a record is not finished, or has no block.
    """
    text = _read(readme)
    found = {block["kind"]: block["record"] for block in BLOCK.finditer(text)}
    missing = [kind for kind in records or {} if kind not in found]
    if missing:
        raise OptionError(
            f"{readme} has no block for figures of a {missing[0]}; put these two lines where they shall be: "
            f"<!-- bench:{missing[0]} --> and <!-- /bench -->"
        )
    named = {kind: readme.parent / path for kind, path in found.items() if path}
    chosen = named if records is None else records

    def block(match: re.Match[str]) -> str:
        path = chosen.get(match["kind"])
        return match[0] if path is None else _block(match["kind"], path, readme)

    return BLOCK.sub(block, text)


def named_records(readme: Path) -> list[str]:
    """Paths of the records that the README's blocks name, relative to the README."""
    return [block["record"] for block in BLOCK.finditer(_read(readme)) if block["record"]]


def stale(readme: Path) -> bool:
    """Whether a block differs from the record that it names.

    Raises:
        OptionError: as for :func:`rewritten`.
    """
    return rewritten(readme) != _read(readme)


def _block(kind: str, path: Path, readme: Path) -> str:
    name = _relative(path, readme)
    record = read(path)
    if kind_of(record) != kind:
        raise OptionError(f"{readme}: its block bench:{kind} names {name}, which was measured on a {kind_of(record)}")
    rows = of_finished(record, str(path))
    lines = [f"<!-- bench:{kind} {name} -->", "", *_table(rows), "", source_line(record, name), ""]
    picture = path.with_name(f"{path.stem}_{PICTURE}.png")
    if picture.is_file():
        lines += [f"![milliseconds of a later click, by backbone and runtime]({quote(_relative(picture, readme))})", ""]
    lines += [KEY, "", *bullets([*remarks(rows), *_left_out(record)])]
    every = path.with_suffix(".md")
    if every.is_file():
        more = "means, stages, floors, cold start, memory, several sessions, reasons"
        lines += ["", f"[All figures]({quote(_relative(every, readme))}): {more}."]
    return "\n".join([*lines, "", "<!-- /bench -->"])


def _table(rows: Sequence[Figures]) -> list[str]:
    head = ["backbone", "run", "first click", "later click, p50", "p95", "p99", "times as fast", "mask IoU"]
    lines = []
    for backbone, mine in by_backbone(rows).items():
        best = fastest(mine)
        for place, row in enumerate(mine):
            median = bold(number(row.later.p50), row.name in best)
            cells = [number(row.first.p50), median, number(row.later.p95), number(row.later.p99), times_cell(row)]
            lines.append([f"**{backbone}**" if not place else "", plain(row.name), *cells, ", ".join(iou_cells(row))])
    return table(head, lines, left=2)


def _left_out(record: dict[str, Any]) -> list[str]:
    return [f"Left out: {plain('; '.join(record['left_out']))}."] if record["left_out"] else []


def _relative(path: Path, readme: Path) -> str:
    """Path as a link in the README."""
    page = readme.resolve().parent
    root = page.parent if page.name == "docs" else page  # pages in docs/ link into the repository around them
    if not path.resolve().is_relative_to(root):
        raise OptionError(
            f"{path} does not lie below {root}, so that {readme.name} cannot link to it; copy the "
            "record to bench/results/ first"
        )
    return Path(os.path.relpath(path.resolve(), page)).as_posix()


def _read(readme: Path) -> str:
    try:
        return readme.read_text("utf-8")
    except OSError as error:
        raise OptionError(f"cannot read {readme}: {error.strerror}; expected a Markdown file") from None
    except UnicodeDecodeError as error:
        raise OptionError(f"{readme} is no UTF-8 text ({error}); expected a Markdown file") from None
