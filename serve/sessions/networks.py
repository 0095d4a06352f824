"""Loading of the networks that a server offers, by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import OptionError
from ...engine.network import RUNTIMES, Network, load_network
from ...engine.packaged import find
from ...engine.session import Session
from ..settings import cores


def load_networks(
    sources: Sequence[str], runtime: str = "auto", threads: int | None = None, workers: int = 1, **options: Any
) -> dict[str, Network]:
    """Load networks, and run each once to warm it up.

    Args:
        sources: ``lite0``, a file, or either followed by ``@`` and a runtime: ``hrnet18.onnx@openvino``. The network's
            name is the file's without its extension, with the runtime if one was given.
        runtime: runtime of sources that name none.
        threads: CPU threads of one pass; None: with ONNX Runtime the cores are divided among the workers; other
            runtimes share threads between passes by themselves.
        workers: number of passes that run concurrently.
        options: options of :func:`~mfp.engine.network.load_network`.

    Raises:
        OptionError: two sources have the same name.
        NetworkError, RuntimeMissingError: ``load_network`` raised it.
    """
    networks: dict[str, Network] = {}
    for source in sources:
        path, at, chosen = source.rpartition("@")
        if not at or chosen not in RUNTIMES:
            path, chosen = source, ""
        name = Path(path).stem + (f"@{chosen}" if chosen else "")
        if name in networks:
            raise OptionError(f"expected networks of different names, got {name} twice: rename one of the files")
        own = threads
        if own is None and (chosen or runtime) in ("auto", "onnxruntime") and _is_for_onnxruntime(path):
            own = max(cores() // workers, 1)
        networks[name] = load_network(path, chosen or runtime, threads=own, **options)
        _warm_up(networks[name])
    return networks


def _warm_up(network: Network) -> None:
    """Run one click on an empty image, so that the first user does not wait for the runtime's first pass."""
    with Session(network, np.zeros((32, 32, 3), np.uint8)) as session:
        session.click(16, 16)


def _is_for_onnxruntime(path: str) -> bool:
    # Concurrent passes of ONNX Runtime wait for one another's threads: on 2 cores, two passes with one thread each take
    # about half the processor time of two passes with two threads each.
    return find(path).suffix == ".onnx" and find_spec("onnxruntime") is not None
