"""The ``mfp`` command: finds the sub-command, loads it alone, and turns errors into one line and exit code 2."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from .streams import UNBOUNDED, LastingStream, is_terminal, lasting_streams

# The table composes the rooms by name, so that the engine imports none above it and `mfp --help` loads nothing.
# Each module offers add_arguments(parser) and run(args) -> exit code.
COMMANDS = {
    "export": ("mfp.export.command", "write a network as an ONNX file"),
    "convert": ("mfp.export.convert_command", "write an ONNX file in half precision"),
    "train": ("mfp.export.train", "train a network, or fine-tune one on one's own photographs"),
    "build": ("mfp.engine.commands.build", "build a TensorRT plan from an ONNX file"),
    "segment": ("mfp.engine.commands.segment", "click on a photograph, get the mask"),
    "info": ("mfp.engine.commands.info", "show what a network file contains and promises"),
    "compare": ("mfp.bench.compare_command", "run two networks on the same clicks and say how far apart they are"),
    "eval": ("mfp.bench.eval_command", "count the clicks that a simulated user needs on a data set"),
    "eval plot": ("mfp.bench.plot_command", "draw the curves of several evaluations in one picture"),
    "eval sweep": ("mfp.bench.sweep_command", "evaluate with other N, R_max and distance"),
    "bench": ("mfp.bench.latency_command", "time clicks on every runtime, next to the authors' way"),
    "bench report": ("mfp.bench.report_command", "write the tables and pictures of a latency record, or compare two"),
    "serve": ("mfp.serve.command", "serve a page to click on, and an API"),
    "triton-repo": ("mfp.serve.triton.command", "write a model repository for NVIDIA Triton"),
    "cache": ("mfp.engine.commands.cache", "show or empty the cache of built TensorRT engines"),
    "doctor": (
        "mfp.engine.commands.doctor",
        "say which runtimes and devices work here, and what would change it",
    ),
}

REMEDIES = {
    errno.ENOSPC: "free some space there, or name another folder",
    errno.EDQUOT: "free some space there, or name another folder",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "name one that you may use, or change its permissions",
    errno.EPERM: "name one that you may use, or change its permissions",
    errno.ENOENT: "expected one that is there",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mfp`` with these arguments (default: the command line's). Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return run_command(name, arguments[words:])
    return guarded("mfp", lambda: _without_command(arguments))


def run_command(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run one sub-command; the scripts that are run by path come here too."""
    return guarded(f"mfp {name}", lambda: _with_command(name, argv, prog or f"mfp {name}"))


def guarded(name: str, work: Callable[[], int]) -> int:
    """Run a command's work; errors that are expected become one line on standard error.

    Args:
        name: of the command, in front of the line.
        work: returns the exit code.

    Returns:
        The exit code: 2 after an error, or where standard output took no more, though the work is done; 130 after
        Ctrl-C; 141 where a pipe's reader went away. What is no error of the user's or of the system's is raised.
    """
    from .errors import MfpError

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


def _without_command(arguments: Sequence[str]) -> int:
    parser = Parser("mfp", "Click-based interactive segmentation with MFP.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    if parser.parse_args(arguments).version:
        from .. import __version__

        print(f"mfp-engine {__version__}")
    else:
        parser.print_help()
    return 0


def _with_command(name: str, argv: Sequence[str] | None, prog: str) -> int:
    module_name, summary = COMMANDS[name]
    module = import_module(module_name)
    parser = Parser(prog, module.__doc__ or summary)
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(argv))
    return code


class Parser(argparse.ArgumentParser):
    """A parser that takes ``-5,10`` for a value, and whose help has whole lines where it is not read on a terminal."""

    def __init__(self, prog: str | None, description: str | None) -> None:
        super().__init__(prog=prog, description=description, formatter_class=_formatter)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # by default, of whole arguments: -5 and -0.5 alone


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = None if is_terminal(sys.stdout) else UNBOUNDED
    return argparse.RawDescriptionHelpFormatter(prog, width=width)


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


if __name__ == "__main__":
    sys.exit(main())
