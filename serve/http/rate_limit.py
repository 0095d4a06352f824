"""Rate limit: a token bucket for each client, filled at a constant rate."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict

from ..errors import TooManyError

BURST = 2.0  # capacity of a bucket, in seconds of the rate
CLIENTS = 10_000  # maximum number of buckets
FAILURES = 100.0  # allowed failed attempts a second
LATER = "try again in a second"


class Rate:
    """Token buckets by client address, limiting requests a second. Used from one event loop.

    Many users may share one address: behind a router, or behind a proxy that the server does not know. Without a rate
    set by the operator, only failed attempts are therefore counted, because guessing tokens or session ids produces
    them. Failed attempts empty the bucket of their address; other requests are limited only by the queues.

    Args:
        rate: requests a second; 0: no limit; None: only failed attempts are limited, to :data:`FAILURES` a second.
    """

    def __init__(self, rate: float | None) -> None:
        self._all = rate is not None
        self._rate = FAILURES if rate is None else rate
        self._full = max(self._rate * BURST, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and the time of that number

    def take(self, client: str) -> None:
        """Count a request of a client that was admitted before.

        Raises:
            TooManyError: the client exceeds the rate.
        """
        if self._all:
            self._count(client)

    def admit(self, client: str) -> None:
        """Count a request of any client.

        Raises:
            TooManyError: the client exceeds the rate, or had too many failed attempts.
        """
        if self._all:
            self._count(client)
        elif self._tokens(_network(client)) < 1:
            raise TooManyError(f"expected at most {FAILURES:g} failed attempts a second of one address: {LATER}")

    def failed(self, client: str) -> None:
        """Count a failed attempt: a wrong token, or an id that no session has."""
        if not self._all:
            self._spend(client)

    def _count(self, client: str) -> None:
        if self._rate and not self._spend(client):
            raise TooManyError(f"expected at most {self._rate:g} requests a second of one client: {LATER}")

    def _spend(self, client: str) -> bool:
        """Take a token from the bucket; return False if there was none."""
        key = _network(client)
        tokens = self._tokens(key)
        self._buckets.pop(key, None)
        self._buckets[key] = (max(tokens - 1, 0.0), time.monotonic())
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)  # the client that has been silent longest
        return tokens >= 1

    def _tokens(self, key: str) -> float:
        now = time.monotonic()
        tokens, since = self._buckets.get(key, (self._full, now))
        return min(tokens + (now - since) * self._rate, self._full)


def _network(client: str) -> str:
    """Return the key of a client: its address, or the first 64 bits of an IPv6 address.

    One customer usually has all addresses of such a /64 network.
    """
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return client if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
