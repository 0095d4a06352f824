"""Show what a network file contains and promises: tensors, metadata, operators, size."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path

from ..contract import MAX_TEXT, PREFIX, check_signature, graph_tensors
from ..errors import NetworkError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help=".onnx file")


def run(args: argparse.Namespace) -> int:
    import onnx
    from google.protobuf.message import DecodeError
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    path: Path = args.network
    if not path.is_file():
        raise NetworkError(
            f"expected a network file, got a folder: {path}" if path.is_dir() else f"no such file: {path}"
        )
    if path.suffix.lower() != ".onnx":
        raise NetworkError(
            f"{path}: expected an .onnx file. Export a checkpoint first: mfp export --checkpoint FILE.pth"
        )
    try:
        model = onnx.load(path, load_external_data=False)
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    except (DecodeError, OSError, StopIteration, TypeError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path} is no ONNX file ({error}). Export one with: mfp export") from None

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = graph_tensors(value for value in model.graph.input if value.name not in weights)
    outputs = graph_tensors(model.graph.output)
    size = check_signature(path.name, inputs, outputs)

    facts = Table(title=escape(str(path)), show_header=False)
    facts.add_row(
        "file",
        f"{path.stat().st_size / 1e6:.1f} MB, opset {opset}, ir {model.ir_version}",
    )
    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    facts.add_row("parameters", f"{parameters / 1e6:.2f} M")
    facts.add_row("size", "any" if size is None else f"{size[0]}×{size[1]}")
    for item in model.metadata_props:
        if item.key != PREFIX + "size":  # the graph's own stands above
            facts.add_row(escape(item.key.removeprefix(PREFIX)), escape(item.value[:MAX_TEXT]))
    tensors = Table("tensor", "shape", title="contract (all float32)")
    for name, tensor in {**inputs, **outputs}.items():
        tensors.add_row(escape(name), escape(" × ".join(str(side) for side in tensor.shape)))
    operators = Table("operator", "nodes", title="operators")
    for operator, count in Counter(node.op_type for node in model.graph.node).most_common():
        operators.add_row(escape(operator), str(count))
    console = Console()
    for table in (facts, tensors, operators):
        console.print(table)
    return 0
