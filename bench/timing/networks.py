"""Networks of a benchmark: built or read from a checkpoint, and written in the formats that the runs load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...engine.packaged import find, names
from .cases import Run, Sources

SEED = 0


def make_sources(backbone: str, checkpoint: Path | None, runs: Sequence[Run], folder: Path) -> Sources:
    """Write a backbone's files with the weights of a checkpoint, of the package, or seeded ones.

    Times do not depend on the weights.

    Args:
        backbone: name of the backbone.
        checkpoint: file in the authors' format; None: the packaged one of this backbone, or seeded weights without one.
        runs: runs that the files are for.
        folder: folder for the files.

    Raises:
        MfpError: the checkpoint is rejected, or the export failed.
    """
    import torch

    from ...export.checkpoint import load
    from ...export.convert import convert_onnx
    from ...export.onnx_export import export_module
    from ...export.seeded import seeded

    if checkpoint is None and backbone in names():
        checkpoint = find(backbone, ".pth")
    if checkpoint is None:
        module = seeded(backbone, seed=SEED)
        checkpoint = folder / f"{backbone}.pth"
        torch.save({"state_dict": module.state_dict(), "config": module.config}, checkpoint)
    else:
        module = load(checkpoint, backbone=backbone)
    files = {"fp32": export_module(module, folder / f"{backbone}.onnx").path}
    if any(run.precision == "fp16" and not run.runtime.startswith("torch") for run in runs):
        files["fp16"] = convert_onnx(files["fp32"], folder / f"{backbone}_fp16.onnx", precision="fp16").path
    return Sources(backbone, module.spec.size, module, checkpoint, files)
