"""Networks and options of a session: what it begins with, and what stays when it goes on with another network."""

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
    """The network of this name.

    Raises:
        OptionError: there is none.
    """
    if name not in networks:
        raise OptionError(f"expected one of the networks {', '.join(networks)}, got {name!r}")
    return networks[name]


def available(networks: Mapping[str, Network], choice: Choice) -> Network:
    """The network of a choice that was made before.

    Raises:
        NetworkGoneError: it is not here, or another one has its name.
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
    """A new session's choice, with all options, so that a later default changes no session.

    Args:
        networks: by name.
        name: of one of them.
        options: that were asked for.
        side: pixels of the largest network size.

    Raises:
        OptionError: there is no network of this name, or the size is larger.
    """
    info = named(networks, name).info
    size = options.size
    if size is not None and max(size if isinstance(size, tuple) else (size,)) > side:
        raise OptionError(f"expected a size of at most {side} pixels a side, got {size}")
    given = {name: value for name, value in options.model_dump().items() if value is not None}
    return Choice(name, info.weights, _defaults(info) | given)


def switched(networks: Mapping[str, Network], before: Choice, name: str) -> Choice:
    """The choice of a session that goes on with another network.

    What is the same for all networks (flip, threshold) stays, and so does what was not the old network's own value; a
    network of one size has that size.

    Raises:
        OptionError: there is no network of this name.
    """
    info = named(networks, name).info
    old = networks.get(before.network)
    own = _defaults(info if old is None else old.info)  # what an old one that is gone had of its own is not known
    kept = {option: value for option, value in before.options.items() if option not in own or value != own[option]}
    options = _defaults(info) | kept
    if info.size is not None:
        options["size"] = info.size
    return Choice(name, info.weights, {option: options[option] for option in before.options})


def _defaults(info: NetworkInfo) -> dict[str, Any]:
    """What a network has of its own."""
    return {"size": info.size or DEFAULT_LONGER_SIDE, "n_early": info.n_early, "r_max": info.r_max}
