"""Outermost middleware: access log, metrics, security headers and the fallback 500 response."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import ServeError, UnavailableError
from .. import logs
from ..error_responses import response, route_path
from ..state import Desk

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
HEALTH = ("/healthz", "/readyz")  # always answered: during shutdown, under any load, at any rate
REQUEST_ID = "X-Request-Id"
ID = re.compile(r"[A-Za-z0-9._:=+/@-]{1,128}")  # ids accepted from a client or proxy; any other id is replaced
TOGETHER = 1000  # maximum requests and WebSockets at a time
FAILED = (401, 404)  # statuses and close codes that an attempt to guess a token or an id produces
FAILED_SOCKET = (4401, 4404)


class Watch:
    """Outermost middleware: logs, counts and limits requests, and adds security headers."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app, self._desk = app, desk
        self._together = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        id = given if ID.fullmatch(given) else secrets.token_hex(8)
        with logs.who(client=client(scope), request_id=id):
            if scope["type"] == "websocket":
                await self._socket(scope, receive, send, id)
            else:
                await self._request(scope, receive, send, id)

    async def _request(self, scope: Scope, receive: Receive, send: Send, id: str) -> None:
        status = 0
        started = time.perf_counter()
        method, path = scope["method"], scope["path"]

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers[REQUEST_ID] = id
            elif message["type"] == "http.response.body" and method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"} if method == "HEAD" else scope  # the same response without its body
        with logs.line("request", method=method, path=_path(path)) as fields:
            try:
                if path in HEALTH:
                    await self._app(inner, receive, watched)
                else:
                    if not path.startswith("/static/"):  # the page loads some thirty files at once
                        self._desk.rate.admit(client(scope))
                    with self._room(), self._desk.gate.running():
                        await self._app(inner, receive, watched)
            except Exception as error:
                if status:  # the response has begun: it can only be cut off
                    raise
                self._desk.metrics.error(type(error).__name__)
                await response(error)(inner, receive, watched)
            fields["status"] = status
        if status in FAILED:
            self._desk.rate.failed(client(scope))
        label = method if method in METHODS else "other"
        self._desk.metrics.request(label, _route(inner), status, time.perf_counter() - started)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, id: str) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "websocket.accept":
                fields["status"] = 101
                message = {**message, "headers": [*message.get("headers", ()), (REQUEST_ID.encode(), id.encode())]}
            elif message["type"] == "websocket.close":
                fields["code"] = message.get("code", 1000)
                if fields["code"] in FAILED_SOCKET:
                    self._desk.rate.failed(client(scope))
            await send(message)

        with logs.line("socket", path=_path(scope["path"])) as fields:
            try:
                self._desk.rate.admit(client(scope))
                with self._desk.gate.running():
                    pass
                with self._room():
                    await self._app(scope, receive, watched)
            except ServeError as error:
                self._desk.metrics.error(type(error).__name__)
                fields["status"] = await _refuse(error, scope, receive, send, id)

    @contextmanager
    def _room(self) -> Iterator[None]:
        if self._together >= TOGETHER:
            raise UnavailableError(f"{TOGETHER:,} requests and sockets are open: try again in a moment")
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1


async def _refuse(error: ServeError, scope: Scope, receive: Receive, send: Send, id: str) -> int:
    """Refuse a WebSocket handshake with an HTTP response, and return its status.

    ASGI servers without that extension answer 403.
    """
    answer = response(error)
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return 403
    answer.headers[REQUEST_ID] = id
    await send({"type": "websocket.http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})
    return answer.status_code


def client(scope: Scope) -> str:
    """Return the client that a request is counted for."""
    address = scope.get("client")
    return str(address[0]) if address else ""


def _route(scope: Scope) -> str:
    """Return the route pattern of the path."""
    static = "/static" if scope["path"].startswith("/static/") else "other"
    return route_path(scope) or static


def _path(path: str) -> str:
    """Return the path with a session's id cut to its first characters."""
    return "/".join(part[: logs.SESSION] + "…" if len(part) >= 20 else part for part in path[:200].split("/"))
