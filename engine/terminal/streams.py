"""Standard output and standard error of commands: what cannot be written there ends no work.

A closed pipe or a full disk behind them is noticed once, kept, and told when the work is done; characters that their
encoding lacks are written as escapes.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

UNBOUNDED = 1_000_000  # columns of what is no terminal: more than any line has
CLOSED = (errno.EPIPE, *((errno.EINVAL,) if os.name == "nt" else ()))  # what a pipe without a reader answers


class LastingStream:
    """A text stream that throws away what it is given once its file takes no more.

    Attributes:
        error: what the file answered then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    @property
    def closed_by_reader(self) -> bool:
        """Whether it is a pipe whose reader, ``head`` for example, has seen enough."""
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
        with suppress(OSError, ValueError):  # what is still in its buffer would fail once more when Python ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_streams() -> Iterator[LastingStream | None]:
    """``sys.stdout`` and ``sys.stderr`` as lasting streams for a while.

    Yields:
        Standard output; None where the process was started without one.
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
    """Open nothing where standard streams are closed: the next file would get their number, and what libraries in C
    write to standard error would land in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at it."""
    return stream is not None and stream.isatty()
