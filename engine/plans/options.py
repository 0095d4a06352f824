"""Options of a build, their defaults and their ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..contract import MAX_SIDE, Size

# Sizes for files of any size. The published protocol has 400 pixels for the longer side; the session's smallest crops
# and somewhat larger ones fit as well.
ANY_SIZES: tuple[Size, Size, Size] = ((32, 32), (400, 400), (512, 512))
MAX_BATCH = 64
LEVELS = range(6)
MAX_WORKSPACE = 1 << 20  # MiB


@dataclass(frozen=True)
class BuildOptions:
    """Options of a plan's build. All of them go into the plan's metadata and into the cache's key.

    Attributes:
        batches: smallest, usual and largest batch. A session needs 1, or 2 with flip.
        sizes: smallest, usual and largest (H, W) in pixels, for files of any size; None: 32×32, 400×400, 512×512.
        workspace: MiB of GPU memory that the builder may use; None: all.
        level: optimisation level 0 (fastest build) to 5 (fastest engine); None: TensorRT's default, 3.
        version_compatible: whether the plan also loads in later versions of the same major version (TensorRT). Such a
            plan contains code for the host and loads only if the environment variable MFP_TRUST_PLANS is 1.
        hardware_compatible: whether the plan also runs on other GPUs, from Ampere on (TensorRT; plans of TensorRT for
            RTX run on several anyway).
        compute_capabilities: compute capabilities to build for, for example ``("8.6", "8.9")``; TensorRT for RTX only.
            Empty: all from 8.0 on.
    """

    batches: tuple[int, int, int] = (1, 2, 2)
    sizes: tuple[Size, Size, Size] | None = None
    workspace: int | None = None
    level: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()


DEFAULTS = BuildOptions()


def rising(values: Any, largest: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(type(value) is int for value in values)
        and 1 <= values[0] <= values[1] <= values[2] <= largest
    )


def are_sizes(sizes: Any) -> bool:
    pairs = isinstance(sizes, tuple) and all(isinstance(size, tuple) and len(size) == 2 for size in sizes)
    return pairs and len(sizes) == 3 and all(rising(sides, MAX_SIDE) for sides in zip(*sizes, strict=True))
