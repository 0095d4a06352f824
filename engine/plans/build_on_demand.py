"""Plans built on demand: an ONNX file's plan is taken from the engine cache, or built into it."""

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
    """Path of an ONNX file's plan, which is built if the cache has none that fits.

    Args:
        model, flavour, options, device, progress: same as in :func:`~mfp.engine.plans.builder.build_plan`.
        cache: engine cache; default: the one that the environment names (``mfp cache list``).
        say: callback that gets one line on why a plan is built or waited for; default: the logger ``mfp``.

    Raises:
        CacheError: the cache's folder cannot be used.
        MfpError: same as in :func:`~mfp.engine.plans.builder.build_plan`.
    """
    tensorrt, file = open_flavour(flavour), read_model(model)
    check_options(file, None, options, tensorrt)
    parts = cache_parts(file, tensorrt, options, gpu(device))

    def build(path: Path) -> None:
        build_plan(model, path, flavour=tensorrt.name, options=options, device=device, key=parts, progress=progress)

    return (cache or EngineCache()).get(parts, build, say)


def cache_parts(file: Model, flavour: Flavour, options: BuildOptions, target: Gpu | None) -> dict[str, Any]:
    """Cache key of a plan: everything that the plan depends on.

    Plans of TensorRT depend on GPU and driver, those of TensorRT for RTX do not.
    """
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
