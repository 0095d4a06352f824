"""Time clicks on a 1920×1080 photograph: ONNX Runtime next to PyTorch, interleaved in one run.

Per backbone, with seeded weights (times do not depend on the values): both runtimes get the same session and the
same clicks in turn, so that noise of the machine meets both. Results go to a table and, with --output, to JSON with
all samples.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..engine.network import load_network
from ..engine.sample import sample_photograph
from ..engine.session import Session
from ..export.models import backbone_names
from ..export.onnx_export import export_module
from ..export.seeded import seeded
from .machine import facts

WIDTH, HEIGHT = 1920, 1080
SEED = 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=backbone_names(), action="append", help="repeat; default: all")
    parser.add_argument("--clicks", type=int, default=10, help="later clicks timed per runtime (default 10)")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write facts of the machine and all samples")
    args = parser.parse_args(argv)

    from rich.console import Console

    console = Console()
    results = {}
    for backbone in args.backbone or backbone_names():
        with console.status(f"{backbone}: exporting and timing …"):
            results[backbone] = measure(backbone, args.clicks)
    ceiling = matrix_product_gflops()
    record = {
        "photograph": [HEIGHT, WIDTH],
        "flip": True,
        "machine": facts(),
        "matrix_product_gflops": ceiling,
        "results": results,
    }
    machine: Any = record["machine"]
    console.print(_table(results))
    console.print(f"large float32 matrix product: {ceiling:.0f} GFLOP/s")
    console.print(f"{machine['processor']}, {machine['cores']} cores, {machine['versions']}", soft_wrap=True)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return 0


def measure(backbone: str, clicks: int) -> dict[str, Any]:
    """Milliseconds per stage of the first and of ``clicks`` later clicks, for each runtime."""
    module = seeded(backbone, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        report = export_module(module, Path(folder) / f"{backbone}.onnx")
        networks = {"torch": load_network(module, device="cpu"), "onnxruntime": load_network(report.path, device="cpu")}
        photograph = cv2.resize(sample_photograph(), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for network in networks.values():  # warm-up
            Session(network, photograph, size=module.spec.size).click(WIDTH / 2, HEIGHT / 2)
        sessions = {name: Session(network, photograph, size=module.spec.size) for name, network in networks.items()}
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
        rng = np.random.default_rng(SEED)
        for number in range(clicks + 1):
            x, y, positive = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), number % 3 != 2
            for name, session in sessions.items():
                session.click(x, y, positive)
                assert session.timing is not None
                samples[name].append({**asdict(session.timing), "total": session.timing.total})
    return {name: {"first": rows[0], "later": rows[1:]} for name, rows in samples.items()}


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


def summary(result: dict[str, Any]) -> dict[str, float]:
    """Medians over the later clicks, in milliseconds, and the ratio of the two runtimes."""

    def median(runtime: str, stage: str) -> float:
        return float(np.median([row[stage] for row in result[runtime]["later"]]))

    rows = result["onnxruntime"]["later"]
    outside = [row["total"] - row["network"] for row in rows]
    return {
        "first": result["onnxruntime"]["first"]["total"],
        "later": median("onnxruntime", "total"),
        "later_torch": median("torch", "total"),
        "ratio": median("torch", "total") / median("onnxruntime", "total"),
        "outside": float(np.median(outside)),
        "outside_max": max(outside),
    }


def _table(results: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"a click on {WIDTH}×{HEIGHT}, flip on, medians in ms")
    for name in ("backbone", "first click", "later click", "PyTorch", "ratio", "array work", "array work, worst"):
        table.add_column(name, justify="left" if name == "backbone" else "right")
    for backbone, result in results.items():
        s = summary(result)
        table.add_row(
            backbone,
            *(f"{s[key]:.0f}" for key in ("first", "later", "later_torch")),
            f"{s['ratio']:.2f}",
            f"{s['outside']:.1f}",
            f"{s['outside_max']:.1f}",
        )
    return table
