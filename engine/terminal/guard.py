"""Error guard of commands: turns expected errors into one line on standard error and exit code 2."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from .streams import LastingStream, lasting_streams

REMEDIES = {
    errno.ENOSPC: "free some space there, or name another folder",
    errno.EDQUOT: "free some space there, or name another folder",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "name one that you may use, or change its permissions",
    errno.EPERM: "name one that you may use, or change its permissions",
    errno.ENOENT: "expected one that is there",
}


def guarded(name: str, work: Callable[[], int]) -> int:
    """Run a command's work and report expected errors as one line on standard error.

    Args:
        name: name of the command, printed before the message.
        work: function that returns the exit code.

    Returns:
        The exit code: 2 after an error, or if standard output failed although the work is done; 130 after Ctrl-C; 141
        if the reader of the pipe closed it. Errors that are neither the user's nor the system's are raised.
    """
    from ..errors import MfpError

    with lasting_streams() as output:
        try:
            code: int | None = work()
        except SystemExit:  # from argparse: after --help, or an error that it has reported
            if _lost(name, output):
                return 2
            raise
        except MfpError as error:
            return _failed(name, str(error))
        except MemoryError:
            return _failed(name, "not enough memory for a photograph or network of this size")
        except KeyboardInterrupt:
            print(f"\n{name}: interrupted", file=sys.stderr)
            return 130
        except OSError as error:
            if error.errno is None:  # not from the system: a library's own error
                raise
            return _failed(name, in_words(error))
        lost = _lost(name, output)
        if output is not None and output.closed_by_reader:
            return 141
        return code or (2 if lost else 0)


def in_words(error: OSError) -> str:
    """Describe an error of the operating system in a sentence: its subject, its cause, and what to do."""
    about = " → ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes))
    remedy = REMEDIES.get(error.errno or 0, "")
    return (f"{about}: " if about else "") + (error.strerror or str(error)) + (f"; {remedy}" if remedy else "")


def _failed(name: str, why: str) -> int:
    print(f"{name}: {why}", file=sys.stderr)
    return 2


def _lost(name: str, output: LastingStream | None) -> bool:
    """Whether standard output failed. Reports it, unless the reader of the pipe closed it."""
    if output is None:
        return False
    output.flush()
    if output.error is None:
        return False
    if not output.closed_by_reader:
        why = output.error.strerror or output.error
        _failed(name, f"standard output took no more: {why}; its end is missing there, and nothing else")
    return True
