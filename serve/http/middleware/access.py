"""Who may ask: the token, the host's name, and no other web page."""

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

PUBLIC = ("/healthz", "/readyz")  # and the page's own files, which ask for the token themselves
SAFE = ("GET", "HEAD", "OPTIONS")
SUBPROTOCOL = "mfp"  # of the WebSocket
BEARER = "bearer."  # begins the second subprotocol, by which a browser brings the token
NO_TOKEN = 4401  # close code


class Access:
    """Middleware in front of all routes.

    A server on this machine is within reach of every web page that its user opens. A page that resolves its own name to
    this machine gives that name as the host; a page that sends requests here is named by the browser as their origin.
    Both are refused.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.token.encode()
        # A name as it was given is an origin as well, which a proxy may pass on beside another host's name.
        self._names = {host.lower() for host in settings.hosts} - set(LOOPBACK)
        self._hosts = {_hostname(name) for name in settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if path not in PUBLIC:  # what watches over the server asks by its address
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
                # A browser tells its page nothing of a refused handshake, but the code of a closed connection.
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
        if origin is None:  # no browser
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
        elif scheme.lower() == "basic":  # any user, the token as password: what some tools offer
            with suppress(binascii.Error, ValueError):
                given.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
        if "token" in headers:  # what X-AnyLabeling calls its API key
            given.append(headers["token"])
        if not any(hmac.compare_digest(one.encode(), self._token) for one in given):
            raise AccessError(
                "a wrong token"
                if given
                else "expected the token that this server was started with: "
                "send it as the header Authorization: Bearer TOKEN"
            )


def chosen(subprotocols: Sequence[str]) -> str | None:
    """The subprotocol to answer with: ours where it is offered."""
    return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None


def _netloc(origin: str) -> str | None:
    """Host and port of an origin, in lower case; None where it is none, as ``null`` is."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _hostname(host: str) -> str:
    """The name alone of ``name:port`` or ``[address]:port``, in lower case; empty where it is neither."""
    if host.count(":") > 1 and not host.startswith("["):
        return host.lower()  # an IPv6 address as an operator writes it
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
