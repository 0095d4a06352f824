"""Limits on request bodies: their size, their speed, and the query parameters beside them."""

from __future__ import annotations

import asyncio
import re

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import MediaTypeError, TooLargeError, TooSlowError, UnavailableError
from ...settings import API, Settings
from ..error_responses import Refusal, route_path
from ..shutdown import Gate

SMALL = 64 * 1024  # maximum bytes of an API request without a photograph
TOGETHER = 8  # number of requests of the largest size whose bytes may be in memory at the same time
PATIENCE = 30.0  # seconds to wait for the next piece of a body

BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"BM")  # first bytes of accepted files
# For bodies of other kinds: their first bytes, their kind, and what to do instead.
CURL = "curl --data-binary @photo.jpg"
OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\s*[\[{]"), "JSON"),
    (
        re.compile(rb"\s*\"?(data:image/|(/9j/|iVBORw0KGgo|UklGR|SUkqA|TU0AK|Qk[0-9A-Za-z+/]{20})[0-9A-Za-z+/=\s])"),
        "base64",
    ),
    (re.compile(rb"\s*\"?(https?|ftp|s3|gs|file)://\S+", re.IGNORECASE), "an address"),
    (re.compile(rb"--[^\r\n]{1,200}\r?\nContent-", re.IGNORECASE), "a form"),
    (re.compile(rb"[A-Za-z_][\w.-]{0,40}=[\w%.+*&=-]*$"), "a form"),
)
DO = {
    "JSON": "the options are query parameters",
    "base64": "decode it first",
    "an address": "fetch the photograph first",
    "a form": "not as a form's field; with requests: data=file.read(), not files=",
}


class Body:
    """Middleware that counts the bytes of a body as they arrive, whatever length the request declares."""

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


async def photograph(request: Request) -> bytes:
    """Read the body of a request that uploads a photograph.

    Raises:
        MediaTypeError: the body is a form, JSON, base64 or a URL, which other servers accept.
    """
    data = await request.body()
    if data.startswith(BEGINNINGS):  # the content decides, not the Content-Type
        return data
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise _other_kind("a form")
    if kind == "application/json" or kind.endswith("+json"):
        raise _other_kind("JSON")
    for pattern, what in OTHERS:
        if pattern.match(data[:1000]):
            raise _other_kind(what)
    return data


def _other_kind(what: str) -> MediaTypeError:
    return MediaTypeError(f"expected the photograph's own bytes as the body ({CURL}), got {what}: {DO[what]}")


def known_query(request: Request) -> None:
    """Refuse query parameters that a route does not have: a misspelt one would be ignored silently.

    Raises:
        RequestValidationError: the request has an unknown parameter.
    """
    operation = request.app.openapi()["paths"][route_path(request.scope)][request.method.lower()]
    known = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        choice = f"expected one of {', '.join(sorted(known))}" if known else "expected none here"
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name[:100]), "msg": choice} for name in unknown]
        )


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"expected a request of at most {limit:,} bytes; make the photograph smaller first")
