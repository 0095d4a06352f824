"""Access control: checks the token, the Host header and the Origin header of each request."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import AccessError, OriginError
from ...settings import LOOPBACK, Settings

PUBLIC = ("/healthz", "/readyz")  # the page's own files are public too; the page asks for the token itself
SAFE = ("GET", "HEAD", "OPTIONS")
SUBPROTOCOL = "mfp"  # subprotocol of the WebSocket
BEARER = "bearer."  # prefix of the second subprotocol, in which a browser sends the token
NO_TOKEN = 4401  # close code of a WebSocket without the right token


class Access:
    """Middleware that checks access to all routes.

    Every web page that a user opens can reach a server on the user's machine. A page whose own name resolves to this
    machine (DNS rebinding) sends that name in the Host header. For a page that sends requests to this server, the
    browser names the page in the Origin header. Both are refused.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.token.encode()
        # Each allowed host name is an allowed origin too: a proxy may pass that origin on with another Host header.
        self._names = {host.lower() for host in settings.hosts} - set(LOOPBACK)
        self._hosts = {_hostname(name) for name in settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if path not in PUBLIC:  # health checks use the server's IP address as the host
            self._check_host(headers)
        socket = scope["type"] == "websocket"
        if socket or scope["method"] not in SAFE:
            self._check_origin(headers)
        if self._token and path != "/" and path not in PUBLIC and not path.startswith("/static/"):
            try:
                self._check_token(headers, scope.get("subprotocols", ()))
            except AccessError:
                if not socket:
                    raise
                # A browser hides a refused handshake from its page, but reports the close code of a connection.
                await receive()
                await send({"type": "websocket.accept", "subprotocol": chosen(scope.get("subprotocols", ()))})
                await send({"type": "websocket.close", "code": NO_TOKEN, "reason": "token"})
                return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        if not self._hosts:
            return
        host = headers.get("host", "")
        if _hostname(host) not in self._hosts:
            raise OriginError(
                f"expected a request for {', '.join(sorted(self._hosts))}, got one for {host[:100]!r}; if that is this "
                f"server's name at a proxy, start it with --allow-host {_hostname(host)[:100] or 'NAME'}"
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:  # the client is not a browser
            return
        if _netloc(origin) not in {headers.get("host", "").lower(), *self._names}:
            name = _netloc(origin)
            proxy = f"; if that is this server's name at a proxy, start it with --allow-host {name}" if name else ""
            raise OriginError(
                f"expected a request of this server's own page, at {headers.get('host', '')[:100]!r}, got one of "
                f"{origin[:100]!r}{proxy[:200]}"
            )

    def _check_token(self, headers: Headers, subprotocols: Sequence[str]) -> None:
        given = [name.removeprefix(BEARER) for name in subprotocols if name.startswith(BEARER)]
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            given.append(value.strip())
        elif scheme.lower() == "basic":  # any user name, with the token as password: some tools offer only this
            with suppress(binascii.Error, ValueError):
                given.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
        if "token" in headers:  # the header in which X-AnyLabeling sends its API key
            given.append(headers["token"])
        if not any(hmac.compare_digest(one.encode(), self._token) for one in given):
            raise AccessError(
                "a wrong token"
                if given
                else "expected the token that this server was started with: "
                "send it as the header Authorization: Bearer TOKEN"
            )


def chosen(subprotocols: Sequence[str]) -> str | None:
    """Return the subprotocol to answer with: :data:`SUBPROTOCOL` if the client offers it, else None."""
    return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None


def _netloc(origin: str) -> str | None:
    """Return host and port of an origin, in lower case; None if it is not an origin, such as ``null``."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _hostname(host: str) -> str:
    """Return the name of ``name:port`` or ``[address]:port``, in lower case; empty if the host is neither."""
    if host.count(":") > 1 and not host.startswith("["):
        return host.lower()  # an IPv6 address without brackets, as an operator may write it
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
