"""Show the contents and contract of a network file: tensors, metadata, operators, size."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from itertools import islice
from pathlib import Path

from ..engine.contract import PREFIX, graph_tensors
from ..engine.errors import NetworkError
from ..engine.packaged import find

MAX_ROWS = 200  # rows of a plan's metadata: more than any builder writes, fewer than a hostile file could hold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help=".onnx or .plan file, or lite0")


def run(args: argparse.Namespace) -> int:
    path = find(args.network)
    if not path.is_file():
        raise NetworkError(
            f"expected a network file, got a folder: {path}" if path.is_dir() else f"no such file: {path}"
        )
    if path.suffix.lower() not in (".onnx", ".plan"):
        raise NetworkError(
            f"{path}: expected an .onnx or .plan file. Export a checkpoint first: mfp export --checkpoint FILE.pth"
        )
    return _show_plan(path) if path.suffix.lower() == ".plan" else _show_onnx(path)


def _show_plan(path: Path) -> int:
    from rich.table import Table

    from ..engine.plans.plan_file import MAX_SHOWN, describe, plan_offset, read_plan
    from ..engine.terminal.console import Output

    metadata, plan = read_plan(path)
    offset = plan_offset(path)
    facts = Table(title=str(path), show_header=False)
    facts.add_row("file", f"{path.stat().st_size / 1e6:.1f} MB, undamaged")
    facts.add_row("bare TensorRT plan", f"{len(plan)} bytes, from byte {offset}: tail -c +{offset + 1} FILE")
    for name, text in islice(describe(metadata, MAX_SHOWN).items(), MAX_ROWS):
        facts.add_row(name, text)
    Output().print(facts)
    return 0


def _show_onnx(path: Path) -> int:
    from rich.table import Table

    from ..engine.onnx_file import read_onnx
    from ..engine.plans.plan_file import MAX_SHOWN, printable
    from ..engine.terminal.console import Output

    model, info = read_onnx(path)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    tensors_of = graph_tensors([*model.graph.input, *model.graph.output])
    weights = {tensor.name for tensor in model.graph.initializer}

    facts = Table(title=str(path), show_header=False)
    facts.add_row(
        "file",
        f"{path.stat().st_size / 1e6:.1f} MB, opset {opset}, ir {model.ir_version}",
    )
    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    facts.add_row("parameters", f"{parameters / 1e6:.2f} M")
    facts.add_row("size", "any" if info.size is None else "{}×{}".format(*info.size))
    for item in model.metadata_props:
        if item.key != PREFIX + "size":  # the size from the graph is in the row above
            facts.add_row(item.key.removeprefix(PREFIX), printable(item.value, MAX_SHOWN))
    tensors = Table("tensor", "shape", title="contract (all float32)")
    for name, tensor in tensors_of.items():
        if name not in weights:
            tensors.add_row(name, " × ".join(str(side) for side in tensor.shape))
    operators = Table("operator", "nodes", title="operators")
    for operator, count in Counter(node.op_type for node in model.graph.node).most_common():
        operators.add_row(operator, str(count))
    output = Output()
    for table in (facts, tensors, operators):
        output.print(table)
    return 0
