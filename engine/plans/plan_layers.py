"""Precision check of a built engine, from TensorRT's description of its layers.

A builder that silently makes an FP32 engine is a known fault, so the precision is read from the engine, not from the
graph. TensorRT reports the ONNX nodes that went into each layer and the types of the layer's operands. The same text
comes from the engine's inspector, which needs a driver, and from the builder's log, which does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

_HALF = re.compile(r"\b(half|fp16|float16|bf16|bfloat16)\b", re.IGNORECASE)
_FLOAT = re.compile(r"\b(float|fp32|float32)\b", re.IGNORECASE)
_ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_OPERAND = re.compile(r"\{ Name: .*?Dimensions: \[([-\d,]*)\].*?(?:Datatype|Format): ([^,}]*)")
_LAYER = "Name: "
HEADING = "Layers:"


@dataclass(frozen=True)
class Share:
    """Numbers of convolutions and matrix products of an engine.

    Attributes:
        half: number that run in FP16 or BF16.
        total: number in all; ONNX nodes that the description does not name are left out.
        source: origin of the description: ``"inspector"``, ``"build log"`` or ``"parsed network"``.
    """

    half: int
    total: int
    source: str

    @property
    def fraction(self) -> float:
        return self.half / self.total if self.total else 0.0


def share_of_layers(description: str, matrix_nodes: Collection[str], source: str) -> Share | None:
    """Count half-precision nodes in a description of the engine's layers.

    Args:
        description: TensorRT's one-line form, one line for each layer.
        matrix_nodes: names of the ONNX graph's convolutions and matrix products.
        source: origin of the description, one of the values of :attr:`Share.source`.

    Returns:
        The share, or None if the description names none of the nodes.
    """
    deciding: dict[str, _Operand] = {}  # node → the operand of its layers that counts
    for line in description.splitlines():
        if not line.startswith(_LAYER):
            continue
        nodes = set(_ONNX_NODE.findall(line)).intersection(matrix_nodes)
        operand = _deciding_operand(line) if nodes else None
        if operand is not None:
            deciding.update({node: max(deciding.get(node, operand), operand) for node in nodes})
    if not deciding:
        return None
    return Share(sum(operand.half for operand in deciding.values()), len(deciding), source)


def share_of_network(network: Any, trt: Any) -> Share:
    """Count half-precision nodes by the parsed network's tensor types, which a strongly typed build keeps."""
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    types = [layer.get_input(0).dtype for layer in network if layer.type in kinds]
    return Share(sum(t in (trt.DataType.HALF, trt.DataType.BF16) for t in types), len(types), "parsed network")


class _Operand(NamedTuple):
    """An operand of a layer, ordered by how much it decides the precision.

    Weights decide before inputs: a layer that only casts a node's input may also have the node's name.
    """

    stored: bool
    elements: int
    half: bool


def _deciding_operand(line: str) -> _Operand | None:
    """The layer's largest floating-point operand; one of its weights if it has any."""
    inputs, _, constants = line.partition("Outputs: [")[0].partition("Constants: [")
    for stored, part in ((True, constants), (False, inputs)):
        operands = [
            _Operand(
                stored,
                math.prod(abs(int(side)) for side in dims.split(",") if side),
                bool(_HALF.search(kind)),
            )
            for dims, kind in _OPERAND.findall(part)
            if _HALF.search(kind) or _FLOAT.search(kind)
        ]
        if operands and max(operands).elements > 1:
            return max(operands)
    return None
