"""Evaluate with other values of N, R_max and the distance, one after another (the paper's Tables S-3 to S-5).

    mfp eval sweep GrabCut/ --network hrnet18.onnx --output sweep
    mfp eval sweep GrabCut/ --network hrnet18.onnx --n-early 3 5 7 9 11 --r-max 100 --distance probability

N is the number of early clicks, which modulate by similarity. R_max is the largest radius of the modulation window in
network pixels. The distance is the quantity that early clicks compare, probability or RGB. While one is changed, the
others keep the values that the network was trained with. The output folder receives sweep.png and .svg, sweep.md, and
a folder for each evaluation, as mfp eval writes it (docs/method.md, section 4).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..engine.errors import OptionError
from ..engine.terminal.arguments import made_folder
from .eval_common import add_evaluation_options, click_all, default_folder, open_journal, pictures_or_hint, prepare

if TYPE_CHECKING:
    from ..bench.evaluation.record import Evaluation
    from ..bench.evaluation.run import Conditions

N_EARLY, R_MAX = (5, 7, 9), (75.0, 100.0, 125.0)  # values of the paper's supplement


class Panel(NamedTuple):
    """One parameter of a sweep.

    Attributes:
        title: name of the parameter in pictures and tables.
        values: name of each of its values, and the conditions with that value.
        trained: name of the value that the network was trained with, which need not be among ``values``.
    """

    title: str
    values: list[tuple[str, Conditions]]
    trained: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sweep = parser.add_argument_group("sweep")
    sweep.add_argument("--n-early", type=int, nargs="+", default=N_EARLY, metavar="N", help="default: 5 7 9")
    sweep.add_argument("--r-max", type=float, nargs="+", default=R_MAX, metavar="R", help="default: 75 100 125")
    sweep.add_argument(
        "--distance", nargs="+", default=("probability", "rgb"), metavar="D", help="default: probability rgb"
    )
    sweep.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where the files go; default: sweep_DATASET_NETWORK"
    )
    add_evaluation_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..bench.evaluation import plots
    from ..bench.evaluation.record import RECORD
    from ..bench.evaluation.report import described, terminal_tables
    from ..bench.markdown import readable
    from ..engine.image import write_file
    from ..engine.terminal.console import Output

    output = Output()
    setting = prepare(args, output)
    panels = plan(setting.conditions, args.n_early, args.r_max, args.distance)
    folder = made_folder(args.output or default_folder("sweep", setting))
    every = list(dict.fromkeys(conditions for panel in panels for _, conditions in panel.values))
    journals = [(open_journal(folder / folder_name(c), setting, c, args.restart), c) for c in every]
    evaluations = dict(zip(every, click_all(output, setting, journals, args.workers, args.ray), strict=True))

    written = [str(evaluation.write(folder / folder_name(c) / RECORD)) for c, evaluation in evaluations.items()]
    runs = [
        (panel.title, [(name, evaluations[conditions]) for name, conditions in panel.values], panel.trained)
        for panel in panels
    ]
    baseline = evaluations.get(setting.conditions, evaluations[every[0]])
    written += pictures_or_hint(
        output,
        lambda: plots.save(plots.draw_sweep(runs, described(baseline)), folder / "sweep"),
    )
    written.append(str(write_file(folder / "sweep.md", readable(_markdown(runs, baseline)).encode())))
    for title, values, trained in runs:
        output.say(title)
        output.print(terminal_tables(_marked(values, trained))[0])
    for remark in _remarks(baseline):
        output.say(f"- {remark}")
    output.say("wrote " + ", ".join(written))
    return 0


def plan(trained: Conditions, n_early: Sequence[int], r_max: Sequence[float], distances: Sequence[str]) -> list[Panel]:
    """The parameters of a sweep that have more than one value, each varied around the trained conditions.

    Raises:
        OptionError: nothing varies, or a session refuses a value.
    """
    from ..engine.session import DISTANCES

    unknown = [distance for distance in distances if distance not in DISTANCES]
    if unknown or min(n_early) < 0 or min(r_max) <= 0:
        raise OptionError(
            f"expected N from 0, R_max above 0, distances of {', '.join(DISTANCES)}; got {list(n_early)}, "
            f"{list(r_max)}, {list(distances)}"
        )
    early = [(f"{n}", replace(trained, n_early=n)) for n in sorted({*n_early})]
    radii = [(f"{r:g}", replace(trained, r_max=r)) for r in sorted({*r_max})]
    kinds = [(kind, replace(trained, distance=kind)) for kind in dict.fromkeys(distances)]
    panels = [
        Panel("N, early clicks", early, f"{trained.n_early}"),
        Panel("R_max, network pixels", radii, f"{trained.r_max:g}"),
        Panel("distance of early clicks", kinds, trained.distance),
    ]
    panels = [panel for panel in panels if len(panel.values) > 1]
    if not panels:
        raise OptionError("nothing to sweep: expected more than one value of N, R_max or the distance")
    return panels


def folder_name(conditions: Conditions) -> str:
    """The folder name of one evaluation in the sweep, such as ``n7_r100_probability``."""
    return f"n{conditions.n_early}_r{conditions.r_max:g}_{conditions.distance}"


def _marked(values: Sequence[tuple[str, Evaluation]], trained: str) -> list[tuple[str, Evaluation]]:
    return [(f"{name} (trained with)" if name == trained else name, evaluation) for name, evaluation in values]


def _remarks(baseline: Evaluation) -> list[str]:
    """The remarks on the baseline, and the published results, which hold for the trained values."""
    from ..bench.evaluation.report import published_beside, remarks

    rows = published_beside([("", baseline)])
    return [
        *remarks(baseline),
        *(f"{row}: NoC@85/90/95 {' / '.join(f'{mean:.2f}' for mean in row.noc)}" for row in rows),
    ]


def _markdown(panels: Sequence[tuple[str, list[tuple[str, Evaluation]], str]], baseline: Evaluation) -> str:
    from ..bench.evaluation.report import KEY, described, figures_table, settings_line
    from ..bench.markdown import plain

    lines = [f"# Sweep: {plain(described(baseline))}", ""]
    for title, values, trained in panels:
        lines += [f"## {plain(title)}", "", *figures_table(_marked(values, trained)), ""]
    lines += [KEY, "", *(f"- {plain(remark)}" for remark in _remarks(baseline))]
    lines += ["", "![sweep.png](sweep.png)", "", settings_line("trained with", baseline)]
    return "\n".join(lines) + "\n"
