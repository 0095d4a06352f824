"""HTTP connections of uvicorn with two additions: a time limit for headers and a limit on idle connections.

An idle connection never keeps another one out: if there are too many, the one that has been idle longest is closed.
Running requests are limited by :mod:`mfp.serve.http.middleware.request_log`, which answers with an error message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:  # uvicorn chooses between two protocols with the same interface
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol
else:
    Protocol = AutoHTTPProtocol

HEADERS = 15.0  # seconds from the start of the wait to the end of a request's headers
IDLE = 500  # connections without a request
WORDS = b'{"error": "TooSlowError", "message": "expected a whole request within %d s"}' % HEADERS
LATE = b"\r\n".join(
    (
        b"HTTP/1.1 408 Request Timeout",
        b"connection: close",
        b"content-type: application/json",
        b"content-length: %d" % len(WORDS),
        b"",
        WORDS,
    )
)


class Connection(Protocol):
    """An HTTP connection, until it is upgraded to a WebSocket."""

    waiting: ClassVar[dict[Connection, None]] = {}  # idle connections, the longest idle first
    _timer: asyncio.TimerHandle | None = None
    _begun = False  # some bytes of a request have arrived
    _upgraded = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._begun = True
        super().data_received(data)
        if self._at_work() or self._upgraded or self.transport.is_closing():
            self._end_wait()
        elif self._timer is None:
            self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._begun = False
        if not self._at_work() and not self.transport.is_closing():
            self._wait()

    def handle_websocket_upgrade(self, *arguments: Any) -> None:
        self._upgraded = True
        super().handle_websocket_upgrade(*arguments)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        super().connection_lost(exc)

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._end_wait()
        self._timer = self.loop.call_later(HEADERS, self._late)
        self.waiting[self] = None
        if len(self.waiting) > IDLE:
            next(iter(self.waiting))._late()

    def _end_wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.waiting.pop(self, None)

    def _late(self) -> None:
        self._end_wait()
        if not self.transport.is_closing():
            if self._begun:
                self.transport.write(LATE)
            self.transport.close()
