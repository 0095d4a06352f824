"""What a built engine is made of, read from TensorRT's description of its layers.

A builder that quietly makes an FP32 engine is a known fault; so nothing is believed of a graph that the engine does
not show. TensorRT names the ONNX nodes that went into each layer and the types of the layer's operands. The same
text comes from the engine's inspector, which needs a driver, and from the builder's log, which does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

_HALF = re.compile(r"\b(half|fp16|float16|bf16|bfloat16)\b", re.IGNORECASE)
_FLOAT = re.compile(r"\b(float|fp32|float32)\b", re.IGNORECASE)
_ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_OPERAND = re.compile(r"\{ Name: .*?Dimensions: \[([-\d,]*)\].*?(?:Datatype|Format): ([^,}]*)")
_LAYER = "Name: "
HEADING = "Layers:"


@dataclass(frozen=True)
class Share:
    """Convolutions and matrix products of an engine.

    Attributes:
        half: how many run in FP16 or BF16.
        total: how many there are; ONNX nodes that the description does not name are left out.
        source: ``"inspector"``, ``"build log"`` or ``"parsed network"``.
    """

    half: int
    total: int
    source: str

    @property
    def fraction(self) -> float:
        return self.half / self.total if self.total else 0.0


def share_of_layers(description: str, matrix_nodes: Collection[str], source: str) -> Share | None:
    """Count by the layers' description.

    Args:
        description: TensorRT's one-line form, a layer a line.
        matrix_nodes: names of the ONNX graph's convolutions and matrix products.
        source: where the description comes from.

    Returns:
        The share, or None where the description names none of the nodes.
    """
    largest: dict[str, tuple[int, bool]] = {}  # node → elements of its largest operand, whether that is half
    for line in description.splitlines():
        if not line.startswith(_LAYER):
            continue
        nodes = set(_ONNX_NODE.findall(line)).intersection(matrix_nodes)
        operand = _largest_operand(line) if nodes else None
        for node in nodes if operand else ():
            assert operand is not None
            largest[node] = max(largest.get(node, (0, False)), operand)
    if not largest:
        return None
    return Share(sum(half for _, half in largest.values()), len(largest), source)


def share_of_network(network: Any, trt: Any) -> Share:
    """Count by the parsed network's tensor types, which a strongly typed build keeps."""
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    types = [layer.get_input(0).dtype for layer in network if layer.type in kinds]
    return Share(sum(t in (trt.DataType.HALF, trt.DataType.BF16) for t in types), len(types), "parsed network")


def _largest_operand(line: str) -> tuple[int, bool] | None:
    """Elements of the layer's largest floating-point operand (weights, where it has some), and whether it is half."""
    before_outputs = line.partition("Outputs: [")[0]
    inputs, _, constants = before_outputs.partition("Constants: [")
    for part in (constants, inputs):
        sizes = [
            (math.prod(abs(int(side)) for side in dims.split(",") if side), bool(_HALF.search(kind)))
            for dims, kind in _OPERAND.findall(part)
            if _HALF.search(kind) or _FLOAT.search(kind)
        ]
        if sizes and max(sizes)[0] > 1:
            return max(sizes)
    return None
