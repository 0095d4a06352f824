"""ONNX exporter: writes a PyTorch MFP network as a file that keeps the contract, and checks its logits."""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from importlib import import_module
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..engine.contract import INPUT_CHANNELS, MAX_SIDE, OUTPUT, PRECISIONS, NetworkInfo, Size
from ..engine.errors import ExportError, OptionError, RuntimeMissingError
from ..engine.network import load_network
from ..engine.requirements import INSTALL
from ..engine.version import __version__
from .agreement import ODD_SIZES, Progress, compare, demand, silent, worst
from .convert import ConversionReport, check_output, convert_onnx

if TYPE_CHECKING:
    from .models.blocks import MfpModule

DEFAULT_OPSET = 17

SMALLEST_SIDE = 32  # pixels; gives one pixel at the coarsest level of the convolutional backbones


@dataclass(frozen=True)
class ExportReport:
    """The written file, and its agreement with PyTorch.

    Attributes:
        path: path of the file.
        info: metadata of the file.
        differences: largest difference of the FP32 file to PyTorch on each input, in standard deviations of the
            logits.
        conversion: report on the conversion from FP32 to half precision, if that was requested.
    """

    path: Path
    info: NetworkInfo
    differences: dict[str, float]
    conversion: ConversionReport | None = None

    @property
    def worst(self) -> float:
        return worst(self.differences)


def export_onnx(
    backbone: str | None = None,
    checkpoint: str | Path | None = None,
    *,
    size: Size | Literal["dynamic"] | None = None,
    output: str | Path | None = None,
    precision: str = "fp32",
    opset: int = DEFAULT_OPSET,
    stage: int = -1,
    seed: int = 0,
    progress: Progress = silent,
) -> ExportReport:
    """Write an ONNX file.

    Args:
        backbone: ``"resnet34"``, ``"hrnet18"``, ``"vit_b"``; optional with a checkpoint, which names its own.
        checkpoint: the authors' ``.pth`` file; None: seeded, untrained weights.
        size: (H, W) in pixels; ``"dynamic"`` leaves both open (convolutional backbones); None: the backbone's
            published size. The batch is always open.
        output: path of the file; None: ``BACKBONE.onnx`` in the current folder.
        precision: ``"fp32"``; ``"fp16"`` and ``"bf16"`` convert the FP32 file, see :mod:`mfp.export.convert`.
        opset: ONNX operator set, 17 to 20; files in bf16 get 22.
        stage: index of the click stage in a checkpoint that holds several; the last by default.
        seed: seed of untrained weights.
        progress: callback that receives a description of each step as it begins.

    Raises:
        CheckpointError: the checkpoint is refused.
        OptionError: the backbone does not support the size or the opset.
        ExportError: the export failed or disagrees with PyTorch. No new file is left; an older one stays.
    """
    fixed = None if size is None or size == "dynamic" else _checked_size(size)
    progress("building the network")
    module = _module(backbone, checkpoint, fixed, stage, seed)
    path = Path(output) if output is not None else Path(f"{module.spec.name}.onnx")
    return export_module(module, path, any_size=size == "dynamic", precision=precision, opset=opset, progress=progress)


