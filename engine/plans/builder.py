"""Builder of TensorRT plans from ONNX files, with a check of every finished plan.

One strongly typed path serves TensorRT from 10.12 on and TensorRT for RTX: the ONNX file determines the precision.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..contract import MAX_SIDE, PRECISIONS
from ..devices import cuda_driver, use_gpu
from ..errors import BuildError, OptionError, RuntimeMissingError
from ..packaged import default_output, find
from .flavour import COMPUTE_CAPABILITIES, Flavour, open_flavour
from .gpu import Gpu, gpu
from .options import ANY_SIZES, DEFAULTS, LEVELS, MAX_BATCH, MAX_WORKSPACE, BuildOptions, are_sizes, rising
from .plan_file import read_metadata, write_plan
from .plan_layers import Share
from .tensorrt_build import Compiler, Model, Progress, read_model

REQUIRED_SHARE = 0.95  # share of the file's half-precision layers that must be half precision in the engine


@dataclass(frozen=True)
class BuildReport:
    """Result of a build.

    Attributes:
        path: the plan file.
        metadata: the plan file's JSON metadata.
        share: number of convolutions and matrix products in half precision, and in all.
    """

    path: Path
    metadata: dict[str, Any]
    share: Share


def build_plan(
    model: str | Path,
    output: str | Path | None = None,
    *,
    flavour: str = "auto",
    precision: str | None = None,
    options: BuildOptions = DEFAULTS,
    timing_cache: str | Path | None = None,
    device: int = 0,
    key: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a plan file.

    Args:
        model: ``.onnx`` file, or the name of a packaged network; its precision is the plan's.
        output: path of the plan file; None: MODEL.plan beside the file, for a packaged network in the current folder.
        flavour: ``"tensorrt"``, ``"tensorrt-rtx"``, or ``"auto"`` (what is installed, TensorRT first).
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``. A file in another precision is refused; a packaged network's
            file in this precision is taken. None: any.
        options: see :class:`BuildOptions`.
        timing_cache: file with the timings of earlier builds, read and written; TensorRT only.
        device: number of the GPU to build on; TensorRT for RTX needs none.
        key: parts of the engine cache's key, stored in the metadata.
        progress: callback for TensorRT's phases.

    Raises:
        NetworkError: the file is no MFP network.
        OptionError: options that do not fit the file or the flavour.
        RuntimeMissingError: this TensorRT is not installed, or it finds no GPU.
        BuildError: TensorRT refuses the file, or the engine is not in the requested precision. No file is left.
        KeyboardInterrupt: passed on from ``progress``; the build is cancelled.
    """
    tensorrt = open_flavour(flavour)
    file = read_model(find(model, precision=precision))
    path = Path(output) if output is not None else default_output(file.path, f"{file.path.stem}.plan")
    check_options(file, precision, options, tensorrt)
    if timing_cache is not None and tensorrt.is_rtx:
        raise OptionError("a timing cache is for TensorRT: TensorRT for RTX times nothing when it builds")
    for file_to_write in (path, *([timing_cache] if timing_cache is not None else [])):
        if Path(file_to_write).is_dir() or not os.access(Path(file_to_write).parent, os.W_OK):
            raise OptionError(f"cannot write {file_to_write}: expected a name in a folder that exists and is writable")
    if path.suffix.lower() != ".plan":
        raise OptionError(f"expected an output ending in .plan, got {path}")
    target = gpu(device)
    purpose = built_for(tensorrt, options, target)
    if target is not None:
        use_gpu(device)
    compiler = Compiler(tensorrt, file, profile_of(file, options), progress)
    started = time.perf_counter()
    plan = compiler.compile(options, None if timing_cache is None else Path(timing_cache))
    seconds = time.perf_counter() - started
    share = compiler.half_share(plan)
    _demand_precision(file, share)
    metadata = {
        "source": str(file.path),
        "onnx_sha256": file.sha256,
        "backbone": file.info.backbone,
        "precision": file.info.precision,
        "network": file.info.to_properties(),
        "flavour": tensorrt.name,
        "flavour_version": tensorrt.version,
        "built_for": purpose,
        "gpu": None if target is None else asdict(target),
        "options": asdict(options),
        "profile": compiler.profile,
        "half_layers": share.half,
        "matrix_layers": share.total,
        "counted_in": share.source,
        "fp32_weights_bytes": file.fp32_bytes,
        "activation_bytes": compiler.activation_bytes,
        "build_seconds": round(seconds, 2),
        "built": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "key": dict(key or {}),
    }
    write_plan(path, metadata, plan)
    return BuildReport(path, read_metadata(path), share)


