"""Plans built on demand: an ONNX file's plan from the engine cache, or built into it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .builder import build_plan, built_for, check_options
from .cache import EngineCache
from .flavour import Flavour, open_flavour
from .gpu import Gpu, gpu
from .options import DEFAULTS, BuildOptions
from .tensorrt_build import Model, Progress, read_model


def _say(line: str) -> None:
    logging.getLogger("mfp").warning(line)  # seen by default: a build takes seconds to minutes


def cached_plan(
    model: str | Path,
    *,
    flavour: str = "auto",
    options: BuildOptions = DEFAULTS,
    device: int = 0,
    cache: EngineCache | None = None,
    say: Callable[[str], None] = _say,
    progress: Progress | None = None,
) -> Path:
    """The plan file of an ONNX file, built where the cache has none that fits.

    Args:
        model, flavour, options, device, progress: as for :func:`~mfp.engine.plans.builder.build_plan`.
        cache: default: the one that the environment names (``mfp cache list``).
        say: told in one line why something is built or waited for; default: the logger ``mfp``.

    Raises:
        CacheError: the cache's folder cannot be used.
        MfpError: as for building.
    """
    tensorrt, file = open_flavour(flavour), read_model(model)
    check_options(file, None, options, tensorrt)
    parts = cache_parts(file, tensorrt, options, gpu(device))

    def build(path: Path) -> None:
        build_plan(model, path, flavour=tensorrt.name, options=options, device=device, key=parts, progress=progress)

    return (cache or EngineCache()).get(parts, build, say)


def cache_parts(file: Model, flavour: Flavour, options: BuildOptions, target: Gpu | None) -> dict[str, Any]:
    """Everything that a plan depends on. TensorRT's depend on GPU and driver, those of TensorRT for RTX do not."""
    return {
        "backbone": file.info.backbone,
        "precision": file.info.precision,
        "onnx_sha256": file.sha256,
        "flavour": flavour.name,
        "flavour_version": flavour.version,
        "built_for": built_for(flavour, options, target),
        "driver": None if flavour.is_rtx or target is None else target.cuda,
        "options": asdict(options),
    }
