"""Converter from an FP32 ONNX file to half precision; the result is checked against the FP32 file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ..engine.contract import DEFAULT_LONGER_SIDE, MATRIX_OPERATORS, PREFIX, NetworkInfo
from ..engine.errors import ExportError, OptionError
from ..engine.network import load_network
from ..engine.packaged import default_output, find
from ..engine.sample import sample_photograph
from .agreement import Progress, compare, demand, silent, worst
from .graph import finished
from .half import ELEMENT_TYPES, half_nodes, prepared, to_half
from .ranges import MARGIN, RangeReport, check_ranges

BF16_OPSET = 22  # first opset in which convolution and pooling are defined for bfloat16
NO_BF16 = "ConvTranspose"  # TensorRT for RTX 1.7 cannot infer the type of this operator in bfloat16


@dataclass(frozen=True)
class ConversionReport:
    """The written file, and its agreement with the FP32 file.

    Attributes:
        path: path of the file.
        info: metadata of the file.
        kept: node that could be half but stays FP32 → reason.
        ranges: result of the range check; None for BF16, whose range is that of FP32.
        matrix_nodes, half_matrix_nodes: number of convolutions and matrix products, and of those in half precision.
        differences: largest difference to the FP32 file on each input, in standard deviations of the logits.
    """

    path: Path
    info: NetworkInfo
    kept: dict[str, str]
    ranges: RangeReport | None
    matrix_nodes: int
    half_matrix_nodes: int
    differences: dict[str, float]

    @property
    def worst(self) -> float:
        return worst(self.differences)


def convert_onnx(
    source: str | Path,
    output: str | Path | None = None,
    *,
    precision: str = "fp16",
    photographs: Iterable[NDArray[np.uint8]] = (),
    progress: Progress = silent,
) -> ConversionReport:
    """Write an FP32 network in half precision; inputs and outputs stay float32.

    Args:
        source: ``.onnx`` file in FP32, or the name of a packaged network.
        output: path of the new file; None: ``SOURCE_fp16.onnx`` beside the source, or in the current folder for a
            packaged network.
        precision: ``"fp16"`` or ``"bf16"``.
        photographs: H×W×3 uint8 RGB images for the range check, in addition to the packaged one; best similar to
            those that the network will see.
        progress: callback that receives a description of each step as it begins.

    Raises:
        NetworkError: the source is no MFP network.
        OptionError: the precision is unknown, or the output cannot be written.
        ExportError: the source is not FP32, or the result is too far from it. No file is left then.
    """
    source = find(source)
    path = Path(output) if output is not None else default_output(source, f"{source.stem}_{precision}.onnx")
    if precision not in list(ELEMENT_TYPES):
        raise OptionError(f"expected a precision of {' or '.join(ELEMENT_TYPES)} to convert to, got {precision!r}")
    check_output(path)
    if path.resolve() == source.resolve():
        raise OptionError(f"expected another name for the converted file than its source's, got {path}")
    progress("loading")
    reference = load_network(source, runtime="onnxruntime", device="cpu")
    model = prepared(onnx.load(source))
    ranges: RangeReport | None = None
    if precision == "bf16":
        reason = "TensorRT has no transposed convolution in bf16"
        kept = {node.name: reason for node in model.graph.node if node.op_type == NO_BF16}
    else:
        ranges = check_ranges(model, reference.info, chain([sample_photograph()], photographs), progress)
        kept = ranges.kept
    progress("converting")
    matrix = [node.name for node in model.graph.node if node.op_type in MATRIX_OPERATORS]
    half = half_nodes(model, kept).intersection(matrix)
    if not half:
        raise ExportError(
            f"{source}: none of its {len(matrix)} convolutions and matrix products can be {precision}; nothing was "
            "written. " + (f"The first: {next(iter(kept.values()))}" if kept else "Is this an MFP network?")
        )
    info = replace(reference.info, precision=precision)
    properties = {entry.key: entry.value for entry in model.metadata_props} | info.to_properties()
    properties[PREFIX + "kept_fp32"] = json.dumps(kept)
    if ranges:
        properties[PREFIX + "headroom"] = f"{ranges.headroom:.1f}"
    converted = to_half(_of_opset(model, BF16_OPSET) if precision == "bf16" else model, precision, kept)
    converted = finished(converted, properties)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mfp-convert-") as folder:
            draft = Path(folder) / path.name
            onnx.save(converted, draft)
            progress("comparing with FP32")
            size = info.size or (DEFAULT_LONGER_SIDE * 3 // 4, DEFAULT_LONGER_SIDE)
            differences = compare(load_network(draft, runtime="onnxruntime", device="cpu"), reference, (size,))
            demand(info, differences, "its FP32 source")
            os.replace(draft, path)
    except OSError as error:
        raise OptionError(f"cannot write {path}: {error.strerror}; expected a folder with room for it") from error
    return ConversionReport(path, info, kept, ranges, len(matrix), len(half), differences)


def describe(report: ConversionReport) -> Iterable[str]:
    """The report as readable lines."""
    share = report.half_matrix_nodes / report.matrix_nodes
    yield (
        f"{report.info.precision}: {report.half_matrix_nodes} of {report.matrix_nodes} convolutions and matrix "
        f"products ({share:.1%})"
    )
    if report.ranges:
        headroom = "no limit" if math.isinf(report.ranges.headroom) else f"a factor {report.ranges.headroom:.1f}"
        yield f"range check, {report.ranges.passes} passes: headroom {headroom} below 65,504 (at least {MARGIN:g})"
    if report.kept:
        yield f"kept in fp32: {len(report.kept)} nodes"
        yield from (f"  {node}: {reason}" for node, reason in report.kept.items())
    for name, difference in report.differences.items():
        yield f"against fp32, {name}: {difference:.1e} of the logits' standard deviation"


def check_output(path: Path) -> None:
    """Refuse a path that cannot be written, before the work begins.

    Raises:
        OptionError: the path does not end in ``.onnx``, is a folder, or its folder is missing or not writable.
    """
    if path.suffix.lower() != ".onnx":
        raise OptionError(f"expected an output ending in .onnx, got {path}")
    try:
        usable = not path.is_dir() and os.access(path.parent, os.W_OK)
    except (OSError, ValueError):  # the name is too long, or has characters that no file name may have
        usable = False
    if not usable:
        raise OptionError(f"cannot write {path}: expected a file's name in a folder that exists and is writable")


def _of_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    try:
        return prepared(onnx.version_converter.convert_version(model, version))
    except Exception as error:  # the converter's own C++ classes
        raise ExportError(f"ONNX cannot bring the graph to opset {version}, which bf16 needs: {error}") from error
