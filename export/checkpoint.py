"""Reader and writer for the authors' checkpoint files (spec section 7), which hold networks and their weights.

A file holds ``{"state_dict": …, "config": {"class": …, "params": …}}``, a list of such stages, or a bare
state dict. Nothing in a file is executed: see :mod:`mfp.export.safe_pickle`.
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
NAMED = 3  # names of a longer list that an error message shows


class Stage(NamedTuple):
    """One network of a file: its weights, and its configuration if the file has one."""

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
        path: ``.pth`` file written by PyTorch 1.6 or newer, or the name of a packaged network.
        stage: index, from 0, of the network in a file that holds a list; negative counts from the end.
        backbone: backbone's name, required for a file without a configuration; otherwise it must agree with the file.
        size: network size (H, W) in pixels; None: the size in the configuration.

    Returns:
        The module, as ``mfp.export.models.build`` returns it; ``module.weights`` is "sha256:" and the SHA-256
        of the file.

    Raises:
        CheckpointError: the file is missing, is damaged, asks for code to be run, or is no MFP network; the
            message names the cause. Nothing in the file was executed.
        OptionError: the backbone is unknown, or the network cannot have this size.
    """
    path = find(Path(path), ".pth")
    if backbone is not None:
        models.spec(backbone)
    archive = Archive(path)
    try:
        state, config = _stage(archive.contents, stage)
        asked = _backbone_or_config(config, backbone)
        # Built on the meta device first: a hostile configuration allocates nothing before the layout is compared.
        with torch.device("meta"):
            expected = models.build(asked, size).state_dict()
        _compare(state, expected)
        # Checked before allocation: every weight is really in the file, not one storage under many names.
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
    """Write weights and configuration in the format that :func:`load` reads (spec section 7)."""
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
    for _ in range(4):  # DataParallel adds the prefix once per wrapping
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
    """A harmless name unchanged, any other quoted and cut: a file must not write to the terminal."""
    return name if name.isprintable() and len(name) <= 120 else reprlib.repr(name)


def _some(names: Sequence[object] | Mapping[Any, Any], before: str = "") -> str:
    """The first few names of a list, for a message; empty for an empty list."""
    shown = [_printable(name) if isinstance(name, str) else reprlib.repr(name) for name in list(names)[:NAMED]]
    return before + ", ".join(shown) + (", …" if len(names) > NAMED else "") if shown else ""
