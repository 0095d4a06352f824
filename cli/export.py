"""Write a network as an ONNX file, and check that it computes the same as PyTorch.

    mfp export --backbone hrnet18 --checkpoint hrnet18_mfp.pth
    mfp export --checkpoint vit_b_mfp.pth --size 672x672 --output vit_b_672.onnx

Without --checkpoint the weights are seeded and untrained, which is enough for first tests and for timing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from ..engine.contract import PRECISIONS, Size
from ..engine.terminal.arguments import parse_size
from ..export.models import backbone_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", choices=backbone_names(), help="may be left out with --checkpoint")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE.pth", help="the authors' file; opened without running code"
    )
    parser.add_argument("--size", type=_size, metavar="HxW|dynamic", help="default: the backbone's published size")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of convolutions and matrix products; fp16 is for TensorRT (default fp32)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.onnx", help="default: BACKBONE.onnx")
    parser.add_argument("--opset", type=int, default=17, help="ONNX operator set, 17 to 20 (default 17)")
    parser.add_argument(
        "--stage", type=int, default=-1, help="which click stage of a checkpoint that holds several (default: the last)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of untrained weights (default 0)")


def run(args: argparse.Namespace) -> int:
    from ..engine.terminal.console import Output
    from ..export.convert import describe
    from ..export.onnx_export import export_onnx

    output = Output()
    with output.status("") as status:
        report = export_onnx(
            args.backbone,
            args.checkpoint,
            size=args.size,
            precision=args.precision,
            output=args.output,
            opset=args.opset,
            stage=args.stage,
            seed=args.seed,
            progress=lambda step: status.update(f"{step} …"),
        )
    if not report.info.trained:
        output.say(
            (" UNTRAINED WEIGHTS ", "bold white on red"),
            f" {report.info.weights}: masks of this network mean nothing. "
            "Pass the authors' file with --checkpoint for real ones.",
        )
    for name, difference in report.differences.items():
        output.say(f"  against PyTorch, {name}: {difference:.1e} of the logits' standard deviation")
    for line in describe(report.conversion) if report.conversion else ():
        output.say(f"  {line}")
    megabytes = report.path.stat().st_size / 1e6
    size = "any size" if report.info.size is None else "{}×{}".format(*report.info.size)
    facts = f"{report.info.backbone}, {size}, {report.info.precision}, {megabytes:.1f} MB"
    output.say(f"wrote {report.path}: {facts}")
    return 0


def _size(text: str) -> Size | Literal["dynamic"]:
    if text == "dynamic":
        return "dynamic"
    size = parse_size(text)
    if isinstance(size, int):
        raise argparse.ArgumentTypeError(f'expected HxW or "dynamic", for example 320x480, got {text!r}')
    return size
