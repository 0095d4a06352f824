"""Reserve of disk space, so that the server can start and delete sessions on a full disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE = 2 * 1024 * 1024  # bytes: enough for SQLite's shared memory and the log of a deletion
BLOCK = 4096


class Reserve:
    """A file that occupies the space until it is needed. Several processes can share it.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Enlarge the file to its full size, as far as the disk has space."""
        with suppress(OSError):
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                while os.fstat(file).st_size < SIZE:
                    os.write(file, bytes(BLOCK))  # written zeros: a hole in the file would take no space
            finally:
                os.close(file)

    def release(self) -> None:
        """Delete the file, which frees the space."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
