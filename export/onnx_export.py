"""Writes a PyTorch MFP network as an ONNX file that keeps the contract, and proves that it computes the same."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import __version__
from ..engine.contract import INPUT_CHANNELS, MAX_SIDE, OUTPUT, NetworkInfo, Size, check_signature, graph_tensors
from ..engine.errors import ExportError, OptionError, RuntimeMissingError
from ..engine.network import Network, load_network
from ..engine.runtimes import INSTALL
from . import check_inputs

if TYPE_CHECKING:
    from .models.blocks import Network as Module

DEFAULT_OPSET = 17

# Largest difference allowed, in standard deviations of the logits. Two float32 implementations of the same network
# differ by up to 8e-5 (ViT-B); a wrong resize or a dropped layer by 1e-2 and more.
LIMIT = 5e-4
SMALLEST_SIDE = 32  # pixels: one at the coarsest level of the convolutional backbones
# Where files of any size are compared as well.
ODD_SIZES: tuple[Size, ...] = ((267, 400), (401, 333), (233, 311))

Progress = Callable[[str], None]


def _silent(step: str) -> None:
    pass


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees.

    Attributes:
        path: of the file.
        info: its metadata.
        differences: largest difference to PyTorch on each input, in standard deviations of the logits.
    """

    path: Path
    info: NetworkInfo
    differences: dict[str, float]

    @property
    def worst(self) -> float:
        return float(np.max(list(self.differences.values())))  # not max(): NaN must not get lost


def export_onnx(
    backbone: str | None = None,
    checkpoint: str | Path | None = None,
    *,
    size: Size | Literal["dynamic"] | None = None,
    output: str | Path | None = None,
    opset: int = DEFAULT_OPSET,
    stage: int = -1,
    seed: int = 0,
    progress: Progress = _silent,
) -> ExportReport:
    """Write an ONNX file.

    Args:
        backbone: ``"resnet34"``, ``"hrnet18"``, ``"vit_b"``; may be left out with a checkpoint, which names its own.
        checkpoint: the authors' ``.pth`` file; None: seeded, untrained weights.
        size: (H, W); ``"dynamic"`` leaves both open (convolutional backbones); None: the backbone's published size.
            The batch is always open.
        output: path of the file; None: ``BACKBONE.onnx`` here.
        opset: ONNX operator set, 17 to 20.
        stage: which of a checkpoint's click stages, where it holds several; the last by default.
        seed: of untrained weights.
        progress: called with a word on each step as it begins.

    Raises:
        CheckpointError: the checkpoint is refused.
        OptionError: a size or opset that the backbone does not take.
        ExportError: the export failed or disagrees with PyTorch. No file is left then; an older one stays.
    """
    fixed = None if size is None or size == "dynamic" else _checked_size(size)
    progress("building the network")
    module = _module(backbone, checkpoint, fixed, stage, seed)
    path = Path(output) if output is not None else Path(f"{module.spec.name}.onnx")
    return export_module(module, path, any_size=size == "dynamic", opset=opset, progress=progress)


def export_module(
    module: Module,
    path: Path,
    *,
    any_size: bool = False,
    opset: int = DEFAULT_OPSET,
    progress: Progress = _silent,
) -> ExportReport:
    """The same for a network in memory, from :func:`mfp.export.models.build` or :func:`mfp.export.checkpoint.load`.

    Args:
        module: with its weights, in evaluation mode; fixed files get the size of ``module.spec``.
        path: of the file.
        any_size: leave height and width open.
        opset, progress: as for :func:`export_onnx`.
    """
    spec = module.spec
    if any_size and not spec.any_size:
        raise OptionError(
            f"{spec.name} cannot be exported with open height and width: its positional embedding and attention "
            "windows are laid out for one size. Export one file a size, for example --size 672x672."
        )
    if not 17 <= opset <= 20:
        raise OptionError(f"expected an opset from 17 (LayerNormalization) to 20 (the exporter's last), got {opset}")
    if path.suffix.lower() != ".onnx":
        raise OptionError(f"expected an output ending in .onnx, got {path}")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise OptionError(f"cannot write {path}: expected a file's name in a folder that exists and is writable")
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
        report = ExportReport(path, info, differences)
        if not report.worst <= LIMIT:  # also where it is NaN
            raise ExportError(
                f"the exported file differs from PyTorch by {report.worst:.1e} of the logits' standard deviation, "
                f"more than {LIMIT:.0e}; nothing was written. Try another --opset, or report this."
            )
        os.replace(draft, path)
    return report


def compare(network: Network, reference: Network, sizes: tuple[Size, ...]) -> dict[str, float]:
    """Largest difference of the logits, in standard deviations of the reference's, on random and photographic input."""
    differences = {}
    for height, width in sizes:
        for kind, make in (("random", check_inputs.random_inputs), ("photograph", check_inputs.photograph_inputs)):
            inputs = make(height, width)
            expected, found = reference(*inputs), network(*inputs)
            differences[f"{kind} {height}×{width}"] = float(np.abs(found - expected).max() / expected.std())
    return differences


def _module(backbone: str | None, checkpoint: str | Path | None, size: Size | None, stage: int, seed: int) -> Module:
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


def _trace(module: Module, path: Path, size: Size, any_size: bool, opset: int) -> None:
    import torch

    example = tuple(torch.zeros(2, channels, *size) for channels in INPUT_CHANNELS.values())
    open_axes = {0: "batch", 2: "height", 3: "width"} if any_size else {0: "batch"}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # deprecation of the exporter; tracer warnings are settled by the comparison that follows
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
                # The TorchScript exporter gives graphs that TensorRT parses for all three networks; what it cannot
                # say (opsets above 20) it refuses.
                dynamo=False,
            )
    except Exception as error:  # the exporter raises what it likes
        raise ExportError(f"PyTorch could not export {type(module).__name__} with opset {opset}: {error}") from error


def _finish(path: Path, info: NetworkInfo) -> None:
    """Clean the graph, add the metadata, and check what is there."""
    import onnx

    from .graph import clean, leftovers

    try:
        model = clean(onnx.load(path))
        onnx.helper.set_model_props(model, info.to_properties())
        model.producer_name, model.producer_version = "mfp-engine", __version__
        onnx.checker.check_model(model, full_check=True)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # ONNX Runtime's and the checker's own classes, and plain ones from below
        raise ExportError(f"the exported graph does not pass ONNX's checker: {error}") from error
    if left := leftovers(model):
        raise ExportError(f"the exported graph still holds {', '.join(left)}, which folding should have removed")
    check_signature(path.name, graph_tensors(model.graph.input), graph_tensors(model.graph.output))
    onnx.save(model, path)
