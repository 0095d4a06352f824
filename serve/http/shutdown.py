"""The way out: what has begun is finished and answered, what comes later is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fastapi import WebSocket

from ..errors import UnavailableError

GOING_AWAY = 1001  # close code


class Gate:
    """Counts what is at work in one event loop.

    Attributes:
        sockets: that are open.
    """

    def __init__(self) -> None:
        self._running = 0
        self._closed = False
        self.sockets: set[WebSocket] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around each request and each message.

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
        """Within :meth:`running`, while a client has not sent all: nobody waits for it when the server ends."""
        self._running -= 1
        try:
            yield
        finally:
            self._running += 1

    async def close(self, patience: float) -> None:
        """Let nothing in, wait for what is at work, at most so many seconds, and close the sockets."""
        self._closed = True
        end = time.monotonic() + patience
        while self._running and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for socket in list(self.sockets):
            with suppress(Exception):  # it may be closing already
                await socket.close(GOING_AWAY)
