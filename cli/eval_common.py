"""Shared code of ``mfp eval`` and ``mfp eval sweep``: their options, and the clicking itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import ImageError, OptionError, RuntimeMissingError
from ..engine.packaged import DEFAULT, find
from ..engine.terminal.arguments import add_network_options, add_session_options

if TYPE_CHECKING:
    from ..bench.datasets import Dataset, Target
    from ..bench.evaluation.record import Evaluation, Journal
    from ..bench.evaluation.run import Conditions, Job, NetworkSource, Result
    from ..engine.network import Network
    from ..engine.terminal.console import Output


@dataclass(frozen=True)
class Setting:
    """Data set, network and conditions of an evaluation, loaded and checked.

    Attributes:
        dataset, targets: data set, and its objects that are clicked on.
        source, network: network by name, and the loaded network.
        conditions: conditions of the clicks.
        notes: sentences about everything that was left out.
    """

    dataset: Dataset
    targets: list[Target]
    source: NetworkSource
    network: Network
    conditions: Conditions
    notes: tuple[str, ...]


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``mfp eval`` and ``mfp eval sweep`` share: data set, network, conditions and work."""
    data = parser.add_argument_group("data set")
    data.add_argument("dataset", type=Path, metavar="DATASET", help="its folder")
    data.add_argument("--images", type=Path, metavar="FOLDER", help="the folder of photographs in DATASET")
    data.add_argument("--masks", type=Path, metavar="FOLDER", help="the folder of masks in DATASET")
    data.add_argument(
        "--mask-values",
        choices=("auto", "trimap", "labels", "any"),
        default="auto",
        help="trimap: one object, above 128; labels: an object a value; any: one object, wherever not 0; auto "
        "(default): as the data set's layout says, or else as the masks look",
    )
    data.add_argument(
        "--ignore",
        type=_parse_ignore,
        default="auto",
        metavar="VALUE",
        help="mask value that counts for nothing, or none; auto (default): 128 of a trimap, 255 of labels",
    )
    data.add_argument(
        "--split", help="list of photographs: of SBD val (default) or train, of the original DAVIS 2017/val"
    )
    data.add_argument("--name", help="what to call the data set; default: its layout's or its folder's name")
    data.add_argument("--limit", type=int, metavar="N", help="take the first N objects alone")
    data.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth photograph alone")
    data.add_argument(
        "--skip-unfit",
        action="store_true",
        help="go on without photographs and masks that do not fit: of different sizes, cut short, not readable; "
        "without it all of them are named, and nothing is clicked on",
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--network",  # text and not a Path, as in mfp segment
        default=DEFAULT,
        metavar="FILE",
        help=f".onnx, .plan or .pth; default: {DEFAULT}, which ships with the package",
    )
    add_network_options(network)

    clicks = parser.add_argument_group("clicks")
    add_session_options(clicks)
    clicks.add_argument("--threshold", type=float, default=0.5, metavar="P", help="of the mask (default 0.5)")
    clicks.add_argument("--max-clicks", type=int, default=20, metavar="N", help="clicks an object (default 20)")
    clicks.add_argument(
        "--stop-iou",
        type=float,
        metavar="Q",
        help="an object is done at this IoU: NoC up to it stays exact, in far fewer clicks; default: all clicks",
    )

    work = parser.add_argument_group("work")
    work.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes, each with the network, that share the cores (default 1; with --ray what the cluster has room "
        "for, each with a core, or so many as --threads says)",
    )
    work.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="on the machines of a Ray cluster, which all find network and data set at the same paths; without an "
        "address the one that runs here, or a new one for as long as it takes (docs/cluster.md)",
    )
    work.add_argument("--restart", action="store_true", help="throw away what the output folder has, and begin anew")


def prepare(args: argparse.Namespace, output: Output) -> Setting:
    """Load the network, check the data set and the options, before anything is written or clicked on."""
    import numpy as np

    from ..bench.datasets import open_dataset
    from ..bench.evaluation.published import published_size
    from ..bench.evaluation.run import Conditions, NetworkSource, open_session

    if args.workers is not None and args.workers < 1:
        raise OptionError(f"expected at least 1 worker, got {args.workers}")
    if args.output is not None and args.output.exists() and not args.output.is_dir():
        raise ImageError(f"cannot write to {args.output}: Not a directory; expected a folder or a new name")
    dataset = open_dataset(args.dataset, args.images, args.masks, args.mask_values, args.ignore, args.split, args.name)
    with output.status("") as status:

        def progress(done: int, total: int) -> None:
            status.update(f"looking over {dataset.name}: mask {done} of {total}")

        file = find(args.network, ".pth" if args.runtime.startswith("torch") else ".onnx", args.precision)
        source = NetworkSource(file, args.runtime, args.device, args.threads, args.precision)
        status.update(f"loading {args.network}")
        network = source.load()
        size = args.size or network.info.size or published_size(dataset.name, network.info.backbone)
        conditions = Conditions(
            size,
            args.flip,
            args.threshold,
            network.info.n_early,
            network.info.r_max,
            max_clicks=args.max_clicks,
            stop_iou=args.stop_iou,
        )
        open_session(network, np.zeros((8, 8, 3), np.uint8), conditions).close()  # raises if it refuses them
        dataset, targets = dataset.targets(args.limit, args.every, progress, args.skip_unfit)
    if network.choice:
        output.say(network.choice)
    for note in dataset.notes:
        output.say(note)
    notes = list(dataset.notes)
    if args.every > 1:
        notes.append(f"only one photograph in {args.every}")
    if args.limit:
        notes.append(f"only the first {len(targets)} of the objects")
    return Setting(dataset, targets, source, network, conditions, tuple(notes))


