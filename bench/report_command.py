"""Write the tables and pictures of a latency record, or compare two.

mfp bench report FILE.json                       FILE.md, and pictures: FILE_latency, FILE_stages, FILE_clicks
mfp bench report BEFORE.json AFTER.json          the same of both, and BEFORE_and_AFTER.md: do intervals overlap?
mfp bench report FILE.json --readme README.md    also its table in the README, between <!-- bench:cpu --> (or
                                                 bench:gpu) and <!-- /bench -->
mfp bench report --readme README.md              all tables there, each from the record that its mark names
mfp bench report --readme README.md --check      write nothing: does it say what its records say? Exit code 1 if not
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import ImageError, OptionError

if TYPE_CHECKING:
    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", nargs="*", type=Path, metavar="FILE.json", help="one or two that mfp bench wrote")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: beside each record")
    parser.add_argument("--readme", type=Path, metavar="FILE.md", help="a page whose tables to write")
    parser.add_argument("--check", action="store_true", help="with --readme alone: write nothing, compare")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from . import readme
    from .record import read

    _demand_sense(args)
    console = Console()
    if args.check:
        return _check(args.readme, console)
    records = {path: read(path) for path in args.records}
    written = []
    for path, record in records.items():
        written += _report(path, record, args.output or path.parent, console)
    if len(records) == 2:
        written.append(_compare(records, args.output, console))
    if args.readme:
        chosen = {readme.kind_of(record): path for path, record in records.items()} or None
        if chosen is None and not readme.named_records(args.readme):
            raise OptionError(
                f"{args.readme} names no record yet; name one: mfp bench report FILE.json --readme {args.readme}"
            )
        written.append(_write(args.readme, readme.rewritten(args.readme, chosen)))
    _say(console, f"wrote {', '.join(map(str, written))}")
    return 0


def _demand_sense(args: argparse.Namespace) -> None:
    if len({path.resolve() for path in args.records}) != len(args.records) or len(args.records) > 2:
        raise OptionError(f"expected one record, or two to compare, got {', '.join(map(str, args.records))}")
    if not args.records and not args.readme:
        raise OptionError("expected a record to report on: mfp bench report FILE.json; mfp bench writes one")
    if args.readme and len(args.records) > 1:
        raise OptionError(f"expected one record for {args.readme}, got two: compare them without --readme")
    if args.check and (args.records or not args.readme):
        raise OptionError("expected --check with --readme FILE.md and nothing else: it reads the records named there")


def _check(path: Path, console: Console) -> int:
    from .readme import named_records, stale

    if stale(path):
        _say(console, f"{path} does not say what its records say; write it anew with: mfp bench report --readme {path}")
        return 1
    _say(console, f"{path} says what its records say: {', '.join(named_records(path)) or 'it names none'}")
    return 0


def _report(path: Path, record: dict[str, Any], folder: Path, console: Console) -> list[Path]:
    """Page and pictures of one record."""
    from . import plots
    from .figures import of_finished
    from .report import page, remarks, where

    rows = of_finished(record, str(path))
    pictures = []
    lack = plots.missing()
    if lack:
        _say(console, lack)
    else:
        with console.status("drawing …"):
            pictures = plots.draw_all(rows, where(record), _made(folder) / path.stem)
    shown = [picture.name for picture in pictures if picture.suffix == ".png"]
    for sentence in remarks(rows):
        _say(console, f"{path.stem}: {sentence}")
    return [_write(_made(folder) / f"{path.stem}.md", page(record, rows, path.name, shown)), *pictures]


def _compare(records: dict[Path, dict[str, Any]], output: Path | None, console: Console) -> Path:
    from .figures import figures
    from .report_compare import comparison, pairs, verdict

    (first, before), (second, after) = records.items()
    found = pairs(figures(before), figures(after))
    for sentence in verdict(found):
        _say(console, sentence)
    for pair in found:
        judged = (("median", pair.medians_overlap), ("times as fast", pair.times_overlap is not False))
        apart = [what for what, overlap in judged if not overlap]
        if apart:
            _say(console, f"intervals apart: {pair.before.backbone}, {pair.before.name}: {' and '.join(apart)}")
    page = comparison([before, after], [first.name, second.name])
    return _write(_made(output or second.parent) / f"{first.stem}_and_{second.stem}.md", page)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"cannot write to {folder}: {error.strerror}; expected a folder or a new name") from None
    return folder


def _write(path: Path, text: str) -> Path:
    from ..engine.image import write_file

    return write_file(path, text.encode())


def _say(console: Console, text: str) -> None:
    from rich.markup import escape

    console.print(escape(text), soft_wrap=True)
