"""Train a network, or fine-tune one on your own photographs.

    mfp train --backbone lite0 --data FOLDER --output lite0.pth
    mfp train --data FOLDER --init hrnet18_mfp.pth --output mine.pth --minutes 60 --device cuda

FOLDER holds images/NAME.jpg and labels/NAME.png or NAME#0.png, NAME#1.png, …. A label file has for each pixel the
number of its object, 0 for none. The part of NAME before its first "_" names its set; --weight SET=W draws a set more
often. One photograph in twenty is held out and clicked on during training. After Ctrl-C or a crash, --resume continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..engine.errors import OptionError, RuntimeMissingError
from ..export.models import backbone_names

FINE_TUNING, FRESH = 1e-4, 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", choices=backbone_names(), help="may be left out with --init")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="photographs and label maps")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.pth", help="the checkpoint to write")
    parser.add_argument("--init", type=Path, metavar="FILE.pth", help="a checkpoint to start from")
    parser.add_argument(
        "--encoder", type=Path, metavar="FILE.pth", help="ImageNet weights of lite0; default: the installed package's"
    )
    long = parser.add_mutually_exclusive_group()
    long.add_argument("--minutes", type=float, help="how long to train; the schedule ends with it (default 30)")
    long.add_argument("--steps", type=int, help="the same in steps: repeatable, whatever the machine's speed")
    parser.add_argument("--batch", type=int, help="objects a pass at 256×256 (default: 8, on a GPU 128)")
    parser.add_argument("--size", type=int, help="height and width to end with (default: the backbone's)")
    parser.add_argument(
        "--learning-rate", type=float, metavar="R", help=f"default {FRESH:g}, with --init {FINE_TUNING:g}"
    )
    parser.add_argument(
        "--weight", type=_weight, action="append", default=[], metavar="SET=W", help="of a set; default 1 each"
    )
    parser.add_argument("--validate", type=int, default=64, metavar="N", help="held-out objects (default 64)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda:0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the last save, if there is one")


def run(args: argparse.Namespace) -> int:
    import signal

    try:
        import torch
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            "training needs torch, which is not installed; install it with: pip install torch"
        ) from None

    from ..engine.terminal.console import Output
    from ..training.loop import train
    from ..training.options import Options

    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise OptionError(f"device: expected auto, cpu or a CUDA device that PyTorch can use; got {device!r}")
    options = Options(
        backbone=args.backbone,
        data=args.data,
        output=args.output,
        init=args.init,
        encoder=args.encoder,
        minutes=None if args.steps else args.minutes or 30.0,
        steps=args.steps,
        batch=args.batch or (8 if device == "cpu" else 128),
        size=args.size,
        rate=args.learning_rate or (FINE_TUNING if args.init else FRESH),
        weights=dict(args.weight),
        validate=args.validate,
        device=device,
        seed=args.seed,
        resume=args.resume,
    )
    output = Output()
    # SIGTERM saves as well, for machines that are taken away, and SIGINT in a shell's background, which ignores Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    train(options, lambda line: output.say(_text(line)))
    output.say(f"wrote {args.output}")
    return 0


def _text(line: dict[str, Any]) -> str:
    """One line of the log, as text for the terminal."""
    step = f"step {line['step']:>6}"
    if "settings" in line:
        return f"{step}  {line['settings']['device']}, batch {line['settings']['batch']}, {line['settings']['layout']}"
    if "validation" in line:
        scores = ", ".join(f"{clicks}: {score:.3f}" for clicks, score in line["validation"].items())
        return f"{step}  {line['elapsed']:6.0f} s  held-out IoU by clicks  {scores}"
    scores = " ".join(f"{score:.2f}" for score in line["iou"].values())
    return (
        f"{step}  {line['elapsed']:6.0f} s  {line['progress']:4.0%}  {line['size']}×{line['size']}  "
        f"loss {line['loss']:.3f}  {line['samples_per_second']:.0f} passes/s  IoU by clicks {scores}"
    )


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected SET=W, for example bsds=2, got {text!r}") from None
