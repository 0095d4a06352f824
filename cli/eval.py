"""Count the clicks that a simulated user needs on a data set.

    mfp eval GrabCut/ --network lite0 --sheet 12
    mfp eval SBD/ --network vit_b.onnx --workers 4 --output results/sbd
    mfp eval scans/ --images png --masks truth --network hrnet18.onnx --limit 20 --worst 12

GrabCut, Berkeley, DAVIS and SBD are recognised by their folders; for other data sets name the folders of photographs
and masks. Each object gets 20 clicks, each in the middle of the largest error (docs/method.md, section 6). The output
folder receives eval.json (every click, every IoU), eval.md and the curve of mean IoU. --worst adds a sheet of the
objects that needed most clicks, and --sheet one of objects from the whole data set, after 1, 3 and 5 clicks. Finished
objects are kept in eval.jsonl: after Ctrl-C the same command continues from it.

    mfp eval plot A/ B/          curves of several evaluations in one picture, their results in one table
    mfp eval sweep GrabCut/ ...  other values of N, R_max and the distance, one after another
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import OptionError
from ..engine.terminal.arguments import made_folder
from .eval_common import add_evaluation_options, click_all, default_folder, open_journal, pictures_or_hint, prepare

if TYPE_CHECKING:
    from ..bench.evaluation.record import Evaluation
    from ..engine.terminal.console import Output
    from .eval_common import Setting

SHEET_IOU = 0.90  # IoU up to which the sheet counts clicks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_evaluation_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the files go; default: eval_DATASET_NETWORK. Another network or other conditions need another one",
    )
    output.add_argument(
        "--worst", type=int, default=0, metavar="N", help="draw the N objects that needed most clicks to IoU 0.9"
    )
    output.add_argument(
        "--sheet", type=int, default=0, metavar="N", help="draw N objects in even steps after 1, 3 and 5 clicks"
    )


def run(args: argparse.Namespace) -> int:
    from ..bench.evaluation import plots
    from ..bench.evaluation.record import RECORD
    from ..bench.evaluation.report import described, markdown, named, published_beside, remarks, terminal_tables
    from ..bench.markdown import readable
    from ..engine.image import write_file
    from ..engine.terminal.console import Output

    for option, count in (("--worst", args.worst), ("--sheet", args.sheet)):
        if count < 0:
            raise OptionError(f"expected a number of objects for {option}, got {count}")
    if args.worst:
        plots.require_matplotlib()
    output = Output()
    setting = prepare(args, output)
    folder = made_folder(args.output or default_folder("eval", setting))
    journal = open_journal(folder, setting, setting.conditions, args.restart)
    evaluation = click_all(output, setting, [(journal, setting.conditions)], args.workers, args.ray)[0]

    runs = [(named(evaluation), evaluation)]
    written = [str(evaluation.write(folder / RECORD))]
    pictures = pictures_or_hint(
        output, lambda: plots.save(plots.draw_curves(runs, described(evaluation)), folder / "miou")
    )
    if args.worst:
        pictures.append(_draw_worst(output, args.worst, setting, evaluation, folder / "worst.png"))
    if args.sheet:
        pictures.append(_draw_sheet(output, args.sheet, setting, evaluation, folder / "sheet.jpg"))
    shown = [Path(picture).name for picture in pictures if not picture.endswith(".svg")]
    written.append(str(write_file(folder / "eval.md", readable(markdown(runs, shown)).encode())))
    output.say(described(evaluation))
    for table in terminal_tables([("this run", evaluation)], published_beside(runs)):
        output.print(table)
    for remark in remarks(evaluation):
        output.say(f"- {remark}")
    output.say("wrote " + ", ".join(written + pictures))
    return 0


def _draw_sheet(output: Output, count: int, setting: Setting, evaluation: Evaluation, path: Path) -> str:
    from ..bench.evaluation import contact_sheet

    chosen = contact_sheet.spread(evaluation.results, count)
    targets = {target.name: target for target in setting.targets}
    with output.status("drawing the sheet"):
        found = contact_sheet.strips(
            setting.network, [targets[result.name] for result in chosen], chosen, setting.conditions
        )
    return str(contact_sheet.save(contact_sheet.draw(found), path))


def _draw_worst(output: Output, count: int, setting: Setting, evaluation: Evaluation, path: Path) -> str:
    from ..bench.evaluation.worst_sheet import draw_sheet, replay, save_sheet, worst

    chosen = worst(evaluation.results, count, SHEET_IOU, evaluation.max_clicks)
    by_name = {target.name: target for target in setting.targets}
    with output.progress() as bar:
        task = bar.add_task("the worst once more", total=len(chosen))
        targets = [by_name[result.name] for result in chosen]
        cases = replay(
            setting.network, targets, chosen, setting.conditions, SHEET_IOU, lambda: bar.update(task, advance=1)
        )
    network = evaluation.settings["network"]
    title = f"{evaluation.dataset}: the {len(cases)} of {len(evaluation.results)} objects that needed most clicks"
    subtitle = (
        f"to IoU {SHEET_IOU:g}, at most {evaluation.max_clicks}; {network['file']} ({network['weights'][:19]}), "
        f"{network['runtime']} {network['precision']} on {network['device']}"
    )
    return str(save_sheet(draw_sheet(cases, title, subtitle), path))
