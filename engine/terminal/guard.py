"""Guard of a command: turns expected errors into one line on standard error and exit code 2."""

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
    """Run a command's work; errors that are expected become one line on standard error.

    Args:
        name: of the command, in front of the line.
        work: returns the exit code.

    Returns:
        The exit code: 2 after an error, or where standard output took no more, though the work is done; 130 after
        Ctrl-C; 141 where a pipe's reader went away. What is no error of the user's or of the system's is raised.
    """
    from ..errors import MfpError

    with lasting_streams() as output:
        try:
            code: int | None = work()
        except SystemExit:  # of argparse: after --help, or a mistake that it has told
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
            if error.errno is None:  # not of the system: a library's own
                raise
            return _failed(name, in_words(error))
        lost = _lost(name, output)
        if output is not None and output.closed_by_reader:
            return 141
        return code or (2 if lost else 0)


def in_words(error: OSError) -> str:
    """An error of the operating system as a sentence: what it is about, what it is, and what to do."""
    about = " → ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes))
    remedy = REMEDIES.get(error.errno or 0, "")
    return (f"{about}: " if about else "") + (error.strerror or str(error)) + (f"; {remedy}" if remedy else "")


def _failed(name: str, why: str) -> int:
    print(f"{name}: {why}", file=sys.stderr)
    return 2


def _lost(name: str, output: LastingStream | None) -> bool:
    """Whether standard output took no more; says so, unless it was its reader who went away."""
    if output is None:
        return False
    output.flush()
    if output.error is None:
        return False
    if not output.closed_by_reader:
        why = output.error.strerror or output.error
        _failed(name, f"standard output took no more: {why}; its end is missing there, and nothing else")
    return True
