"""Disk space that is kept free for what must work on a full disk: starting, and deleting a session."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE = 2 * 1024 * 1024  # bytes: SQLite's shared memory, and the log of a deletion
BLOCK = 4096


class Reserve:
    """A file that takes the space until it is needed. Any number of processes share it.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Take the space that is not taken yet, as far as the disk has it."""
        with suppress(OSError):
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                while os.fstat(file).st_size < SIZE:
                    os.write(file, bytes(BLOCK))  # zeros that are written: a hole would take no space
            finally:
                os.close(file)

    def release(self) -> None:
        """Give the space back."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
