"""The ``mfp`` command: finds the sub-command, loads it alone, and turns errors into one line and exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

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
    "cache": ("mfp.engine.commands.cache", "show or empty the cache of built TensorRT engines"),
    "doctor": (
        "mfp.engine.commands.doctor",
        "say which runtimes and devices work here, and what would change it",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mfp`` with these arguments (default: the command line's). Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="mfp", description="Click-based interactive segmentation with MFP.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    if " ".join(arguments[:2]) in COMMANDS:  # two words
        return run_command(" ".join(arguments[:2]), arguments[2:])
    if not arguments or arguments[0] not in COMMANDS:
        if parser.parse_args(arguments).version:
            from .. import __version__

            print(f"mfp-engine {__version__}")
        else:
            parser.print_help()
        return 0
    return run_command(arguments[0], arguments[1:])


def run_command(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run one sub-command; the scripts that are run by path come here too."""
    from .errors import MfpError

    module_name, summary = COMMANDS[name]
    module = import_module(module_name)
    parser = argparse.ArgumentParser(
        prog=prog or f"mfp {name}",
        description=module.__doc__ or summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        code: int = module.run(arguments)
        sys.stdout.flush()
        return code
    except MfpError as error:
        print(f"mfp {name}: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"mfp {name}: not enough memory for a photograph or network of this size", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print(f"\nmfp {name}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
