"""Time clicks of the engine on every available runtime, next to the baseline: the authors' way of computing them.

    mfp bench                                         all backbones, seeded weights; about an hour on two cores
    mfp bench --quick                                 a first look, minutes
    mfp bench --backbone vit_b --checkpoint FILE.pth  with the authors' weights
    mfp bench --device cuda:0 --clicks 300            on a GPU
    mfp bench --resume FILE.json                      continue after Ctrl-C

All runs click in turn on the same photograph at the same places, so that noise on the machine affects all of them
equally. Before that, each starts in its own process (cold start, memory); after it, several sessions click at once.
Whatever is not available is listed as missing. All samples go into one JSON file, written after each piece of work.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import MfpError, OptionError, RuntimeMissingError
from ..engine.packaged import find
from ..engine.terminal.arguments import parse_size

if TYPE_CHECKING:
    from ..bench.timing.peers import Peer

FULL = {"clicks": 30, "warmup": 3, "sessions": [1, 2, 4, 8], "photograph": [1080, 1920]}
QUICK = {"clicks": 6, "warmup": 1, "sessions": [1, 2], "photograph": [1080, 1920], "backbones": ["hrnet18"]}
RESULTS = Path("bench/results")  # in a clone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", dest="backbones", action="append", metavar="NAME", help="repeat; default: all")
    parser.add_argument(
        "--checkpoint",
        dest="checkpoints",
        action="append",
        type=Path,
        default=[],
        metavar="FILE.pth",
        help="weights for the backbone that the file holds, or lite0; repeat. Default: the packaged ones of lite0, "
        "else seeded",
    )
    parser.add_argument(
        "--runtime",
        dest="runtimes",
        action="append",
        metavar="NAME",
        help="authors, one of `mfp doctor`, or a row of the table, for example 'torch fp16'; repeat",
    )
    parser.add_argument("--clicks", type=int, metavar="N", help="later clicks of each run (default 30)")
    parser.add_argument("--warmup", type=int, metavar="N", help="clicks before them, thrown away (default 3)")
    parser.add_argument("--sessions", type=_numbers, metavar="N,…", help="that click at once (default 1,2,4,8)")
    parser.add_argument("--image", dest="photograph", type=parse_size, metavar="HxW", help="default 1080x1920")
    parser.add_argument("--quick", action="store_true", help="few clicks, one or two sessions, HRNet-18 alone")
    parser.add_argument(
        "--compile", action="store_true", default=None, help="torch.compile too: a minute or more a backbone"
    )
    parser.add_argument("--device", help="auto (default: a CUDA GPU where one is), cpu or cuda:0")
    parser.add_argument(
        "--peer",
        dest="peers",
        action="append",
        default=[],
        metavar="PACKAGE:MODEL=FILE",
        help="another click model with your weights, e.g. segment_anything:vit_b=sam_vit_b_01ec64.pth; repeat",
    )
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--output", type=Path, metavar="FILE.json", help="default: DATE_DEVICE_latency.json")
    files.add_argument("--resume", type=Path, metavar="FILE.json", help="go on with a record that is not finished")


def run(args: argparse.Namespace) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn

    from ..bench.machine import facts, gpu_facts, others_at_work
    from ..bench.timing import record, terminal
    from ..bench.timing.peers import parse_peer
    from ..bench.timing.run import LatencyRun
    from ..engine.terminal.console import Output, description

    _demand_torch()
    asked_peers = [parse_peer(text) for text in args.peers]
    checkpoints, weights = _checkpoints(args.checkpoints)
    asked = _asked(args, weights, asked_peers)
    if args.resume:
        path, found = args.resume, record.read(args.resume)
        device = found["settings"]["device"]
        record.check_resumable(path, found, {**facts(), "gpu": gpu_facts(device)}, asked)
    else:
        settings = _settings(args.quick, asked)
        path = args.output or _default_path(settings["device"])
        found = record.new_record({**facts(), "gpu": gpu_facts(settings["device"])}, settings)
        record.prepare(path, found)
    output = Output()
    if busy := others_at_work():
        output.say(busy)
    columns = description(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with output.progress(*columns) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        try:
            LatencyRun(found, lambda: record.save(path, found), checkpoints, asked_peers, told).run()
        except KeyboardInterrupt:
            if path.is_file():
                output.say(f"{path} has what was measured; go on with: mfp bench --resume {path}")
            raise
    for table in terminal.tables(found):
        output.print(table)
    for remark in terminal.remarks(found):
        output.say(remark)
    output.say(f"wrote {path}")
    if found["failed"]:
        raise MfpError(
            f"{len(found['failed'])} of its runs failed, as told above; the others are kept in {path}. Go on with: "
            f"mfp bench --resume {path}, or measure without those that fail: --runtime NAME"
        )
    return 0


def _asked(args: argparse.Namespace, weights: dict[str, str], peers: Sequence[Peer]) -> dict[str, Any]:
    """The settings given on the command line, checked against the allowed values.

    Raises:
        OptionError: a setting has no allowed value.
    """
    from ..export.models import spec

    asked = {
        key: getattr(args, key)
        for key in ("backbones", "runtimes", "clicks", "warmup", "sessions", "photograph", "compile", "device")
        if getattr(args, key) is not None
    }
    for backbone in asked.get("backbones", ()):
        spec(backbone)  # raises if no backbone has that name
    for key, least in (("clicks", 1), ("warmup", 0)):
        if asked.get(key, least) < least:
            raise OptionError(f"expected --{key} from {least}, got {asked[key]}")
    if "photograph" in asked:
        if isinstance(asked["photograph"], int):
            raise OptionError(f"expected --image HxW, for example 1080x1920, got {asked['photograph']}")
        asked["photograph"] = list(asked["photograph"])
    if "device" in asked:
        asked["device"] = _device(asked["device"])
    return {**asked, "checkpoints": weights, "peers": [peer.name for peer in peers]}


def _settings(quick: bool, asked: dict[str, Any]) -> dict[str, Any]:
    from ..bench.timing.cases import chosen_runs
    from ..bench.timing.networks import SEED
    from ..export.models import backbone_names

    settings = {
        "backbones": list(backbone_names()), "runtimes": None, "compile": False, "flip": True, "seed": SEED,
        **(QUICK if quick else FULL), **asked,
    }  # fmt: skip
    settings.setdefault("device", _device("auto"))
    settings["backbones"] = list(dict.fromkeys(settings["backbones"]))
    chosen_runs(settings["device"], settings["runtimes"])  # raises if a runtime is unknown
    return settings


def _device(name: str) -> str:
    """The device's full name, ``"cpu"`` or ``"cuda:N"``.

    Raises:
        OptionError: no device has this name.
        RuntimeMissingError: the device is not available.
    """
    from ..engine.devices import choose_device, cuda_driver

    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise OptionError(f'unknown device {name!r}; expected "auto", "cpu" or "cuda:0"')
    return choose_device(name, *cuda_driver())[0]


def _checkpoints(paths: Sequence[Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """The checkpoint file of each backbone, and the name of the weights in it."""
    from ..export.checkpoint import load

    files: dict[str, Path] = {}
    weights: dict[str, str] = {}
    for given in paths:
        path = find(given, ".pth")
        module = load(path)
        name = module.spec.name
        if name in files:
            raise OptionError(f"{files[name]} and {path} both hold {name}; name one checkpoint a backbone")
        files[name], weights[name] = path, module.weights
    return files, weights


def _default_path(device: str) -> Path:
    folder = RESULTS if RESULTS.is_dir() else Path()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d_%H%M")
    return folder / f"{now}_{device.partition(':')[0]}_latency.json"


def _demand_torch() -> None:
    from importlib.util import find_spec

    from ..engine.requirements import INSTALL

    if find_spec("torch") is None:
        raise RuntimeMissingError(
            "mfp bench builds its networks in PyTorch and times the authors' way in it, and it is not installed; "
            f"install it with: {INSTALL['torch']}"
        )


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"expected numbers of sessions from 1, for example 1,2,4, got {text!r}")
    return numbers
