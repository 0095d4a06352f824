"""Choice of a session's network and options, at its start and when it switches to another network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.contract import DEFAULT_LONGER_SIDE, NetworkInfo
from ...engine.errors import OptionError
from ...engine.network import Network
from ..errors import NetworkGoneError
from ..events import Choice
from ..schemas import SessionOptions


def named(networks: Mapping[str, Network], name: str) -> Network:
    """Return the network of this name.

    Raises:
        OptionError: no network has this name.
    """
    if name not in networks:
        raise OptionError(f"expected one of the networks {', '.join(networks)}, got {name!r}")
    return networks[name]


def available(networks: Mapping[str, Network], choice: Choice) -> Network:
    """Return the network of a choice that was made before.

    Raises:
        NetworkGoneError: the network is not loaded, or another one has its name.
    """
    network = networks.get(choice.network)
    if network is None or network.info.weights != choice.weights:
        raise NetworkGoneError(
            f"this was made with the network {choice.network!r} of weights {choice.weights}, "
            f"which this server does not have: start it with --network of that file, or go on with the network "
            f"{next(iter(networks))!r}"
        )
    return network


def chosen(networks: Mapping[str, Network], name: str, options: SessionOptions, side: int) -> Choice:
    """Return a new session's choice with all options set, so that a later change of defaults changes no session.

    Args:
        networks: networks by name.
        name: name of one of them.
        options: options that the client asked for.
        side: maximum side of the network size, in pixels.

    Raises:
        OptionError: no network has this name, or the size is too large.
    """
    info = named(networks, name).info
    size = options.size
    if size is not None and max(size if isinstance(size, tuple) else (size,)) > side:
        raise OptionError(f"expected a size of at most {side} pixels a side, got {size}")
    given = {name: value for name, value in options.model_dump().items() if value is not None}
    return Choice(name, info.weights, _defaults(info) | given)


def switched(networks: Mapping[str, Network], before: Choice, name: str) -> Choice:
    """Return the choice of a session that switches to another network.

    Options that do not depend on the network (flip, threshold) stay, and so do values that differ from the old
    network's defaults. A network of fixed size sets that size.

    Raises:
        OptionError: no network has this name.
    """
    info = named(networks, name).info
    old = networks.get(before.network)
    own = _defaults(info if old is None else old.info)  # the defaults of an old network that is gone are unknown
    kept = {option: value for option, value in before.options.items() if option not in own or value != own[option]}
    options = _defaults(info) | kept
    if info.size is not None:
        options["size"] = info.size
    return Choice(name, info.weights, {option: options[option] for option in before.options})


def _defaults(info: NetworkInfo) -> dict[str, Any]:
    """Return the options whose defaults depend on the network."""
    return {"size": info.size or DEFAULT_LONGER_SIDE, "n_early": info.n_early, "r_max": info.r_max}
