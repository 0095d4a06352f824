"""The networks that a server offers, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..engine.errors import OptionError
from ..engine.network import RUNTIMES, Network, load_network


def load_networks(sources: Sequence[str], runtime: str = "auto", **options: Any) -> dict[str, Network]:
    """Open networks.

    Args:
        sources: ``lite0``, a file, or either followed by ``@`` and a runtime: ``hrnet18.onnx@openvino``. The name is
            the file's without its ending, with the runtime where one was given.
        runtime: of those that name none.
        options: of :func:`~mfp.engine.network.load_network`.

    Raises:
        OptionError: two have the same name.
        NetworkError, RuntimeMissingError: as of ``load_network``.
    """
    networks: dict[str, Network] = {}
    for source in sources:
        path, at, chosen = source.rpartition("@")
        if not at or chosen not in RUNTIMES:
            path, chosen = source, ""
        name = Path(path).stem + (f"@{chosen}" if chosen else "")
        if name in networks:
            raise OptionError(f"expected networks of different names, got {name} twice: rename one of the files")
        networks[name] = load_network(path, chosen or runtime, **options)
    return networks
