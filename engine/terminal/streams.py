"""Standard streams of commands that survive write errors, so that the work goes on.

A closed pipe or a full disk is detected once, stored, and reported when the work is done. Characters that the encoding
lacks are written as escapes.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

UNBOUNDED = 1_000_000  # columns of a pipe or file: more than any line has
CLOSED = (errno.EPIPE, *((errno.EINVAL,) if os.name == "nt" else ()))  # errors of a pipe without a reader


class LastingStream:
    """A text stream that discards its input once its file has failed.

    Attributes:
        error: error of the file, if it failed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    @property
    def closed_by_reader(self) -> bool:
        """Whether the stream is a pipe whose reader, ``head`` for example, has closed it."""
        return self.error is not None and self.error.errno in CLOSED

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        with suppress(OSError, ValueError):  # the rest of its buffer would fail again when Python exits
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_streams() -> Iterator[LastingStream | None]:
    """Replace ``sys.stdout`` and ``sys.stderr`` by lasting streams within a ``with`` block.

    Yields:
        Standard output; None if the process was started without one.
    """
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    found: list[Any] = []
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        found.append(None if stream is None else LastingStream(stream))
    output, errors = found
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield output
    finally:
        for stream in found:
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _fill_descriptors() -> None:
    """Open the null device in place of closed standard streams.

    The next file would otherwise get their number, and what C libraries write to standard error would end up in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal."""
    return stream is not None and stream.isatty()
