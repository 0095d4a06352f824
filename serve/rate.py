"""How much one client may ask: a bucket of tokens for each, filled at a constant rate."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict

from ..engine.errors import TooManyError

BURST = 2.0  # seconds' worth of requests that may come at once
CLIENTS = 10_000  # that are remembered


class Rate:
    """Requests a second, by client. From one event loop.

    Args:
        rate: requests a second; 0: as many as anyone likes.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._full = max(rate * BURST, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when that was

    def take(self, client: str) -> None:
        """Count one request.

        Raises:
            TooManyError: it is one too many.
        """
        if not self._rate:
            return
        key = _network(client)
        now = time.monotonic()
        tokens, since = self._buckets.pop(key, (self._full, now))
        tokens = min(tokens + (now - since) * self._rate, self._full)
        self._buckets[key] = (max(tokens - 1, 0.0), now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)  # the one that has been silent longest
        if tokens < 1:
            raise TooManyError(
                f"expected at most {self._rate:g} requests a second of one client: try again in a second"
            )


def _network(client: str) -> str:
    """What counts as one client: an address; of IPv6 its first 64 bits, as one customer has them all."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return client if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
