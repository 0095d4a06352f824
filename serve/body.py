"""How much a request may bring, and how slowly."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..engine.errors import TooLargeError, TooSlowError, UnavailableError
from .answers import Refusal
from .gate import Gate
from .settings import API, Settings

SMALL = 64 * 1024  # bytes of a request of the API that brings no photograph
TOGETHER = 8  # requests of the largest size, whose bytes may be in memory at the same time
PATIENCE = 30.0  # seconds for the next piece of a body


class Body:
    """Middleware: counts the bytes as they come, whatever the request says of its length."""

    def __init__(self, app: ASGIApp, settings: Settings, gate: Gate) -> None:
        self._app, self._gate = app, gate
        self._limit = settings.request_bytes
        self._left = settings.request_bytes * TOGETHER

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        small = path.startswith(API) and path != f"{API}/sessions"
        limit = min(SMALL, self._limit) if small else self._limit
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        left, complete = limit, False

        async def counted() -> Message:
            nonlocal left, complete
            if complete:
                return await receive()
            try:
                with self._gate.outside():
                    message = await asyncio.wait_for(receive(), PATIENCE)
            except asyncio.TimeoutError:
                raise Refusal(TooSlowError(f"expected the next piece of the body within {PATIENCE:g} s")) from None
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                left -= size
                self._left -= size
                complete = not message.get("more_body", False)
                if left < 0:
                    raise Refusal(_too_large(limit))
                if self._left < 0:
                    raise Refusal(UnavailableError("too many photographs are on their way: try again in a moment"))
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._left += limit - left


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"expected a request of at most {limit:,} bytes; make the photograph smaller first")
