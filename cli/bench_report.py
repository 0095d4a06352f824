"""Write the tables and pictures of a latency record, or compare two records.

mfp bench report FILE.json                       FILE.md, and pictures: FILE_latency, FILE_stages, FILE_clicks
mfp bench report BEFORE.json AFTER.json          the same of both, and BEFORE_and_AFTER.md: do intervals overlap?
mfp bench report FILE.json --readme README.md    also its table in the README, between <!-- bench:cpu --> (or
                                                 bench:gpu) and <!-- /bench -->
mfp bench report --readme README.md              all tables in the README, each from the record that its mark names
mfp bench report --readme README.md --check      write nothing; exit code 1 if its tables differ from their records
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import OptionError
from ..engine.terminal.arguments import made_folder

if TYPE_CHECKING:
    from ..engine.terminal.console import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", nargs="*", type=Path, metavar="FILE.json", help="one or two that mfp bench wrote")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: beside each record")
    parser.add_argument("--readme", type=Path, metavar="FILE.md", help="a page whose tables to write")
    parser.add_argument("--check", action="store_true", help="with --readme alone: write nothing, compare")


def run(args: argparse.Namespace) -> int:
    from ..bench.timing import readme
    from ..bench.timing.record import read
    from ..engine.terminal.console import Output

    _demand_sense(args)
    output = Output()
    if args.check:
        return _check(args.readme, output)
    records = {path: read(path) for path in args.records}
    written = []
    for path, record in records.items():
        written += _report(path, record, args.output or path.parent, output)
    if len(records) == 2:
        written.append(_compare(records, args.output, output))
    if args.readme:
        chosen = {readme.kind_of(record): path for path, record in records.items()} or None
        if chosen is None and not readme.named_records(args.readme):
            raise OptionError(
                f"{args.readme} names no record yet; name one: mfp bench report FILE.json --readme {args.readme}"
            )
        written.append(_write(args.readme, readme.rewritten(args.readme, chosen)))
    output.say(f"wrote {', '.join(map(str, written))}")
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


def _check(path: Path, output: Output) -> int:
    from ..bench.timing.readme import named_records, stale

    if stale(path):
        output.say(f"{path} does not say what its records say; write it anew with: mfp bench report --readme {path}")
        return 1
    output.say(f"{path} says what its records say: {', '.join(named_records(path)) or 'it names none'}")
    return 0


def _report(path: Path, record: dict[str, Any], folder: Path, output: Output) -> list[Path]:
    """Write the page and pictures of one record; returns their paths."""
    from ..bench.plot_style import missing
    from ..bench.timing import plots
    from ..bench.timing.report import page, remarks, where
    from ..bench.timing.results import of_finished

    rows = of_finished(record, str(path))
    pictures = []
    lack = missing()
    if lack:
        output.say(lack)
    else:
        with output.status("drawing …"):
            pictures = plots.draw_all(rows, where(record), made_folder(folder) / path.stem)
    shown = [picture.name for picture in pictures if picture.suffix == ".png"]
    written = [_write(made_folder(folder) / f"{path.stem}.md", page(record, rows, path.name, shown)), *pictures]
    for sentence in remarks(rows):
        output.say(f"{path.stem}: {sentence}")
    return written


def _compare(records: dict[Path, dict[str, Any]], folder: Path | None, output: Output) -> Path:
    from ..bench.timing.report_compare import comparison, pairs, verdict
    from ..bench.timing.results import figures

    (first, before), (second, after) = records.items()
    found = pairs(figures(before), figures(after))
    page = comparison([before, after], [first.name, second.name])
    written = _write(made_folder(folder or second.parent) / f"{first.stem}_and_{second.stem}.md", page)
    for sentence in verdict(found):
        output.say(sentence)
    for pair in found:
        judged = (("median", pair.medians_overlap), ("times as fast", pair.times_overlap is not False))
        apart = [what for what, overlap in judged if not overlap]
        if apart:
            output.say(f"intervals apart: {pair.before.backbone}, {pair.before.name}: {' and '.join(apart)}")
    return written


def _write(path: Path, text: str) -> Path:
    from ..bench.markdown import readable
    from ..engine.image import write_file

    return write_file(path, readable(text).encode())
