"""The Ray cluster that work goes to: one that runs, or one of this machine alone for as long as the work takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..engine.errors import RuntimeMissingError
from ..engine.runtimes import one_line

INSTALL = "pip install 'mfp-engine[ray]'"


@contextmanager
def connected(address: str = "") -> Iterator[Any]:
    """The module ``ray``, connected.

    Args:
        address: ``"host:port"`` of a cluster's head; empty: the cluster that RAY_ADDRESS names or that runs on this
            machine, or else a new one here, which ends with the statement. ``"local"``: a new one in any case.

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
        yield ray
        return
    try:
        ray.init(address=address or None, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise RuntimeMissingError(
            f"no Ray cluster to be had at {address or 'this machine'}: {one_line(error)}. "
            "Start one with: ray start --head"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
