"""The tensor contract of network files: tensor names, shapes and metadata.

Inputs, all float32: ``image`` N×3×H×W (RGB in [0, 1]), ``prev_mask`` N×1×H×W, ``modulated_mask`` N×1×H×W,
``clicks`` N×2×H×W (disks of positive clicks, disks of negative clicks). Output, float32: ``logits`` N×1×H×W.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import NetworkError

INPUT_CHANNELS: Mapping[str, int] = {"image": 3, "prev_mask": 1, "modulated_mask": 1, "clicks": 2}
OUTPUT = "logits"

PREFIX = "mfp."  # prefix of the engine's keys in ONNX ``metadata_props``
PRECISIONS = ("fp32", "fp16", "bf16")  # arithmetic inside; the tensors above are always float32
MATRIX_OPERATORS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})  # their type is the precision

ONNX_FLOAT32 = 1  # onnx.TensorProto.FLOAT, without importing onnx
DEFAULT_LONGER_SIDE = 400  # for networks of any size; published protocol for convolutional backbones

MAX_SIDE = 8192  # pixels of a network size: far above any use, low enough not to run out of memory silently
MAX_TEXT = 200  # longest metadata text, in characters

Size: TypeAlias = tuple[int, int]  # (H, W) in pixels
Shape: TypeAlias = Sequence[int | str | None]  # a tensor's shape; a dimension that is no int is open


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone and the values its published weights were trained with.

    Attributes:
        name: name of the backbone, as in ``--backbone``.
        size: network size (H, W) in pixels.
        channels: width K of the late fusion (spec section 2).
        n_early: N; clicks with an index below it modulate as early clicks (spec section 4).
        r_max: R_max, largest radius of the modulation window in network pixels (spec section 4).
        any_size: True if height and width may stay open in an exported file.
    """

    name: str
    size: Size
    channels: int
    n_early: int = 7
    r_max: float = 100.0
    any_size: bool = True


@dataclass(frozen=True)
class NetworkInfo:
    """Metadata of a network file.

    Attributes:
        backbone: name of the backbone, ``"unknown"`` for files of other exporters.
        size: fixed network size (H, W) in pixels, or None if the network takes any size.
        precision: arithmetic inside the network: ``"fp32"``, ``"fp16"``, …
        n_early, r_max: N and R_max that the weights were trained with (spec section 4).
        weights: ``"sha256:…"`` of the checkpoint, ``"untrained, seed S"``, or ``"unknown"``.
        exporter: ``"mfp-engine VERSION"``, or ``"unknown"``.
    """

    backbone: str = "unknown"
    size: Size | None = None
    precision: str = "fp32"
    n_early: int = 7
    r_max: float = 100.0
    weights: str = "unknown"
    exporter: str = "unknown"

    @property
    def trained(self) -> bool:
        return not self.weights.startswith("untrained")

    def to_properties(self) -> dict[str, str]:
        """Convert to text, for ONNX ``metadata_props``."""
        return {
            PREFIX + "backbone": self.backbone,
            PREFIX + "size": f"{self.size[0]}x{self.size[1]}" if self.size else "dynamic",
            PREFIX + "precision": self.precision,
            PREFIX + "n_early": str(self.n_early),
            PREFIX + "r_max": str(self.r_max),
            PREFIX + "weights": self.weights,
            PREFIX + "exporter": self.exporter,
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], size: Size | None) -> NetworkInfo:
        """Read the metadata back from text. ``size`` is the graph's own size; missing keys keep their defaults.

        Raises:
            NetworkError: N or R_max is no number in its range.
        """
        found = {k.removeprefix(PREFIX): v for k, v in properties.items() if k.startswith(PREFIX)}
        try:
            n_early, r_max = int(found.get("n_early", cls.n_early)), float(found.get("r_max", cls.r_max))
            if n_early < 0 or not 0 < r_max < float("inf"):
                raise ValueError
        except ValueError:
            raise NetworkError(
                f"the file's metadata says n_early={found.get('n_early')!r} and r_max={found.get('r_max')!r}; "
                "expected a whole number from 0 and a positive number. Export the network again."
            ) from None
        texts = {key: _clean(found.get(key, default)) for key, default in _TEXT_DEFAULTS.items()}
        return cls(size=size, n_early=n_early, r_max=r_max, **texts)


_TEXT_DEFAULTS = {"backbone": "unknown", "precision": "fp32", "weights": "unknown", "exporter": "unknown"}


@dataclass(frozen=True)
class Tensor:
    """An input or output tensor: its shape, and whether it is float32."""

    shape: Shape
    is_float32: bool


def _clean(text: str) -> str:
    """Make text from a file safe to print."""
    return "".join(c for c in text[:MAX_TEXT] if c.isprintable())


def check_signature(file: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Size | None:
    """Check a network's tensors against the contract.

    Args:
        file: name of the network file, for messages.
        inputs, outputs: tensors by name.

    Returns:
        The fixed (H, W), or None if both sides are open.

    Raises:
        NetworkError: names, channels, ranks or types differ, the batch is not open, or one side is fixed while the
            other is open.
    """
    if set(inputs) != set(INPUT_CHANNELS) or OUTPUT not in outputs:
        raise NetworkError(
            f"{file} is no MFP network: expected the inputs {', '.join(INPUT_CHANNELS)} and the output {OUTPUT}, "
            f"found the inputs {', '.join(inputs) or 'none'} and the outputs {', '.join(outputs) or 'none'}. "
            "Export one with: mfp export --backbone hrnet18"
        )
    tensors = {**inputs, OUTPUT: outputs[OUTPUT]}
    for name, channels in {**INPUT_CHANNELS, OUTPUT: 1}.items():
        shape = list(tensors[name].shape)
        if not tensors[name].is_float32:
            raise NetworkError(f"{file}: expected {name} in float32, whatever the precision inside. Export it again.")
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != channels):
            raise NetworkError(f"{file}: expected {name} as N×{channels}×H×W, found {_text(shape)}. Export it again.")
        if isinstance(shape[0], int):
            raise NetworkError(
                f"{file}: the batch of {name} is fixed to {shape[0]}; a session needs it open (1, or 2 with flip). "
                "Export it again."
            )
    sides = (tuple(side if isinstance(side, int) else "any" for side in t.shape[2:]) for t in inputs.values())
    sizes = list(dict.fromkeys(sides))
    if len(sizes) > 1:
        raise NetworkError(f"{file}: the inputs differ in size ({', '.join(map(_text, sizes))}). Export it again.")
    height, width = sizes.pop()
    if isinstance(height, int) and isinstance(width, int):
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise NetworkError(f"{file}: expected a size of 1 to {MAX_SIDE} pixels a side, found {height}×{width}.")
        return height, width
    if height != width:
        raise NetworkError(
            f"{file}: expected height and width both fixed or both open, found {height}×{width}. Export it again."
        )
    return None


def graph_tensors(values: Iterable[Any]) -> dict[str, Tensor]:
    """Collect an ONNX graph's inputs or outputs by name."""
    return {
        value.name: Tensor(
            [
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
                for dim in value.type.tensor_type.shape.dim
            ],
            value.type.tensor_type.elem_type == ONNX_FLOAT32,
        )
        for value in values
    }


def _text(shape: Shape) -> str:
    return "×".join("any" if side is None else str(side) for side in shape)
