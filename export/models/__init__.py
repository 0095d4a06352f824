"""The MFP networks in PyTorch, for inference: they keep the release's state-dict names and the network contract.

``forward(image, prev_mask, modulated_mask, clicks) -> logits`` follows ``mfp.engine.contract``
(float32 N×3×H×W in [0, 1], N×1×H×W, N×1×H×W, N×2×H×W → N×1×H×W; spec section 2). Normalisation and the
last resize are part of the network. Importing this package needs no PyTorch; building a network does.

How to add a backbone
---------------------
Add one file to this folder and one line to :data:`BACKBONES`. The file defines two names:

- ``DEFAULT_PARAMS``: the configuration of the published weights, ``{name: value}``; a checkpoint's own
  configuration overrides it, name by name.
- ``build(params, size) -> MfpModule``: the network for such a dictionary. ``size`` is (H, W) or None; a network
  that is built for one size sets its attribute ``size``, one that takes any size leaves it None. The class
  derives from :class:`mfp.export.models.blocks.MfpModule`, which documents the rest. Values of ``params`` come
  from an untrusted file: read them through :mod:`mfp.export.models.params`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...engine.contract import BackboneSpec
from ...engine.errors import CheckpointError, OptionError
from .params import check_common, flatten, integer, number

if TYPE_CHECKING:
    from .blocks import MfpModule


@dataclass(frozen=True)
class Backbone:
    """A backbone's module, and the class name in the configuration of its checkpoints."""

    module: str
    checkpoint_class: str
    spec: BackboneSpec


BACKBONES = {
    "resnet34": Backbone("resnet34", "DeeplabModel_prevMod", BackboneSpec("resnet34", (384, 384), 128)),
    "hrnet18": Backbone("hrnet18", "HRNetModel_prevMod", BackboneSpec("hrnet18", (320, 480), 270)),
    "vit_b": Backbone("vit", "PlainVitModel_prevMod", BackboneSpec("vit_b", (448, 448), 256, any_size=False)),
    "lite0": Backbone("lite0", "Lite0Model_prevMod", BackboneSpec("lite0", (384, 384), 96)),
}


def backbone_names() -> tuple[str, ...]:
    """The names that :func:`spec` and :func:`build` accept."""
    return tuple(BACKBONES)


def spec(name: str) -> BackboneSpec:
    """Size, width and modulation values of the published weights of a backbone.

    Raises:
        OptionError: no backbone has this name.
    """
    return _backbone(name).spec


def name_from_config(config: object) -> str:
    """The backbone's name for a checkpoint's configuration.

    Raises:
        CheckpointError: the configuration is malformed, or no backbone has its class.
    """
    class_name, _ = flatten(config)
    for name, backbone in BACKBONES.items():
        if class_name == backbone.checkpoint_class:
            return name
    known = ", ".join(backbone.checkpoint_class for backbone in BACKBONES.values())
    raise CheckpointError(f"expected a configuration of one of the classes {known}; got {reprlib.repr(class_name)}")


def build(backbone_or_config: str | Mapping[str, Any], size: tuple[int, int] | None = None) -> MfpModule:
    """An MFP network in eval mode, with PyTorch's random initial weights.

    Args:
        backbone_or_config: name from :func:`backbone_names`, or the configuration of a checkpoint,
            ``{"class": "….HRNetModel_prevMod", "params": {name: value}}``; a value may also be wrapped as
            ``{"type", "value", "specified"}``, as in the authors' files (spec section 7).
        size: network size (H, W) in pixels; None: the size of the configuration. Networks with
            ``spec.any_size`` take other sizes as well, the others only this one.

    Returns:
        The module. ``module.spec`` is its BackboneSpec, ``module.output_layer`` the dotted name of the layer
        that computes the logits, ``module.config`` the configuration with every value filled in (``build``
        accepts it).

    Raises:
        OptionError: the name is unknown, or the network cannot have this size.
        CheckpointError: the configuration is not supported; the message names the parameter.
    """
    if isinstance(backbone_or_config, str):
        name, given = backbone_or_config, {}
    else:
        name, given = name_from_config(backbone_or_config), flatten(backbone_or_config)[1]
    backbone, size = _backbone(name), _checked(size)
    implementation = import_module(f".{backbone.module}", __name__)
    published = {"N": backbone.spec.n_early, "R_max": backbone.spec.r_max, **implementation.DEFAULT_PARAMS}
    params = _filled(published, given)
    check_common(params)
    n_early = integer(params, "N", 0, 1_000_000)
    r_max = number(params, "R_max", 1.0, 1e6)

    network: MfpModule = implementation.build(params, size)
    network.spec = replace(
        backbone.spec,
        size=network.size or size or backbone.spec.size,
        channels=network.channels,
        n_early=n_early,
        r_max=r_max,
    )
    network.config = {"class": backbone.checkpoint_class, "params": params}
    network.requires_grad_(False)
    network.eval()
    return network


def _backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise OptionError(f"backbone: expected one of {', '.join(BACKBONES)}; got {name!r}")
    return BACKBONES[name]


def _checked(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = tuple(size)
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise OptionError(f"size: expected (height, width) in whole pixels, at least 1 each; got {size!r}")
    return sides[0], sides[1]


def _filled(published: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``published`` overridden by ``given``, also one level into dictionaries such as ``backbone_params``."""
    filled = {**published, **given}
    for name, value in published.items():
        if isinstance(value, dict) and isinstance(filled[name], dict):
            filled[name] = {**value, **filled[name]}
    return filled
