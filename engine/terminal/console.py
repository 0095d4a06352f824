"""Console output of commands, for a terminal and for a pipe or file.

:class:`Output` is the only rich console of this package. On a terminal, the terminal wraps long lines, so that text
copied from it is complete, and tables fold to its width. A pipe or file gets every line unwrapped, whatever the value
of COLUMNS, without colours and progress bars; FORCE_COLOR adds colours, NO_COLOR removes them everywhere. Text is
printed literally: square brackets are no markup, ``:smile:`` is no emoji.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from .streams import UNBOUNDED, is_terminal


class Output(Console):
    """A console on the standard output of the time it is created."""

    def __init__(self) -> None:
        terminal = is_terminal(sys.stdout)
        super().__init__(
            file=sys.stdout,
            force_terminal=terminal,
            legacy_windows=None if terminal else False,
            color_system="auto" if terminal else "standard" if _colours_demanded() else None,
            width=None if terminal else UNBOUNDED,
            soft_wrap=True,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of text; a pair is a text and its style, for example ``("skipped:", "yellow")``."""
        self.print(Text.assemble(*parts))

    def print(self, *objects: Any, **options: Any) -> None:
        """Print like rich. A table's title and caption are lines of their own, and long words fold."""
        for table in objects:
            if not isinstance(table, Table):
                continue
            for column in table.columns:
                column.overflow = "fold"
            title, caption, table.title, table.caption = table.title, table.caption, None, None
            if title:
                super().print(title, style="italic")
            super().print(table, soft_wrap=False)
            if caption:
                super().print(caption, style="dim italic")
        rest = [item for item in objects if not isinstance(item, Table)]
        if rest or not objects:
            super().print(*rest, **options)

    def status(self, status: Any, **options: Any) -> Status:
        """Status line on a terminal; its ``update`` also accepts plain text."""
        return _PlainStatus(_plain(status), console=self, **options)

    def progress(self, *columns: str | ProgressColumn, **options: Any) -> Progress:
        """Progress bar, shown only on a terminal and removed when it is done."""
        return _TerminalProgress(*columns, console=self, transient=True, disable=not self.is_terminal, **options)


class _PlainStatus(Status):
    def update(self, status: Any = None, **options: Any) -> None:
        super().update(_plain(status), **options)


class _TerminalProgress(Progress):
    def stop(self) -> None:
        if not self.disable:  # rich before 13.8 ends a line that was not started
            super().stop()


def description() -> ProgressColumn:
    """Column of a progress bar for a task's description, which is plain text."""
    return TextColumn("{task.description}", markup=False)


def _plain(text: Any) -> Any:
    return Text(text) if isinstance(text, str) else text


def _colours_demanded() -> bool:
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") and not os.environ.get("NO_COLOR")
