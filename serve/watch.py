"""Around everything: a line in the log, a count, the security headers, and an answer where all else failed."""

from __future__ import annotations

import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..engine.errors import ServeError
from . import logs
from .answers import response, route_path
from .desk import Desk

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # others share a label: clients invent them
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Watch:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app, self._desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0
        started = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with logs.line("request", method=scope["method"], path=_path(scope["path"])) as fields:
            try:
                if scope["path"] in ("/healthz", "/readyz"):  # also while shutting down, and as often as anyone likes
                    await self._app(scope, receive, watched)
                else:
                    self._desk.rate.take(client(scope))
                    with self._desk.gate.running():
                        await self._app(scope, receive, watched)
            except Exception as error:
                if status:  # the answer has begun: it can only be cut off
                    raise
                self._desk.metrics.error(type(error).__name__)
                await response(error)(scope, receive, watched)
            fields["status"] = status
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._desk.metrics.request(method, _route(scope), status, time.perf_counter() - started)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._desk.rate.take(client(scope))
            with self._desk.gate.running():
                pass
            await self._app(scope, receive, send)
        except ServeError as error:
            self._desk.metrics.error(type(error).__name__)
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before accept: the handshake is answered with 403


def client(scope: Scope) -> str:
    """Whom to count a request for."""
    address = scope.get("client")
    return str(address[0]) if address else ""


def _route(scope: Scope) -> str:
    """The pattern of the path."""
    static = "/static" if scope["path"].startswith("/static/") else "other"
    return route_path(scope) or static


def _path(path: str) -> str:
    """The path without the better part of a session's id."""
    return "/".join(part[: logs.SESSION] + "…" if len(part) >= 20 else part for part in path[:200].split("/"))
