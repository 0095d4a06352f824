"""The Ray cluster that work goes to: one that runs, or one of this machine alone for as long as the work takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..engine.errors import RuntimeMissingError
from ..engine.runtimes import one_line

INSTALL = "pip install 'mfp-engine[ray]'"


class Cluster(NamedTuple):
    """Attributes:
    ray: the module, connected.
    ours: whether the cluster was begun here, and ends here.
    """

    ray: Any
    ours: bool


@contextmanager
def connected(address: str = "", cpus: float | None = None) -> Iterator[Cluster]:
    """A cluster, for the length of the statement.

    Args:
        address: ``"host:port"`` of a cluster's head; empty: the one that RAY_ADDRESS names or that runs on this
            machine, or else a new one here; ``"local"``: a new one here in any case.
        cpus: that a new one has to give away; None: as many as this machine has.

    Raises:
        RuntimeMissingError: Ray is not installed, or there is no cluster at the address.
    """
    # Before the import, which reads it: nothing of what runs here is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise RuntimeMissingError(f"Ray is not installed; install it with: {INSTALL}") from None
    if ray.is_initialized():  # by the application
        yield Cluster(ray, False)
        return
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        ours = address == "local"
        if not ours:
            try:
                ray.init(address or "auto", **quiet)
            except ConnectionError:
                if address or os.environ.get("RAY_ADDRESS"):
                    raise
                ours = True
        if ours:
            ray.init("local", num_cpus=cpus, include_dashboard=False, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise RuntimeMissingError(
            f"no Ray cluster to be had at {address or 'this machine'}: {one_line(error)}. "
            "Start one with: ray start --head"
        ) from error
    try:
        yield Cluster(ray, ours)
    finally:
        ray.shutdown()
