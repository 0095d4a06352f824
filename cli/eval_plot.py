"""Draw the curves of several evaluations in one picture, and print their results in one table.

    mfp eval plot eval_GrabCut_hrnet18 eval_GrabCut_resnet34
    mfp eval plot FP32=fp32/eval.json FP16=fp16/eval.json --output comparison

A RUN is a folder that mfp eval wrote, or its eval.json; a name before = appears in the legend. For each data set the
output folder receives DATASET.md, miou_DATASET.png and .svg (mean IoU against clicks, the area under the curve in the
legend, as in the paper's Figure S-2).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import OptionError
from ..engine.terminal.arguments import made_folder

if TYPE_CHECKING:
    from ..bench.evaluation.record import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="[NAME=]RUN", help="what mfp eval wrote, and what to call it")
    parser.add_argument("--title", help="above the pictures; default: the data set's name")
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="default: the present folder")


def run(args: argparse.Namespace) -> int:
    from ..bench.evaluation import plots
    from ..bench.evaluation.record import comparable
    from ..bench.evaluation.report import markdown, published_beside, terminal_tables
    from ..bench.markdown import readable
    from ..engine.image import write_file
    from ..engine.terminal.console import Output

    plots.require_matplotlib()
    runs = read_runs(args.runs)
    made_folder(args.output)
    output = Output()
    written: list[str] = []
    for dataset in dict.fromkeys(evaluation.dataset for _, evaluation in runs):
        mine = [(name, evaluation) for name, evaluation in runs if evaluation.dataset == dataset]
        stem = re.sub(r"[^\w.+-]+", "_", dataset)
        figure = plots.draw_curves(mine, args.title or dataset)
        pictures = plots.save(figure, args.output / f"miou_{stem}")
        written += pictures
        page = markdown(mine, [Path(pictures[0]).name])
        written.append(str(write_file(args.output / f"{stem}.md", readable(page).encode())))
        output.say(dataset)
        for table in terminal_tables(mine, published_beside(mine)):
            output.print(table)
        for sentence in comparable([evaluation for _, evaluation in mine]):
            output.say(("compare with care:", "yellow"), f" {sentence}")
    output.say("wrote " + ", ".join(written))
    return 0


def read_runs(arguments: Sequence[str]) -> list[tuple[str, Evaluation]]:
    """The evaluations of the arguments ``[NAME=]RUN``, each with its own name.

    Raises:
        DatasetError: an evaluation cannot be read.
        OptionError: two evaluations have the same name.
    """
    from ..bench.evaluation.record import Evaluation
    from ..bench.evaluation.report import named

    runs: list[tuple[str, Path, Evaluation]] = []
    for argument in arguments:
        name, given, rest = argument.partition("=")
        path = Path(rest if given and not Path(argument).exists() else argument)
        runs.append((name if str(path) != argument else "", path, Evaluation.read(path)))
    result = []
    for name, path, evaluation in runs:
        shown = named(evaluation)
        if sum(named(other) == shown and other.dataset == evaluation.dataset for _, _, other in runs) > 1:
            shown = f"{(path if path.is_dir() else path.parent).resolve().name}: {shown}"
        result.append((name or shown, evaluation))
    for name, evaluation in result:
        if sum((name, evaluation.dataset) == (other, e.dataset) for other, e in result) > 1:
            raise OptionError(f"two runs are called {name!r}; name them: NAME=RUN")
    return result
