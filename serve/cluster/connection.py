"""Connection to a Ray cluster: a running one, or a temporary one on this machine only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.errors import OptionError, RuntimeMissingError
from ...engine.requirements import one_line

REACH = 5.0  # seconds to reach the head
INSTALL = "pip install 'mfp-engine[ray]'"


class Cluster(NamedTuple):
    """Attributes:
    ray: the module, connected.
    ours: whether this process started the cluster, and therefore ends it.
    """

    ray: Any
    ours: bool


@contextmanager
def connected(address: str = "", cpus: float | None = None) -> Iterator[Cluster]:
    """Context manager that yields a connected cluster.

    Args:
        address: ``"host:port"`` of a cluster's head; empty: the cluster that RAY_ADDRESS names or that runs on this
            machine, otherwise a new one on this machine; ``"local"``: always a new one on this machine.
        cpus: CPUs of a new cluster; None: all of this machine.

    Raises:
        RuntimeMissingError: Ray is not installed, or there is no cluster at the address.
        OptionError: the address is invalid.
    """
    try:
        import ray
    except ImportError:
        raise RuntimeMissingError(f"Ray is not installed; install it with: {INSTALL}") from None
    if ray.is_initialized():  # the application has connected already
        yield Cluster(ray, False)
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    ours = address == "local"
    if address in ("", "auto"):
        here = _noted_head()
        ours = address == "" and not (here and _reachable(here))
    elif not ours and not _reachable(address):  # fail early: Ray itself would try for minutes
        raise _no_cluster(address, "nothing answers")
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if ours:
            ray.init("local", num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            ray.init(address or "auto", **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, one_line(error)) from error
    try:
        yield Cluster(ray, ours)
    finally:
        ray.shutdown()


def _noted_head() -> str:
    """Address of the cluster started last on this machine, as Ray recorded it; that cluster may have ended since."""
    try:
        return (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster").read_text().strip()
    except OSError:
        return ""


def _reachable(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise OptionError(f"expected the address of a Ray cluster's head like 10.0.0.1:6379, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except (OSError, OverflowError):
        return False
    return True


def _no_cluster(address: str, why: str) -> RuntimeMissingError:
    return RuntimeMissingError(
        f"no Ray cluster to be had at {address or 'this machine'}: {why}. Start one with: ray start --head. "
        "One that asks for a token takes it from RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token"
    )
