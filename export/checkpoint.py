"""The authors' checkpoint files (spec section 7): networks with their published weights.

A file holds ``{"state_dict": …, "config": {"class": …, "params": …}}``, a list of such stages, or a bare
state dict. It is never executed: see :mod:`mfp.export.safe_pickle`.
"""

from __future__ import annotations

import io
import os
import reprlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..engine.errors import CheckpointError
from ..engine.image import write_file
from ..engine.packaged import find
from . import models
from .archive import Archive
from .models.blocks import MfpModule
from .safe_pickle import STORAGES, TensorRecord

FLOATS = frozenset(dtype for dtype in STORAGES.values() if "float" in dtype)
NAMED = 3  # names that an error shows of a longer list


class Stage(NamedTuple):
    """One network of a file: its weights, and its configuration where the file has one."""

    state: dict[str, TensorRecord]
    config: Mapping[str, Any] | None


def load(
    path: str | os.PathLike[str],
    stage: int = -1,
    backbone: str | None = None,
    size: tuple[int, int] | None = None,
) -> MfpModule:
    """The network of a checkpoint file with its weights, in eval mode.

    Args:
        path: a ``.pth`` file as PyTorch 1.6 or newer writes it, or the name of a packaged network.
        stage: which network of a file that holds a list of them, from 0; negative counts from the end.
        backbone: needed for a file without a configuration; otherwise it must agree with the file.
        size: network size (H, W) in pixels; None is that of the configuration.

    Returns:
        The module, as ``mfp.export.models.build`` gives it; ``module.weights`` is "sha256:" and the SHA-256
        of the file.

    Raises:
        CheckpointError: the file is missing, damaged, asks for code to be run, or is no MFP network; the
            message says which. Nothing in the file was executed.
        OptionError: an unknown backbone, or a size that the network cannot have.
    """
    path = find(Path(path), ".pth")
    if backbone is not None:
        models.spec(backbone)
    archive = Archive(path)
    try:
        state, config = _stage(archive.contents, stage)
        asked = _backbone_or_config(config, backbone)
        # On the meta device first: a hostile configuration allocates nothing before the layout is compared.
        with torch.device("meta"):
            expected = models.build(asked, size).state_dict()
        _compare(state, expected)
        # Before anything is allocated: every weight is really in the file, and not one storage under many names.
        if 2 * sum(prod(record.shape) for record in state.values()) > archive.size:
            raise CheckpointError(f"damaged: its weights claim more than the file's {archive.size:,} bytes hold")
        tensors = {name: archive.tensor(record) for name, record in state.items()}
        network = models.build(asked, size)
        network.load_state_dict(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    network.weights = f"sha256:{archive.sha256}"
    return network


def write_checkpoint(path: Path, network: MfpModule) -> None:
    """Write weights and configuration as :func:`load` reads them (spec section 7)."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "config": network.config}, buffer)
    write_file(path, buffer.getvalue())


def _stage(contents: Any, index: int) -> Stage:
    stages = contents if isinstance(contents, list | tuple) else [contents]
    if not -len(stages) <= index < len(stages):
        raise CheckpointError(f"stage {index} was asked for, the file holds {len(stages)} (the first is 0)")
    found = stages[index]
    if isinstance(found, Mapping) and "state_dict" in found:
        return Stage(_state(found["state_dict"]), found.get("config"))
    return Stage(_state(found), None)


def _state(found: Any) -> dict[str, TensorRecord]:
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(f"expected a dictionary of tensors, got {reprlib.repr(found)}")
    if not all(isinstance(name, str) and isinstance(item, TensorRecord) for name, item in found.items()):
        raise CheckpointError(
            f"expected {{'state_dict': …, 'config': …}} or a dictionary of tensors, got one of {_some(found)}"
        )
    state = dict(found)
    for _ in range(4):  # DataParallel, once per wrapping
        if not all(name.startswith("module.") for name in state):
            break
        state = {name.removeprefix("module."): item for name, item in state.items()}
    return state


def _backbone_or_config(config: Mapping[str, Any] | None, backbone: str | None) -> str | Mapping[str, Any]:
    if config is None:
        if backbone is None:
            known = ", ".join(models.backbone_names())
            raise CheckpointError(f"weights without a configuration; pass backbone= (one of {known})")
        return backbone
    name = models.name_from_config(config)
    if backbone not in (None, name):
        kind = models.BACKBONES[name].checkpoint_class
        raise CheckpointError(f"backbone {backbone!r} was asked for, the file holds {name!r} ({kind})")
    return config


def _compare(state: dict[str, TensorRecord], expected: Mapping[str, torch.Tensor]) -> None:
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    if missing or extra:
        raise CheckpointError(
            f"its weights are not those of its network: {len(missing)} missing{_some(missing, ': ')}, "
            f"{len(extra)} unknown{_some(extra, ': ')}"
        )
    wrong = [
        f"{name} (expected {tuple(tensor.shape)}, got {state[name].shape})"
        for name, tensor in expected.items()
        if tuple(tensor.shape) != state[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{len(wrong)} weights of another shape than its network's{_some(wrong, ': ')}")
    wrong = [
        f"{name} (expected {tensor.dtype}, got {state[name].storage.dtype})"
        for name, tensor in expected.items()
        if tensor.is_floating_point() != (state[name].storage.dtype in FLOATS)
    ]
    if wrong:
        raise CheckpointError(f"{len(wrong)} weights of another type than its network's{_some(wrong, ': ')}")


def _printable(name: str) -> str:
    """A name as it is where it is harmless, else quoted and cut: a file must not write to the terminal."""
    return name if name.isprintable() and len(name) <= 120 else reprlib.repr(name)


def _some(names: Sequence[object] | Mapping[Any, Any], before: str = "") -> str:
    """The first few of a list, for a message; empty for an empty list."""
    shown = [_printable(name) if isinstance(name, str) else reprlib.repr(name) for name in list(names)[:NAMED]]
    return before + ", ".join(shown) + (", …" if len(names) > NAMED else "") if shown else ""
