"""Build a TensorRT plan from an ONNX file, and describe it.

    mfp build hrnet18_fp16.onnx                                     # -> hrnet18_fp16.plan
    mfp build hrnet18_fp16.onnx --flavour tensorrt-rtx --compute-capability 8.6 8.9
    mfp build any_size_fp16.onnx --sizes 64x64 320x480 640x640      # smallest, usual, largest

The plan has the precision of its file; mfp convert makes FP16 files. TensorRT builds for the GPU it runs on; TensorRT
for RTX builds without a GPU. `mfp segment --network FILE.onnx --runtime tensorrt` builds by itself and keeps the plan.
"""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.contract import PRECISIONS, Size
from ..engine.packaged import DEFAULT, FOLDER
from ..engine.plans.flavour import MODULES
from ..engine.terminal.arguments import parse_size

if TYPE_CHECKING:
    from ..engine.terminal.console import Output

REDRAW = 0.1  # seconds between two drawings of the progress bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help=f".onnx file, or {DEFAULT}")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.plan", help="default: NETWORK.plan beside it; of a packaged network here"
    )
    parser.add_argument("--flavour", choices=["auto", *MODULES], default="auto", help="default: what is installed")
    parser.add_argument("--precision", choices=PRECISIONS, help="refuse a file of another one")
    parser.add_argument(
        "--batches", type=int, nargs=3, default=[1, 2, 2], metavar="N", help="smallest, usual, largest (default 1 2 2)"
    )
    parser.add_argument(
        "--sizes", type=_size, nargs=3, metavar="HxW", help="smallest, usual, largest; for files of any size"
    )
    parser.add_argument("--workspace", type=int, metavar="MIB", help="GPU memory the builder may use; default: all")
    parser.add_argument("--level", type=int, help="optimisation level, 0 (fast build) to 5 (fast engine); default 3")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="timings of earlier builds, read and written")
    parser.add_argument(
        "--version-compatible", action="store_true", help="also for later versions of the same major version"
    )
    parser.add_argument("--hardware-compatible", action="store_true", help="also for other GPUs, Ampere and later")
    parser.add_argument(
        "--compute-capability",
        nargs="+",
        default=[],
        metavar="X.Y",
        help="what TensorRT for RTX builds for; default: all from 8.0 on",
    )
    parser.add_argument("--gpu", type=int, default=0, metavar="N", help="which GPU to build on (default 0)")


def run(args: argparse.Namespace) -> int:
    from ..engine.plans.builder import build_plan
    from ..engine.plans.options import BuildOptions
    from ..engine.terminal.console import Output

    options = BuildOptions(
        batches=tuple(args.batches),
        sizes=None if args.sizes is None else tuple(args.sizes),
        workspace=args.workspace,
        level=args.level,
        version_compatible=args.version_compatible,
        hardware_compatible=args.hardware_compatible,
        compute_capabilities=tuple(args.compute_capability),
    )
    output = Output()
    with build_progress(output) as progress:
        report = build_plan(
            args.network,
            args.output,
            flavour=args.flavour,
            precision=args.precision,
            options=options,
            timing_cache=args.timing_cache,
            device=args.gpu,
            progress=progress,
        )
    for line in describe(report):
        output.say(line)
    return 0


def describe(report: Any) -> list[str]:
    """A build's report as readable lines."""
    facts, share = report.metadata, report.share
    activations = facts["activation_bytes"]
    source = Path(facts["source"])
    hint = f"  for an engine in half precision, convert the file first: mfp convert {shlex.quote(str(source))}"
    if source.parent == FOLDER:
        hint = f"  for an engine in half precision: mfp build {source.stem} --precision fp16"
    return [
        f"  {facts['flavour']} {facts['flavour_version']}, {facts['built_for']}, built in {facts['build_seconds']} s",
        f"  {share.half} of {share.total} convolutions and matrix products in half precision ({share.source})",
        f"  {facts['plan_bytes'] / 1e6:.1f} MB; its weights in FP32 would be {facts['fp32_weights_bytes'] / 1e6:.1f} MB"
        + ("" if activations is None else f"; {activations / 1e6:.0f} MB of GPU memory for activations"),
        *([hint] if facts["precision"] == "fp32" else []),
        f"wrote {report.path}: {facts['backbone']} {facts['precision']}",
    ]


def build_progress(output: Output) -> Any:
    """A context manager; its value is a callback that takes TensorRT's phases and draws a progress bar."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, TimeElapsedColumn

    from ..engine.terminal.console import description

    @contextmanager
    def bar() -> Any:
        columns = BarColumn(), description(), TimeElapsedColumn()
        with output.progress(*columns, auto_refresh=False) as progress:
            task = progress.add_task("parsing", total=None)
            top, drawn = "", 0.0

            def tell(phase: str, done: int, total: int) -> None:
                nonlocal top, drawn
                top = top or phase  # phases are nested; the first one lasts until the end
                now = time.monotonic()
                due = now - drawn >= REDRAW  # no redrawing thread: the builder blocks other Python threads
                drawn = now if due else drawn
                if phase == top:
                    progress.update(task, completed=done, total=total)
                progress.update(task, description=phase, refresh=due)

            yield tell

    return bar()


def _size(text: str) -> Size:
    size = parse_size(text)
    return (size, size) if isinstance(size, int) else size
