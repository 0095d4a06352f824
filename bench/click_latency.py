"""Time clicks on a 1920×1080 photograph: all runtimes of the CPU next to PyTorch, interleaved in one run.

Per backbone, with seeded weights (times do not depend on the values): every runtime gets the same session and the
same clicks in turn, so that noise of the machine meets all. A runtime that is missing here is left out, with a line.
Results go to a table and, with --output, to JSON with all samples.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..engine.errors import RuntimeMissingError
from ..engine.network import Network, load_network
from ..engine.sample import sample_photograph
from ..engine.session import Session
from ..export.models import backbone_names
from ..export.onnx_export import export_module
from ..export.seeded import seeded
from .machine import facts

WIDTH, HEIGHT = 1920, 1080
SEED = 0


class Run(NamedTuple):
    """A runtime in a precision, under the name that the results have for it."""

    name: str
    runtime: str
    precision: str


REFERENCE = "torch"  # whose times the ratios are of
RUNS = (
    Run("onnxruntime", "onnxruntime", "fp32"),
    Run("openvino", "openvino", "fp32"),
    Run("openvino bf16", "openvino", "bf16"),
    Run(REFERENCE, "torch", "fp32"),
)
COMPILED = Run("torch-compile", "torch-compile", "fp32")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=backbone_names(), action="append", help="repeat; default: all")
    parser.add_argument("--clicks", type=int, default=10, help="later clicks timed per runtime (default 10)")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which compiles for minutes")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write facts of the machine and all samples")
    args = parser.parse_args(argv)

    from rich.console import Console
    from rich.markup import escape

    console = Console()
    results, left_out = {}, {}
    for backbone in args.backbone or backbone_names():
        with console.status(f"{backbone}: exporting and timing …"):
            runs = (*RUNS, COMPILED) if args.compile else RUNS
            results[backbone], missing = measure(backbone, args.clicks, runs)
            left_out.update(missing)
    ceiling = matrix_product_gflops()
    record = {
        "photograph": [HEIGHT, WIDTH],
        "flip": True,
        "machine": facts(),
        "matrix_product_gflops": ceiling,
        "left_out": left_out,
        "results": results,
    }
    machine: Any = record["machine"]
    console.print(_table(results))
    for name, why in left_out.items():
        console.print(f"left out: {name}: {escape(why)}", soft_wrap=True)
    console.print(f"large float32 matrix product: {ceiling:.0f} GFLOP/s")
    processor = ", ".join([machine["processor"], f"{machine['cores']} cores", *machine["half_precision"]])
    console.print(f"{processor}, {machine['versions']}", soft_wrap=True)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return 0


def measure(backbone: str, clicks: int, runs: tuple[Run, ...] = RUNS) -> tuple[dict[str, Any], dict[str, str]]:
    """Milliseconds per stage of the first and of ``clicks`` later clicks, for each run by its name; why some are not.

    Raises:
        MfpError: the export failed, or a runtime that is here did.
    """
    module = seeded(backbone, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        report = export_module(module, Path(folder) / f"{backbone}.onnx")
        photograph = cv2.resize(sample_photograph(), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        networks: dict[str, Network] = {}
        missing = {}
        for run in runs:
            source = module if run.runtime.startswith("torch") else report.path
            try:
                network = load_network(source, run.runtime, "cpu", precision=run.precision)
                Session(network, photograph, size=module.spec.size).click(WIDTH / 2, HEIGHT / 2)  # warm-up
            except RuntimeMissingError as error:
                missing[run.name] = str(error)
            else:
                networks[run.name] = network
        sessions = {name: Session(network, photograph, size=module.spec.size) for name, network in networks.items()}
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
        rng = np.random.default_rng(SEED)
        for number in range(clicks + 1):
            x, y, positive = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), number % 3 != 2
            for name, session in sessions.items():
                session.click(x, y, positive)
                assert session.timing is not None
                samples[name].append({**asdict(session.timing), "total": session.timing.total})
    return {name: {"first": rows[0], "later": rows[1:]} for name, rows in samples.items()}, missing


def matrix_product_gflops(side: int = 2048, repeats: int = 20) -> float:
    """The processor's ceiling in practice: median speed of a large float32 matrix product, in GFLOP/s."""
    import torch

    a, b = torch.rand(side, side), torch.rand(side, side)
    torch.mm(a, b)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / float(np.median(seconds)) / 1e9


def summary(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By run: the first click, the median later one, how many times PyTorch's that is, and the array work, in ms."""

    def median(name: str, stage: str) -> float:
        return float(np.median([row[stage] for row in result[name]["later"]]))

    found = {}
    for name, samples in result.items():
        outside = [row["total"] - row["network"] for row in samples["later"]]
        found[name] = {
            "first": samples["first"]["total"],
            "later": median(name, "total"),
            "ratio": median(REFERENCE, "total") / median(name, "total"),
            "outside": float(np.median(outside)),
            "outside_max": max(outside),
        }
    return found


def _table(results: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"a click on {WIDTH}×{HEIGHT}, flip on, medians in ms; PyTorch takes × as long")
    for name in ("backbone", "runtime", "first click", "later click", "×", "array work", "array work, worst"):
        table.add_column(name, justify="left" if name in ("backbone", "runtime") else "right")
    for backbone, result in results.items():
        for name, s in summary(result).items():
            table.add_row(
                backbone,
                name,
                *(f"{s[key]:.0f}" for key in ("first", "later")),
                f"{s['ratio']:.2f}",
                f"{s['outside']:.1f}",
                f"{s['outside_max']:.1f}",
            )
        table.add_section()
    return table
