"""Entry point of the ``mfp`` command: loads only the requested sub-command; errors become one line and exit code 2."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module

from ..engine.terminal.guard import guarded
from ..engine.terminal.streams import UNBOUNDED, is_terminal
from ..engine.version import __version__

# Modules by name, so that `mfp --help` loads none of them.
# Each module defines add_arguments(parser) and run(args) -> exit code.
COMMANDS = {
    "export": ("mfp.cli.export", "write a network as an ONNX file"),
    "convert": ("mfp.cli.convert", "write an ONNX file in half precision"),
    "train": ("mfp.cli.train", "train a network, or fine-tune one on one's own photographs"),
    "build": ("mfp.cli.build", "build a TensorRT plan from an ONNX file"),
    "segment": ("mfp.cli.segment", "click on a photograph, get the mask"),
    "info": ("mfp.cli.info", "show what a network file contains and promises"),
    "compare": ("mfp.cli.compare", "run two networks on the same clicks and say how far apart they are"),
    "eval": ("mfp.cli.eval", "count the clicks that a simulated user needs on a data set"),
    "eval plot": ("mfp.cli.eval_plot", "draw the curves of several evaluations in one picture"),
    "eval sweep": ("mfp.cli.eval_sweep", "evaluate with other N, R_max and distance"),
    "bench": ("mfp.cli.bench", "time clicks on every runtime, next to the authors' way"),
    "bench report": ("mfp.cli.bench_report", "write the tables and pictures of a latency record, or compare two"),
    "serve": ("mfp.cli.serve", "serve a page to click on, and an API"),
    "triton-repo": ("mfp.cli.triton_repo", "write a model repository for NVIDIA Triton"),
    "cache": ("mfp.cli.cache", "show or empty the cache of built TensorRT engines"),
    "doctor": (
        "mfp.cli.doctor",
        "say which runtimes and devices work here, and what would change it",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mfp`` with these arguments (default: those of the command line). Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return run_command(name, arguments[words:])
    return guarded("mfp", lambda: _without_command(arguments))


def run_command(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run one sub-command and return the exit code; scripts that are run by path call this too."""
    return guarded(f"mfp {name}", lambda: _with_command(name, argv, prog or f"mfp {name}"))


def _without_command(arguments: Sequence[str]) -> int:
    parser = Parser("mfp", "Click-based interactive segmentation with MFP.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    if parser.parse_args(arguments).version:
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
    """Argument parser that accepts ``-5,10`` as a value, and does not wrap its help outside a terminal."""

    def __init__(self, prog: str | None, description: str | None) -> None:
        super().__init__(prog=prog, description=description, formatter_class=_formatter)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # argparse matches only whole arguments: -5, -0.5


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = None if is_terminal(sys.stdout) else UNBOUNDED
    return argparse.RawDescriptionHelpFormatter(prog, width=width)


if __name__ == "__main__":
    sys.exit(main())
