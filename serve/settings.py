"""What an operator decides; `mfp serve --help` names each."""

from __future__ import annotations

import os
from dataclasses import dataclass

API = "/api/v1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Of clicks worked on side by side. On 2 cores one pass after another on both serves about as many clicks a second as
# two at a time on one each (13.0 and 13.7 with lite0), and answers a person who is alone in half the time.
CORES_PER_WORKER = 4


@dataclass(frozen=True)
class Limits:
    """What sessions may take.

    Attributes:
        image_pixels: of one photograph.
        sessions: in the store.
        memory: bytes that sessions in memory may take together; the others are rebuilt at their next call.
        side: pixels of the network size that a client may ask for.
        clicks: of one object; each keeps a map for undo.
        events: of one session.
        waiting: calls that may wait for one session.
    """

    image_pixels: int = 50_000_000
    sessions: int = 10_000
    memory: int = 2_000_000_000
    side: int = 1024
    clicks: int = 200
    events: int = 10_000
    waiting: int = 32


@dataclass(frozen=True)
class Settings:
    """What the HTTP side allows.

    Attributes:
        token: that every request must bring; empty: none is asked for.
        hosts: names, or names with ports, that requests may give for this server; empty: any.
        request_bytes: of one request's body.
        rate: requests a second of one address; 0: as many as it likes; None: as many as it likes that do not fail
            (:class:`~mfp.serve.http.rate_limit.Rate`).
        keep_days: of a running server, that a session stays without use; 0: for ever.
        proxies: addresses, or networks as 10.0.0.0/8, of proxies whose X-Forwarded-For is believed.
    """

    token: str = ""
    hosts: tuple[str, ...] = ()
    request_bytes: int = 64 * 1024 * 1024
    rate: float | None = None
    keep_days: float = 30.0
    proxies: tuple[str, ...] = ()


def url_of(host: str, port: int) -> str:
    """The server's address; of IPv6 with brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def cores() -> int:
    """Of the processor, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
