"""Building blocks of Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPECIAL = re.compile(r"([\\`*\[\]<>|&~]|(?<![^\W_])_|_(?![^\W_]))")  # an underscore inside a word is not
NONE = "–"  # text of a cell: not measured, or does not apply


def plain(text: str) -> str:
    """Escape text from outside, on one line, so that nothing in it is read as Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def readable(text: str) -> str:
    """Text with the bytes of a file's name that are not Unicode as escapes, as pages and pictures need it."""
    return text.encode(errors="backslashreplace").decode()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of a table. The first ``left`` columns are left-aligned, the others right-aligned.

    Cells are Markdown with bars already escaped.
    """

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = ["---" if number < left else "---:" for number in range(len(head))]
    return [line(head), line(rule), *map(line, rows)]


def number(value: float | None) -> str:
    """Format a number with three significant digits."""
    if value is None:
        return NONE
    for limit, digits in ((9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"
