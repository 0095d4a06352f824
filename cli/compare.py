"""Run two networks on the same sessions and report how much they differ.

A is the reference. Each network is FILE[@RUNTIME[/PRECISION]]:

    mfp compare hrnet18.onnx hrnet18_fp16.onnx --images photographs/
    mfp compare hrnet18.onnx hrnet18.onnx@openvino/bf16 --images cat.jpg dog.jpg
    mfp compare hrnet18.onnx hrnet18.pth@torch/fp16 --output comparison/ --min-iou 0.97

The clicks are seeded: the first is near the middle of the image, later ones anywhere, positive and negative. Logits
are compared at equal input. Probabilities and masks are compared after each network's own session, where errors feed
back.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import ImageError, OptionError
from ..engine.image_folders import image_files, readable_images
from ..engine.terminal.arguments import add_device_options, add_session_options, made_folder

if TYPE_CHECKING:
    from rich.text import Text

    from ..bench.comparison.compare import ClickDifference, Comparison
    from ..engine.network import Network


@dataclass(frozen=True)
class NetworkSpec:
    """A network as named on the command line.

    Attributes:
        file: network file.
        runtime, precision: arguments as for :func:`~mfp.engine.network.load_network`.
    """

    file: Path
    runtime: str = "auto"
    precision: str | None = None

    def __str__(self) -> str:
        if self.runtime == "auto" and self.precision is None and "@" not in str(self.file):
            return str(self.file)
        return f"{self.file}@{self.runtime}" + (f"/{self.precision}" if self.precision else "")


def parse_spec(text: str) -> NetworkSpec:
    """Parse ``"FILE[@RUNTIME[/PRECISION]]"``. If a file of the whole name exists, the text is only that file's name.

    Raises:
        OptionError: the text after the last @ is no runtime and precision.
    """
    file, at, rest = text.rpartition("@")
    if os.path.isfile(text) or not at:
        return NetworkSpec(Path(text))
    match = re.fullmatch(r"([\w-]+)(?:/(\w+))?", rest)
    if file and match:
        return NetworkSpec(Path(file), match[1], match[2])
    if os.path.isfile(file):
        raise OptionError(f"expected FILE[@RUNTIME[/PRECISION]], for example {file}@openvino/bf16, got {text!r}")
    return NetworkSpec(Path(text))  # a missing file with an @ in its name is reported as missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    spec = "FILE[@RUNTIME[/PRECISION]]"
    parser.add_argument("reference", metavar="A", help=f"the reference: {spec}")
    parser.add_argument("other", metavar="B", help=f"the network held against it: {spec}")
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        action="extend",
        metavar="PATH",
        help="image files, and folders whose image files are taken in order of name; default: a sample photograph",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N images that can be read")
    parser.add_argument("--clicks", type=int, default=5, metavar="N", help="clicks an image (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the clicks (default 0)")
    add_session_options(parser)
    add_device_options(parser)
    parser.add_argument("--min-iou", type=float, metavar="X", help="exit with 1 where a mask's IoU is below X (0 to 1)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write compare.json and worst.png there")


def run(args: argparse.Namespace) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

    from ..bench.comparison.compare import check_comparable, compare_networks, figure
    from ..engine.network import load_network
    from ..engine.sample import PATH as SAMPLE
    from ..engine.terminal.console import Output, description

    specs = parse_spec(args.reference), parse_spec(args.other)
    if args.min_iou is not None and not 0 <= args.min_iou <= 1:
        raise OptionError(f"expected --min-iou from 0 to 1, got {args.min_iou:g}")
    if args.limit is not None and args.limit < 1:
        raise OptionError(f"expected --limit from 1, got {args.limit}")
    files = image_files(args.images or [SAMPLE])
    if args.output:
        made_folder(args.output)

    output = Output()
    a, b = networks = [load_network(s.file, s.runtime, args.device, args.threads, s.precision) for s in specs]
    for letter, spec, network in zip("AB", specs, networks, strict=True):
        output.say(f"{letter}  {spec}: {network!r}, {network.runtime}")
    if not all(network.info.trained for network in networks):
        output.say(("UNTRAINED WEIGHTS", "bold red"), ": the masks mean nothing; trained weights may agree otherwise.")
    warnings = check_comparable(a, b)
    for sentence in warnings:
        output.say(("warning:", "yellow"), f" {sentence}")

    skipped: list[str] = []
    columns = description(), BarColumn(), MofNCompleteColumn(), "clicks", TimeRemainingColumn()
    with output.progress(*columns) as bar:
        task = bar.add_task("comparing", total=min(args.limit or len(files), len(files)) * args.clicks)

        def skip(file: Path, why: ImageError) -> None:
            skipped.append(str(file))
            output.say(("skipped:", "yellow"), f" {why}")
            readable = len(files) - len(skipped)
            bar.update(task, total=min(args.limit or readable, readable) * args.clicks)

        def advance(image: str, _: int) -> None:
            bar.update(task, advance=1, description=Path(image).name)

        images = readable_images(files, args.limit, skip)
        comparison = compare_networks(a, b, images, args.clicks, args.seed, args.flip, args.size, advance)

    written: list[str] = []
    if args.output:
        record = {
            "reference": _facts_of(specs[0], a),
            "other": _facts_of(specs[1], b),
            "options": {key: getattr(args, key) for key in ("clicks", "seed", "flip", "size")},
            "warnings": warnings,
            "skipped": skipped,
        }
        captions = [
            f"{s.file.name}, {n.runtime}, {n.info.precision}, {n.device}" for s, n in zip(specs, networks, strict=True)
        ]
        written = _write(args.output, record, comparison, captions)
    for line in (_overall(comparison), _by_click(comparison, args.clicks), _verdict(comparison)):
        output.print(line)
    if written:
        output.say("wrote " + ", ".join(written))
    if args.min_iou is None:
        return 0
    lowest = comparison.worst("mask_iou").mask_iou
    passed = lowest >= args.min_iou
    output.say(
        ("passed", "green") if passed else ("failed", "bold red"),
        f": lowest mask IoU {figure('mask_iou', lowest)}, demanded {args.min_iou:g}",
    )
    return 0 if passed else 1


def _overall(comparison: Comparison) -> Any:
    from rich.table import Table

    from ..bench.comparison.compare import MEASURES, figure

    table = Table("differences of B from A", "mean", "worst", "at", title="all clicks")
    for measure, title in MEASURES.items():
        worst = comparison.worst(measure)
        figures = (figure(measure, value) for value in (comparison.mean(measure), getattr(worst, measure)))
        table.add_row(title, *figures, _place(worst))
    return table


def _by_click(comparison: Comparison, clicks: int) -> Any:
    from rich.table import Table

    from ..bench.comparison.compare import MEASURES, figure

    shown = ("logits_rms", "logits_max", "probability_p99", "probability_max", "mask_iou")
    columns = (MEASURES[measure].replace(" ", "\n", 1) for measure in shown)
    table = Table("click", *columns, title="means by number of the click")
    for click in range(1, clicks + 1):
        table.add_row(str(click), *(figure(measure, comparison.mean(measure, click)) for measure in shown))
    table.caption = "logits at equal input, in standard deviations of A's"
    return table


def _verdict(comparison: Comparison) -> Text:
    from rich.text import Text

    from ..bench.comparison.compare import figure

    if comparison.identical:
        return Text.assemble(("identical", "green"), ": no logit and no probability differs in any bit")
    worst = comparison.worst("mask_iou")
    return Text(
        f"mask IoU {figure('mask_iou', comparison.mean('mask_iou'))} on average, "
        f"{figure('mask_iou', worst.mask_iou)} at worst ({_place(worst)}); at equal input the logits differ by "
        f"{figure('logits_rms', comparison.mean('logits_rms'))} of their standard deviation"
    )


def _place(difference: ClickDifference) -> str:
    return f"{Path(difference.image).name}, click {difference.click}"


def _facts_of(spec: NetworkSpec, network: Network) -> dict[str, Any]:
    return {"spec": str(spec), "runtime": network.runtime, "device": network.device, **asdict(network.info)}


def _write(folder: Path, record: dict[str, Any], comparison: Comparison, captions: list[str]) -> list[str]:
    """Write compare.json, with ``record`` and all results, and worst.png; returns the files' names."""
    from ..bench.comparison.compare import MEASURES
    from ..bench.comparison.picture import draw
    from ..bench.machine import facts
    from ..engine.image import write_file, write_png

    record["measures"] = {}
    clicks = range(1, record["options"]["clicks"] + 1)
    for measure in MEASURES:
        worst = comparison.worst(measure)
        record["measures"][measure] = {
            "mean": comparison.mean(measure),
            "worst": getattr(worst, measure),
            "worst_image": worst.image,
            "worst_click": worst.click,
            "mean_by_click": [comparison.mean(measure, click) for click in clicks],
        }
    record["clicks"] = [asdict(difference) for difference in comparison.differences]
    record["machine"] = facts()
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    picture = draw(comparison.worst_case, *captions)
    return [str(write_file(folder / "compare.json", text.encode())), str(write_png(folder / "worst.png", picture))]
