"""Reader for a checkpoint's configuration: turns untrusted values into checked values or a CheckpointError."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine.errors import CheckpointError

Params = Mapping[str, Any]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def flatten(config: object) -> tuple[str, dict[str, Any]]:
    """The class name (without its package) and ``{name: value}`` of a configuration (spec section 7).

    Raises:
        CheckpointError: the configuration does not have the form ``{"class": …, "params": {…}}``.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class"), str):
        raise CheckpointError(f"configuration: expected {{'class': name, 'params': {{…}}}}; got {reprlib.repr(config)}")
    params = config.get("params", {})
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise CheckpointError(f"configuration: expected 'params' by name; got {reprlib.repr(params)}")
    return config["class"].rsplit(".", 1)[-1], {name: _unwrapped(value) for name, value in params.items()}


def _unwrapped(value: Any) -> Any:
    return value["value"] if isinstance(value, Mapping) and {"type", "value"} <= value.keys() else value


def refusal(name: str, expected: str, value: object) -> CheckpointError:
    """The error for a parameter that the engine does not support."""
    return CheckpointError(f"configuration, parameter {name!r}: expected {expected}; got {reprlib.repr(value)}")


def require(params: Params, name: str, expected: object) -> None:
    """Refuse a configuration that has ``name`` with a value other than ``expected``."""
    if name in params and params[name] != expected:
        raise refusal(name, repr(expected), params[name])


def boolean(params: Params, name: str) -> bool:
    """``params[name]``, which must be True or False."""
    value = params[name]
    if not isinstance(value, bool):
        raise refusal(name, "True or False", value)
    return value


def integer(params: Params, name: str, low: int, high: int) -> int:
    """``params[name]``, which must be a whole number in [low, high]."""
    value = params[name]
    if not _whole(value) or not low <= value <= high:
        raise refusal(name, f"a whole number from {low} to {high}", value)
    return int(value)


def integers(params: Params, name: str, count: int, low: int, high: int) -> tuple[int, ...]:
    """``params[name]``, which must be ``count`` whole numbers in [low, high]; one number stands for all."""
    value = params[name]
    values = [value] * count if _whole(value) else value
    if (
        not isinstance(values, Sequence)
        or len(values) != count
        or not all(_whole(item) and low <= item <= high for item in values)
    ):
        raise refusal(name, f"{count} whole numbers from {low} to {high}", value)
    return tuple(values)


def number(params: Params, name: str, low: float, high: float) -> float:
    """``params[name]``, which must be a number in [low, high]."""
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise refusal(name, f"a number from {low:g} to {high:g}", value)
    return float(value)


def section(params: Params, name: str) -> Params:
    """``params[name]``, which must itself be a dictionary of parameters."""
    value = params[name]
    if not isinstance(value, Mapping):
        raise refusal(name, "a dictionary", value)
    return value


def check_common(params: Params) -> None:
    """Check that the network takes the engine's inputs: disks of radius 5, previous mask (spec sections 2 and 3).

    ``use_rgb_conv`` is ignored: published files have True and False for the same layers, and a file that
    really has such a layer differs in its state dict, which is compared name by name.
    """
    require(params, "use_disks", True)
    require(params, "norm_radius", 5)
    require(params, "with_prev_mask", True)


def normalisation(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the three channels; the authors' files hold a tuple or its ``str``."""
    value = params.get("norm_mean_std", _IMAGENET)
    if isinstance(value, str):
        found = [float(text) for text in _NUMBER.findall(value)]
        pair: Any = (found[:3], found[3:])
    else:
        pair = value
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(_three_numbers(part) for part in pair):
        raise refusal("norm_mean_std", "three means and three standard deviations", value)
    mean, std = tuple(map(float, pair[0])), tuple(map(float, pair[1]))
    if min(std) < 1e-6:  # smaller values become 0 in float32
        raise refusal("norm_mean_std", "standard deviations from 1e-6", value)
    return mean, std


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _three_numbers(part: object) -> bool:
    if not isinstance(part, Sequence) or isinstance(part, str) or len(part) != 3:
        return False
    return all(isinstance(item, int | float) and abs(item) <= 1e6 for item in part)
