"""Settings that an operator chooses; `mfp serve --help` lists them."""

from __future__ import annotations

import os
from dataclasses import dataclass

API = "/api/v1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Cores for each click that is computed concurrently. On 2 cores, one pass at a time on both serves about as many clicks
# a second as two at a time on one core each (13.0 and 13.7 with lite0), and answers a single user in half the time.
CORES_PER_WORKER = 4


@dataclass(frozen=True)
class Limits:
    """Limits on sessions.

    Attributes:
        image_pixels: maximum pixels of one photograph.
        sessions: maximum sessions in the store.
        memory: maximum bytes of all sessions in memory together; other sessions are rebuilt at their next call.
        side: maximum side of the network size that a client may ask for, in pixels.
        clicks: maximum clicks on one object; each keeps a map for undo.
        events: maximum events of one session.
        waiting: maximum calls that may wait for one session.
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
    """Settings of the HTTP side.

    Attributes:
        token: token that every request must have; empty: no token is required.
        hosts: allowed Host headers, as names or names with ports; empty: any.
        request_bytes: maximum bytes of one request's body.
        rate: maximum requests a second of one address; 0: no limit; None: only failed attempts are limited
            (:class:`~mfp.serve.http.rate_limit.Rate`).
        keep_days: days of a running server after which an unused session is deleted; 0: never.
        proxies: addresses, or networks such as 10.0.0.0/8, of proxies whose X-Forwarded-For is trusted.
    """

    token: str = ""
    hosts: tuple[str, ...] = ()
    request_bytes: int = 64 * 1024 * 1024
    rate: float | None = None
    keep_days: float = 30.0
    proxies: tuple[str, ...] = ()


def url_of(host: str, port: int) -> str:
    """Return the server's URL; an IPv6 address gets brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