def export_module(
    module: MfpModule,
    path: Path,
    *,
    any_size: bool = False,
    precision: str = "fp32",
    opset: int = DEFAULT_OPSET,
    progress: Progress = silent,
) -> ExportReport:
    """Write an ONNX file of a network in memory; raises the errors of :func:`export_onnx`.

    Args:
        module: network from :func:`mfp.export.models.build` or :func:`mfp.export.checkpoint.load`, with its weights,
            in evaluation mode; fixed files get the size of ``module.spec``.
        path: path of the file.
        any_size: whether height and width stay open.
        precision, opset, progress: arguments as for :func:`export_onnx`.
    """
    spec = module.spec
    if any_size and not spec.any_size:
        raise OptionError(
            f"{spec.name} cannot be exported with open height and width: its positional embedding and attention "
            "windows are laid out for one size. Export one file a size, for example --size 672x672."
        )
    if not 17 <= opset <= 20:
        raise OptionError(f"expected an opset from 17 (LayerNormalization) to 20 (the exporter's last), got {opset}")
    if precision not in PRECISIONS:
        raise OptionError(f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}")
    check_output(path)
    info = NetworkInfo(
        backbone=spec.name,
        size=None if any_size else spec.size,
        n_early=spec.n_early,
        r_max=spec.r_max,
        weights=module.weights,
        exporter=f"mfp-engine {__version__}",
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mfp-export-") as folder:
        draft = Path(folder) / path.name
        progress("tracing")
        _trace(module, draft, spec.size, any_size, opset)
        progress("checking the graph")
        _finish(draft, info)
        progress("comparing with PyTorch")
        sizes = (spec.size, *ODD_SIZES) if any_size else (spec.size,)
        differences = compare(load_network(draft, device="cpu"), load_network(module, device="cpu"), sizes)
        demand(info, differences, "PyTorch")
        if precision != "fp32":
            conversion = convert_onnx(draft, path, precision=precision, progress=progress)
            return ExportReport(path, conversion.info, differences, conversion)
        os.replace(draft, path)
    return ExportReport(path, info, differences)


def _module(backbone: str | None, checkpoint: str | Path | None, size: Size | None, stage: int, seed: int) -> MfpModule:
    for name in ("torch", "onnxruntime"):
        try:
            import_module(name)
        except ImportError:
            raise RuntimeMissingError(
                f"exporting needs {name}, which is not installed; install it with: {INSTALL[name]}"
            ) from None
    if checkpoint is not None:
        from .checkpoint import load

        return load(checkpoint, stage=stage, backbone=backbone, size=size)
    if backbone is None:
        from .models import backbone_names

        raise OptionError(f"expected a backbone ({', '.join(backbone_names())}) or a checkpoint, got neither")
    from .seeded import seeded

    return seeded(backbone, seed=seed, size=size)


def _checked_size(size: Any) -> Size:
    try:
        height, width = (index(side) for side in size)
    except (TypeError, ValueError):
        raise OptionError(f'expected a size of (H, W) in pixels or "dynamic", got {size!r}') from None
    if not (SMALLEST_SIDE <= height <= MAX_SIDE and SMALLEST_SIDE <= width <= MAX_SIDE):
        raise OptionError(f"expected a size of {SMALLEST_SIDE} to {MAX_SIDE} pixels a side, got {size!r}")
    return height, width


def _trace(module: MfpModule, path: Path, size: Size, any_size: bool, opset: int) -> None:
    import torch

    example = tuple(torch.zeros(2, channels, *size) for channels in INPUT_CHANNELS.values())
    open_axes = {0: "batch", 2: "height", 3: "width"} if any_size else {0: "batch"}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Ignored: the exporter's deprecation, and tracer warnings, which the comparison below makes irrelevant.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                example,
                str(path),
                input_names=list(INPUT_CHANNELS),
                output_names=[OUTPUT],
                dynamic_axes=dict.fromkeys((*INPUT_CHANNELS, OUTPUT), open_axes),
                opset_version=opset,
                do_constant_folding=True,
                # TensorRT parses the TorchScript exporter's graphs of all three networks. The exporter refuses
                # what it cannot express (opsets above 20).
                dynamo=False,
            )
    except Exception as error:  # the exporter raises unrelated classes
        raise ExportError(f"PyTorch could not export {type(module).__name__} with opset {opset}: {error}") from error


def _finish(path: Path, info: NetworkInfo) -> None:
    """Clean the graph, add the metadata, and check the finished file."""
    import onnx

    from .graph import clean, finished, leftovers

    try:
        model = clean(onnx.load(path))
    except Exception as error:  # ONNX Runtime's own classes, and plain ones from deeper layers
        raise ExportError(f"the exported graph cannot be simplified: {error}") from error
    model = finished(model, info.to_properties())
    if left := leftovers(model):
        raise ExportError(f"the exported graph still holds {', '.join(left)}, which folding should have removed")
    onnx.save(model, path)
