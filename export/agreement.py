"""Agreement of two networks: the largest difference of their logits, and the limits that a written file must meet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..engine.contract import NetworkInfo, Size
from ..engine.errors import ExportError
from ..engine.network import Network
from . import check_inputs

# Largest difference allowed, in standard deviations of the logits, by the precision of the file. Two float32
# implementations of the same network differ by up to 8e-5 (ViT-B), FP16 by up to 0.03 and BF16 by up to 0.25;
# a wrong resize, a dropped layer or an overflow by far more.
LIMITS = {"fp32": 5e-4, "fp16": 0.1, "bf16": 0.8}

# Sizes (H, W) in pixels at which dynamic files are compared as well.
ODD_SIZES: tuple[Size, ...] = ((267, 400), (401, 333), (233, 311))

Progress = Callable[[str], None]


def silent(step: str) -> None:
    """Ignore progress reports: the default ``progress`` callback."""


def compare(network: Network, reference: Network, sizes: tuple[Size, ...]) -> dict[str, float]:
    """Largest difference of the logits on random and on photographic input, per kind and size.

    Args:
        network: network under test.
        reference: network it is compared with.
        sizes: network sizes (H, W) in pixels.

    Returns:
        ``"KIND HEIGHT×WIDTH"`` → difference, in standard deviations of the reference's logits.
    """
    differences = {}
    for height, width in sizes:
        for kind, make in (("random", check_inputs.random_inputs), ("photograph", check_inputs.photograph_inputs)):
            inputs = make(height, width)
            expected, found = reference(*inputs), network(*inputs)
            unit = float(expected.std()) or 1.0  # logits may be constant
            differences[f"{kind} {height}×{width}"] = float(np.abs(found - expected).max()) / unit
    return differences


def worst(differences: dict[str, float]) -> float:
    """The largest of the differences; NaN if any of them is NaN."""
    return float(np.max(list(differences.values())))


def demand(info: NetworkInfo, differences: dict[str, float], reference: str) -> None:
    """Refuse a file that is too far from its reference.

    Raises:
        ExportError: the largest difference is above the limit of the file's precision, or NaN.
    """
    limit = LIMITS[info.precision]
    if not worst(differences) <= limit:
        raise ExportError(
            f"the {info.precision} file differs from {reference} by {worst(differences):.1e} of the logits' standard "
            f"deviation, more than {limit:.0e}; nothing was written. "
            + ("Try another --opset, or report this." if info.precision == "fp32" else "Use fp32.")
        )
