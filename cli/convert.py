"""Write an FP32 ONNX network in half precision, and measure its difference from FP32.

    mfp convert hrnet18.onnx                              # -> hrnet18_fp16.onnx, for TensorRT
    mfp convert hrnet18.onnx --images my_photographs/     # checks the range on photographs like yours

Convolutions and matrix products become half. Normalisations, softmax and reductions stay FP32, and so does everything
that the range check finds too large (or too small) for FP16; the list is printed. Inputs and outputs stay float32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..engine.contract import PRECISIONS
from ..engine.errors import ImageError
from ..engine.packaged import DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help=f"FP32 .onnx file, or {DEFAULT}")
    parser.add_argument("--precision", choices=PRECISIONS[1:], default="fp16", help="default: fp16")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.onnx",
        help="default: NETWORK_fp16.onnx beside it; of a packaged network here",
    )
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="photographs, or folders of them, for the range check, besides the packaged one",
    )


def run(args: argparse.Namespace) -> int:
    from ..engine.image_folders import image_files, readable_images
    from ..engine.terminal.console import Output
    from ..export.convert import convert_onnx, describe

    output = Output()
    files = image_files(args.images)

    def skip(file: Path, why: ImageError) -> None:
        output.say(("skipped:", "yellow"), f" {why}")

    with output.status("") as status:
        report = convert_onnx(
            args.network,
            args.output,
            precision=args.precision,
            photographs=(image for _, image in readable_images(files, None, skip)) if files else (),
            progress=lambda step: status.update(f"{step} …"),
        )
    for line in describe(report):
        output.say(f"  {line}")
    output.say(f"wrote {report.path}: {report.path.stat().st_size / 1e6:.1f} MB")
    return 0
