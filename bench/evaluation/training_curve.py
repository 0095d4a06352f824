"""Plot of a training log's validations: held-out IoU by clicks over the seconds of the run.

python -m mfp.bench.evaluation.training_curve docs/lite0/training.jsonl docs/lite0/training.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...engine.errors import OptionError
from ...engine.terminal.guard import guarded
from .plots import require_matplotlib


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log of ``mfp train``.

    Raises:
        OptionError: the file does not exist, or it is not a log with validations.
    """
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if any("validation" in line for line in lines):
            return lines
    except (OSError, ValueError, TypeError):
        pass
    raise OptionError(f"expected the .jsonl log of an `mfp train` with validations, got {path}")


def draw(lines: Sequence[dict[str, Any]], path: Path) -> Path:
    """Write the curve as PNG: one line per number of clicks, and a grey one where the size of the maps changes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    validations = [line for line in lines if "validation" in line]
    seconds = [line["elapsed"] for line in validations]
    for clicks in validations[-1]["validation"]:
        scores = [100 * line["validation"][clicks] for line in validations]
        axes.plot(seconds, scores, marker="o", markersize=3.5, linewidth=1.6)
        label = f"{clicks} click{'' if clicks == '1' else 's'}: {scores[-1]:.1f} %"
        axes.annotate(label, (seconds[-1], scores[-1]), (7, 0), textcoords="offset points", va="center", fontsize=9)
    steps = [line for line in lines if "size" in line]
    for before, after in pairwise(steps):
        if before["size"] != after["size"]:
            axes.axvline(after["elapsed"], color="#bbbbbb", linewidth=1)
            place = (after["elapsed"], 0.02)
            words = f" {after['size']}×{after['size']}"
            axes.annotate(words, place, xycoords=("data", "axes fraction"), color="#777777", fontsize=9)
    axes.set(xlabel="seconds", ylabel="held-out mean IoU, %", xlim=(0, seconds[-1] * 1.25))
    axes.grid(alpha=0.3)
    figure.savefig(path)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mfp.bench.evaluation.training_curve", description=__doc__)
    parser.add_argument("log", type=Path, metavar="LOG.jsonl")
    parser.add_argument("output", type=Path, metavar="FILE.png")
    args = parser.parse_args(argv)
    return guarded("python -m mfp.bench.evaluation.training_curve", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    require_matplotlib()
    print(f"wrote {draw(read_log(args.log), args.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
