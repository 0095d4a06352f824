"""Saves of a training run, beside its checkpoint; an interrupted run continues from them."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..engine.errors import CheckpointError, OptionError
from ..engine.image import write_file
from ..export.models.blocks import MfpModule

PARTS = ("network", "average", "mean", "variance")  # one file each, so that none is larger than the weights


def save_folder(output: Path) -> Path:
    """The folder with the saves of a run that writes this checkpoint."""
    return output.with_suffix(".resume")


def log_file(output: Path) -> Path:
    """The log file of a run that writes this checkpoint."""
    return output.with_suffix(".jsonl")


def check_outputs(output: Path) -> None:
    """Refuse a checkpoint's path if not all files of a run can be written beside it; create its folder.

    Raises:
        OptionError: a file or folder cannot be written; the message names it.
    """
    if output.is_dir():
        raise OptionError(
            f"expected a file's name for the checkpoint, got the folder {output}; for example {output}/a.pth"
        )
    log, folder = log_file(output), save_folder(output)
    if output in (log, folder, folder.with_suffix(".new")):
        raise OptionError(f"expected a checkpoint's name such as {output.with_suffix('.pth')}, got {output}")
    for taken in (folder, folder.with_suffix(".new")):
        if taken.exists() and not taken.is_dir():
            raise OptionError(f"cannot save beside {output}: expected no file of the name {taken}; move it away")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
        existed = log.exists()
        with log.open("a"):
            pass
        if not existed:
            log.unlink()
    except OSError as error:
        raise OptionError(
            f"cannot write {error.filename or output}: {error.strerror}; expected a file's name in a folder that is "
            "writable"
        ) from None


def save(
    output: Path, network: MfpModule, average: MfpModule, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write everything that training needs to continue; the old save stays until the new one is complete.

    Args:
        output: path of the run's checkpoint.
        network, average: weights and their moving average.
        optimizer: AdamW optimizer.
        facts: numbers and texts that :func:`restore` returns.

    Raises:
        OptionError: the folder of the save cannot be created; the last save stays.
    """
    moments: dict[str, dict[str, Any]] = {"exp_avg": {}, "exp_avg_sq": {}, "step": {}}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items() if parameter in optimizer.state else ():
            moments[key][name] = value
    folder, fresh = save_folder(output), save_folder(output).with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
    except OSError as error:
        raise OptionError(f"cannot save in {fresh}: {error.strerror}; the last save is still there") from None
    contents = (
        network.state_dict(),
        average.state_dict(),
        {**moments["exp_avg"]},
        {"moments": moments["exp_avg_sq"], "steps": moments["step"], "facts": facts},
    )
    for part, content in zip(PARTS, contents, strict=True):
        write_file(fresh / f"{part}.pth", _bytes(content))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def restore(
    output: Path, network: MfpModule, average: MfpModule, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Read the last save into the arguments and return its facts; None if there is no save.

    Raises:
        CheckpointError: the save is damaged, or belongs to another network.
    """
    folder = save_folder(output)
    if not folder.exists():
        folder = folder.with_suffix(".new")  # the run stopped between the last two lines of save()
    if not folder.exists():
        return None
    try:
        weights, smoothed, mean, rest = (
            torch.load(folder / f"{part}.pth", map_location="cpu", weights_only=True) for part in PARTS
        )
        network.load_state_dict(weights)
        average.load_state_dict(smoothed)
        for name, parameter in network.named_parameters():
            if name in mean:
                optimizer.state[parameter] = {
                    "step": rest["steps"][name].clone().to(_step_device(optimizer, parameter)),
                    "exp_avg": torch.empty_like(parameter).copy_(mean[name]),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(rest["moments"][name]),
                }
        facts: dict[str, Any] = rest["facts"]
        return facts
    except Exception as error:  # torch raises unrelated classes for damaged files
        raise CheckpointError(
            f"{folder}: expected the save of a run of the same network; got {error!r}. Delete it to begin anew"
        ) from error


def _step_device(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> torch.device:
    """The device of the step counter: the parameter's for a fused optimizer, the host for the others."""
    return parameter.device if optimizer.param_groups[0].get("fused") else torch.device("cpu")


def _bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
