"""Range check: measures the magnitudes of a network's tensors and finds the nodes that FP16 cannot hold.

FP16 ends at 65,504 and loses digits below 6.1e-5. The FP32 network runs sessions on photographs, and extreme inputs.
A node stays FP32 if one of its inputs or outputs comes within a factor :data:`MARGIN` of either end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..engine.contract import DEFAULT_LONGER_SIDE, INPUT_CHANNELS, OUTPUT, NetworkInfo
from ..engine.errors import ExportError
from ..engine.network import F32, Network
from ..engine.requirements import one_line
from ..engine.session import Session
from ..kernels.clicks import Click
from ..kernels.reference import encode_clicks
from .agreement import Progress, silent
from .check_inputs import SEED, Inputs, photograph_inputs
from .half import data_inputs, float_tensors, half_nodes

LARGEST = 65504.0  # largest FP16 number
SMALLEST = 2.0**-14  # smallest normal FP16 number; digits are lost below it
MARGIN = 8.0  # photographs other than the checked ones may reach further
CLICKS = 4  # clicks per photograph


@dataclass(frozen=True)
class Range:
    """Range of one tensor over all inputs: the largest magnitude, and the largest root mean square of one input."""

    largest: float
    rms: float


@dataclass(frozen=True)
class RangeReport:
    """Result of the range check.

    Attributes:
        kept: node that stays FP32 → reason.
        headroom: 65,504 divided by the largest magnitude stored in half; at least :data:`MARGIN`, and infinite if
            nothing is stored in half.
        passes: number of network passes that were measured.
    """

    kept: dict[str, str]
    headroom: float
    passes: int


class RangeRecorder(Network):
    """The FP32 network on ONNX Runtime; it records the range of every float tensor over all its passes."""

    runtime, device = "onnxruntime", "cpu"

    def __init__(self, model: onnx.ModelProto, info: NetworkInfo) -> None:
        import onnxruntime as ort

        self.info = info
        self.passes = 0
        self.ranges: dict[str, Range] = {}
        produced = {name for node in model.graph.node for name in node.output}
        self._tensors = sorted(float_tensors(model) & produced)
        options = ort.SessionOptions()
        # Fused nodes have no tensors between them that could be measured.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_mem_pattern = False  # a pattern lays memory out twice, which costs more than the passes
        options.log_severity_level = 4  # its exceptions carry the same messages
        watched = _watched(model, self._tensors).SerializeToString()
        try:
            self._session = ort.InferenceSession(watched, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
            raise ExportError(f"the range check could not load the network: {one_line(error)}") from error

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        feeds = dict(zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True))
        try:
            logits, *found = self._session.run([OUTPUT, *_watches(self._tensors)], feeds)
        except Exception as error:  # unrelated classes again: refused size, out of memory, …
            raise ExportError(
                f"the range check could not run the network on {image.shape}: {one_line(error)}"
            ) from error
        self.passes += 1
        for name, largest, square in zip(self._tensors, found[::2], found[1::2], strict=True):
            if largest == -math.inf:  # the maximum of no numbers
                continue
            if not (math.isfinite(largest) and math.isfinite(square)):
                raise ExportError(
                    f"the FP32 network itself overflows: {name} holds numbers that are not finite. "
                    "Its weights are damaged; export it again from its checkpoint."
                )
            before = self.ranges.get(name, Range(0.0, 0.0))
            self.ranges[name] = Range(max(before.largest, float(largest)), max(before.rms, math.sqrt(square)))
        result: F32 = logits
        return result


def check_ranges(
    model: onnx.ModelProto, info: NetworkInfo, photographs: Iterable[NDArray[np.uint8]], progress: Progress = silent
) -> RangeReport:
    """Run the FP32 network and find the nodes that FP16 cannot hold.

    Args:
        model: FP32 model from :func:`mfp.export.half.prepared`.
        info: metadata of the file.
        photographs: H×W×3 uint8 RGB images; a session of :data:`CLICKS` clicks runs on each.
        progress: callback that receives a description of each step.

    Raises:
        ExportError: a tensor of the FP32 network is not finite.
    """
    recorder = RangeRecorder(model, info)
    for number, photograph in enumerate(photographs, 1):
        progress(f"range check, photograph {number}")
        session = Session(recorder, photograph, flip=False)
        rng = np.random.default_rng(SEED)
        for click in range(CLICKS):
            session.click(rng.uniform(0, session.width), rng.uniform(0, session.height), positive=click % 3 != 2)
    progress("range check, extreme inputs")
    for inputs in extreme_inputs(*(info.size or (DEFAULT_LONGER_SIDE, DEFAULT_LONGER_SIDE))):
        for one in zip(*inputs, strict=True):  # batch 1, as in the sessions: another shape takes other memory
            recorder(*(array[None] for array in one))

    weights = {tensor.name: _weight_range(tensor) for tensor in model.graph.initializer}
    candidates = half_nodes(model)
    kept = {
        node.name: reason
        for node in model.graph.node
        if node.name in candidates and (reason := _reason(node, recorder.ranges, weights))
    }
    half = half_nodes(model, kept)
    largest = max(
        (
            recorder.ranges[name].largest
            for node in model.graph.node
            if node.name in half
            for name in (*data_inputs(node), *node.output)
            if name in recorder.ranges
        ),
        default=0.0,
    )
    return RangeReport(kept, LARGEST / largest if largest else math.inf, recorder.passes)


def extreme_inputs(height: int, width: int) -> Iterator[Inputs]:
    """Extreme inputs that the contract allows, batch 2: float32 maps of size (height, width).

    They cover all-zero and all-one images and maps, saturated probabilities in fine patterns and in one sharp blob,
    no disks, disks everywhere and many disks.
    """
    rng = np.random.default_rng(SEED)

    def pair(first: F32 | float, second: F32 | float, channels: int) -> F32:
        maps = np.empty((2, channels, height, width), np.float32)
        maps[0], maps[1] = first, second
        return maps

    checkers = (np.indices((height, width)).sum(0) % 2).astype(np.float32)
    noise = rng.random((3, height, width), dtype=np.float32)
    many = encode_clicks(
        [Click(rng.uniform(0, width), rng.uniform(0, height), i % 2 == 0, i) for i in range(100)], height, width
    )
    image, prev, modulated, disks = photograph_inputs(height, width)
    saturated = (prev > 0.5).astype(np.float32)
    yield pair(0, 1, 3), pair(0, 1, 1), pair(0, 1, 1), pair(0, 1, 2)
    yield pair(1, 0, 3), pair(0, 1, 1), pair(1, 0, 1), pair(1, 0, 2)
    yield pair(noise, np.round(noise), 3), pair(checkers, 1 - checkers, 1), pair(1 - checkers, 1, 1), pair(many, 1, 2)
    yield image, saturated, (modulated > 0.5).astype(np.float32), disks
    yield image, pair(0, 1, 1), pair(0, 1, 1), pair(many, 0, 2)


def _reason(node: onnx.NodeProto, ranges: Mapping[str, Range], weights: Mapping[str, Range]) -> str | None:
    """The reason why FP16 cannot hold a node's inputs or outputs; None if it can."""
    for name in (*data_inputs(node), *node.output):
        found = ranges.get(name)
        if found is not None and found.largest >= LARGEST / MARGIN:
            return f"{name} reaches {found.largest:.3g}"
        if found is not None and 0 < found.rms <= SMALLEST * MARGIN:
            return f"{name} is as small as {found.rms:.1e} (root mean square)"
        stored = weights.get(name)  # exact, so no margin is needed
        if stored is not None and (stored.largest > LARGEST or 0 < stored.rms < SMALLEST):
            return f"its weights {name} reach {stored.largest:.1e}, {stored.rms:.1e} root mean square"
    return None


def _weight_range(tensor: onnx.TensorProto) -> Range:
    values = numpy_helper.to_array(tensor)
    if tensor.data_type != TensorProto.FLOAT or not values.size:
        return Range(0.0, 0.0)
    return Range(float(np.abs(values).max()), math.sqrt(float(np.square(values, dtype=np.float64).mean())))


def _watches(tensors: Sequence[str]) -> list[str]:
    return [f"{name}/{what}" for name in tensors for what in ("largest", "square")]


def _watched(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The model with two more scalar outputs per tensor: largest magnitude and mean square."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    for name in tensors:
        magnitude, square = f"{name}/magnitude", f"{name}/squared"
        graph.node.extend(
            [
                helper.make_node("Abs", [name], [magnitude]),
                helper.make_node("ReduceMax", [magnitude], [f"{name}/largest"], keepdims=0),
                helper.make_node("Mul", [name, name], [square]),
                helper.make_node("ReduceMean", [square], [f"{name}/square"], keepdims=0),
            ]
        )
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in _watches(tensors))
    return watched