def profile_of(file: Model, options: BuildOptions) -> tuple[tuple[int, int, int], ...]:
    """Smallest, usual and largest (batch, H, W)."""
    sizes = options.sizes or ANY_SIZES if file.info.size is None else (file.info.size,) * 3
    return tuple((batch, *size) for batch, size in zip(options.batches, sizes, strict=True))


def built_for(flavour: Flavour, options: BuildOptions, target: Gpu | None) -> str:
    """Text that describes the GPUs, systems and versions that a plan runs on.

    Raises:
        RuntimeMissingError: TensorRT has no GPU to build on.
    """
    if flavour.is_rtx:
        chosen = options.compute_capabilities
        return f"compute capability {', '.join(chosen)}" if chosen else "compute capability 8.0 and later"
    if target is None:
        raise RuntimeMissingError(
            f"TensorRT builds a plan on the GPU that runs it: {cuda_driver()[1] or 'there is no such GPU'}. "
            "TensorRT for RTX builds without one: mfp build --flavour tensorrt-rtx"
        )
    return "GPUs from Ampere on" if options.hardware_compatible else f"{target.name} ({target.compute_capability})"


def check_options(file: Model, precision: str | None, options: BuildOptions, flavour: Flavour) -> None:
    """Check the options before the build starts.

    Raises:
        OptionError: an option does not fit the file or the flavour; the message has what is expected.
    """
    if precision not in (None, *PRECISIONS):
        raise OptionError(f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision not in (None, file.info.precision):
        convert = f"mfp convert {shlex.quote(str(file.path))} --precision {precision}"
        raise OptionError(
            f"{file.path} is {file.info.precision}, asked for {precision}: a plan has its file's precision. "
            + (f"Make such a file with: {convert}" if file.info.precision == "fp32" else "Start from the fp32 file.")
        )
    if not rising(options.batches, MAX_BATCH):
        raise OptionError(f"expected three rising batches from 1 to {MAX_BATCH}, got {options.batches}")
    if options.sizes is not None:
        if file.info.size is not None:
            raise OptionError(
                f"{file.path} is fixed to {file.info.size[0]}×{file.info.size[1]}; sizes are for files of any size "
                "(mfp export --size dynamic)"
            )
        if not are_sizes(options.sizes):
            raise OptionError(f"expected three rising sizes (H, W) from 1 to {MAX_SIDE}, got {options.sizes}")
    if options.level is not None and (type(options.level) is not int or options.level not in LEVELS):
        raise OptionError(f"expected an optimisation level from 0 to {LEVELS[-1]}, got {options.level!r}")
    workspace = options.workspace
    if workspace is not None and (type(workspace) is not int or not 1 <= workspace <= MAX_WORKSPACE):
        raise OptionError(f"expected a workspace limit of 1 to {MAX_WORKSPACE} MiB, got {workspace!r}")
    capabilities = options.compute_capabilities
    if not isinstance(capabilities, tuple) or len({*map(str, capabilities)}) < len(capabilities):
        raise OptionError(f"expected a tuple of different compute capabilities, got {capabilities!r}")
    if unknown := [capability for capability in capabilities if capability not in COMPUTE_CAPABILITIES]:
        raise OptionError(
            f"TensorRT for RTX does not build for compute capability {', '.join(map(str, unknown))}; "
            f"expected some of {', '.join(COMPUTE_CAPABILITIES)}"
        )
    if capabilities and not flavour.is_rtx:
        raise OptionError("compute capabilities are for TensorRT for RTX; TensorRT builds for the GPU it runs on")
    if flavour.is_rtx and (options.hardware_compatible or options.version_compatible):
        raise OptionError(
            "version and hardware compatibility are for TensorRT: a plan of TensorRT for RTX runs on several GPUs "
            "anyway, and always needs the version it was built with"
        )


def _demand_precision(file: Model, share: Share) -> None:
    """Raise BuildError if the file is in half precision and the engine is not."""
    if file.info.precision == "fp32":
        return
    asked = file.half_asked
    if not asked or share.half < REQUIRED_SHARE * asked * share.total / len(file.matrix_nodes):
        raise BuildError(
            f"asked for {file.info.precision} and not got: {share.half} of {share.total} convolutions and matrix "
            f"products of the engine run in half precision ({share.source}), {asked} of {len(file.matrix_nodes)} do in "
            f"{file.path}. No plan was written. Convert the FP32 file again with: mfp convert"
        )
