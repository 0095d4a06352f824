"""How much one client may ask: a bucket of tokens for each, filled at a constant rate."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict

from ..errors import TooManyError

BURST = 2.0  # seconds' worth of requests that may come at once
CLIENTS = 10_000  # that are remembered
FAILURES = 100.0  # attempts a second that fail
LATER = "try again in a second"


class Rate:
    """Requests a second, by client's address. From one event loop.

    Many people may share one address: behind a router, or a proxy that is not named to the server. So without a rate of
    the operator's own it is failed attempts that are counted, by which tokens and sessions' ids are guessed; they use
    up what the address has, and the other requests wait for each other in the queues alone.

    Args:
        rate: requests a second; 0: as many as anyone likes; None: :data:`FAILURES` that fail.
    """

    def __init__(self, rate: float | None) -> None:
        self._all = rate is not None
        self._rate = FAILURES if rate is None else rate
        self._full = max(self._rate * BURST, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when that was

    def take(self, client: str) -> None:
        """Count a request of somebody who was let in before.

        Raises:
            TooManyError: it is one too many.
        """
        if self._all:
            self._count(client)

    def admit(self, client: str) -> None:
        """Count a request of anybody.

        Raises:
            TooManyError: it is one too many, or follows on too many failures.
        """
        if self._all:
            self._count(client)
        elif self._tokens(_network(client)) < 1:
            raise TooManyError(f"expected at most {FAILURES:g} failed attempts a second of one address: {LATER}")

    def failed(self, client: str) -> None:
        """Count a wrong token, or the id of a session that is none."""
        if not self._all:
            self._spend(client)

    def _count(self, client: str) -> None:
        if self._rate and not self._spend(client):
            raise TooManyError(f"expected at most {self._rate:g} requests a second of one client: {LATER}")

    def _spend(self, client: str) -> bool:
        """Take a token; False where there is none left."""
        key = _network(client)
        tokens = self._tokens(key)
        self._buckets.pop(key, None)
        self._buckets[key] = (max(tokens - 1, 0.0), time.monotonic())
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)  # the one that has been silent longest
        return tokens >= 1

    def _tokens(self, key: str) -> float:
        now = time.monotonic()
        tokens, since = self._buckets.get(key, (self._full, now))
        return min(tokens + (now - since) * self._rate, self._full)


def _network(client: str) -> str:
    """What counts as one client: an address; of IPv6 its first 64 bits, as one customer has them all."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return client if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