def open_journal(folder: Path, setting: Setting, conditions: Conditions, restart: bool) -> Journal:
    """The journal in a folder, new or continued."""
    from ..bench.evaluation.record import Journal, settings_of

    settings = settings_of(setting.dataset, setting.network, setting.source.file, conditions)
    return Journal(folder, settings, restart, {target.name: target.fingerprint for target in setting.targets})


def default_folder(word: str, setting: Setting) -> Path:
    """The default output folder, such as ``eval_GrabCut_hrnet18`` in the current folder."""
    name = f"{word}_{setting.dataset.name}_{setting.source.file.stem}"
    return Path(re.sub(r"[^\w.+-]+", "_", name))


def click_all(
    output: Output,
    setting: Setting,
    runs: Sequence[tuple[Journal, Conditions]],
    workers: int | None,
    cluster: str | None,
) -> list[Evaluation]:
    """Click on all objects that are not in the journals yet, under the conditions of each, and show the progress.

    Args:
        output: output that shows the progress.
        setting: objects to click on, and the network.
        runs: conditions, each with its journal.
        workers, cluster: values of ``--workers`` and ``--ray``.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; a message reports how many objects are kept, and where.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

    from ..bench.evaluation.record import Evaluation
    from ..bench.machine import facts
    from ..engine.terminal.console import description

    missing = [
        (journal, (target, conditions))
        for journal, conditions in runs
        for target in setting.targets
        if target.name not in journal.results
    ]
    total = len(runs) * len(setting.targets)
    if len(missing) < total:
        output.say(f"{total - len(missing)} of {total} object(s) are there already, and are not clicked on again")
    changed = list(dict.fromkeys(name for journal, _ in runs for name in journal.changed))
    if changed:
        output.say(
            f"{len(changed)} object(s) are clicked on again, since their files have changed: {', '.join(changed)}"
        )
    columns = description(), BarColumn(), MofNCompleteColumn(), "objects", TimeRemainingColumn()
    running = {id(journal): _Running(journal, setting.targets) for journal, _ in runs}
    try:
        with (
            output.progress(*columns) as bar,
            closing(_results([job for _, job in missing], setting, workers, cluster)) as results,
        ):
            task = bar.add_task(str(running[id(runs[0][0])]), total=total, completed=total - len(missing))
            for number, result in results:
                journal = missing[number][0]
                journal.add(result)
                running[id(journal)].count(result)
                bar.update(task, advance=1, description=str(running[id(journal)]))
    except KeyboardInterrupt:
        kept = sum(target.name in journal.results for journal, _ in runs for target in setting.targets)
        folder = runs[0][0].path.parent if len(runs) == 1 else runs[0][0].path.parent.parent
        output.say(f"{kept} of {total} object(s) are kept in {folder}; the same command goes on from there")
        raise
    machine = facts()
    return [
        Evaluation(
            journal.settings,
            tuple(journal.results[target.name] for target in setting.targets),
            machine,
            setting.notes,
        )
        for journal, _ in runs
    ]


def _results(
    jobs: Sequence[Job], setting: Setting, workers: int | None, cluster: str | None
) -> Generator[tuple[int, Result], None, None]:
    from ..bench.evaluation.run import evaluate

    if cluster is None:
        return evaluate(jobs, setting.source, 1 if workers is None else workers, setting.network)
    from ..bench.evaluation.on_ray import evaluate_on_ray

    # "auto" means the same on every machine as on this one, because the journal records that choice.
    network = setting.network
    source = replace(setting.source, runtime=network.runtime, device=network.device)
    return evaluate_on_ray(jobs, source, workers, cluster)


def pictures_or_hint(output: Output, draw: Callable[[], list[str]]) -> list[str]:
    """The files that ``draw`` writes; without matplotlib none, and a hint how to install it."""
    from ..bench.evaluation.plots import require_matplotlib

    try:
        require_matplotlib()
    except RuntimeMissingError as error:
        output.say(str(error))
        return []
    return draw()


class _Running:
    """NoC over the finished objects, for the progress bar."""

    def __init__(self, journal: Journal, targets: Sequence[Target]) -> None:
        from ..bench.evaluation.protocol import THRESHOLDS

        conditions = journal.settings["conditions"]
        self.max_clicks, stop = conditions["max_clicks"], conditions["stop_iou"]
        self.sums = {threshold: 0 for threshold in THRESHOLDS if stop is None or threshold <= stop}
        self.objects = 0
        for target in targets:
            if target.name in journal.results:
                self.count(journal.results[target.name])

    def count(self, result: Result) -> None:
        from ..bench.evaluation.protocol import clicks_needed

        self.objects += 1
        for threshold in self.sums:
            self.sums[threshold] += clicks_needed(result.ious, threshold, self.max_clicks)

    def __str__(self) -> str:
        if not self.objects:
            return "clicking"
        return "  ".join(f"NoC@{100 * q:.0f} {total / self.objects:.2f}" for q, total in self.sums.items())


def _parse_ignore(text: str) -> int | str | None:
    if text == "auto":
        return text
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a mask value, none or auto, got {text!r}") from None
