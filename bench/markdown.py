"""Pieces of Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPECIAL = re.compile(r"([\\`*\[\]<>|&~]|(?<![^\W_])_|_(?![^\W_]))")  # an underscore inside a word is not
NONE = "–"  # in a cell: not measured, or does not apply


def plain(text: str) -> str:
    """Foreign text on one line, of which nothing is taken for Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def readable(text: str) -> str:
    """Text with the bytes of a file's name that are no Unicode as escapes: pages and pictures can hold no others."""
    return text.encode(errors="backslashreplace").decode()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Its lines; so many columns stand left, the others right. Cells are Markdown; a bar in them is escaped already."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = ["---" if number < left else "---:" for number in range(len(head))]
    return [line(head), line(rule), *map(line, rows)]


def number(value: float | None) -> str:
    """The three digits that count."""
    if value is None:
        return NONE
    for limit, digits in ((9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"
