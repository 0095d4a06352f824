"""Graceful shutdown: finish running requests, reject new ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fastapi import WebSocket

from ..errors import UnavailableError

GOING_AWAY = 1001  # close code of a WebSocket when the server ends


class Gate:
    """Counter of the running requests of one event loop, closed at shutdown.

    Attributes:
        sockets: open WebSockets.
    """

    def __init__(self) -> None:
        self._running = 0
        self._closed = False
        self.sockets: set[WebSocket] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Context manager around each request and each message.

        Raises:
            UnavailableError: the server is shutting down.
        """
        if self._closed:
            raise UnavailableError("the server is shutting down: try again in a moment")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Context manager within :meth:`running`, while a client is still sending: shutdown does not wait for it."""
        self._running -= 1
        try:
            yield
        finally:
            self._running += 1

    async def close(self, patience: float) -> None:
        """Reject new requests, wait at most ``patience`` seconds for running ones, and close the sockets."""
        self._closed = True
        end = time.monotonic() + patience
        while self._running and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for socket in list(self.sockets):
            with suppress(Exception):  # the socket may be closing already
                await socket.close(GOING_AWAY)
