"""HTTP error responses: a status for each error, and one body for all (:class:`~mfp.serve.schemas.ErrorMessage`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from ...engine.errors import ClickError, ImageError, MfpError, OptionError, SessionError
from ..errors import (
    AccessError,
    MediaTypeError,
    OriginError,
    ServeError,
    StoreError,
    TooLargeError,
    TooManyError,
    TooSlowError,
    UnavailableError,
    UnknownSessionError,
)
from ..schemas import ErrorMessage
from ..settings import API
from . import logs

# The first class that fits gives the status. An error that is not listed is a fault of the server: 500.
STATUS: dict[type[BaseException], int] = {
    OriginError: 403,
    AccessError: 401,
    UnknownSessionError: 404,
    SessionError: 409,
    TooSlowError: 408,
    TooLargeError: 413,
    MediaTypeError: 415,
    TooManyError: 429,
    UnavailableError: 503,
    StoreError: 503,
    ClickError: 400,
    ImageError: 400,
    OptionError: 400,
    MemoryError: 503,
}
WHEN = {
    400: "a body that is no JSON; a click, an image or an option that is not accepted",
    401: "no token, or a wrong one",
    403: "a request from another web page, or for another host",
    404: "no such session, or no such object in it",
    408: "the body did not come",
    409: "the session is at another revision, or cannot do this in its present state; nothing was changed",
    413: "too many bytes or pixels",
    415: "a body of another kind: not the photograph's bytes, or no JSON",
    422: "a request of another shape, or with a query parameter that is none",
    429: "too many requests at a time; Retry-After says when to try again",
    503: "full, shutting down, or the store is out of reach",
}
MESSAGE = 1000  # maximum characters of a message
DEPTH = 32  # maximum nesting of brackets in JSON; no request has more than four
BROKEN = f"expected JSON with at most {DEPTH} brackets inside each other, got a body that is none"
NOT_JSON = "expected JSON: send it with the header Content-Type: application/json"
UNPARSED = "There was an error parsing the body"  # FastAPI's message for any error but a JSONDecodeError
log = logging.getLogger("mfp.serve")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe a route's error responses for OpenAPI."""
    return {status: {"model": ErrorMessage, "description": WHEN[status]} for status in statuses}


def answer(error: BaseException) -> tuple[int, ErrorMessage]:
    """Return the status and the message of an error. An unexpected error is logged, and its message has no details."""
    logs.note(error=type(error).__name__)
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            text = str(error) if kind is not MemoryError else "not enough memory for this: try again later"
            return status, ErrorMessage(error=type(error).__name__, message=text)
    log.error("unexpected error", exc_info=error, extra={"fields": logs.asking()})
    return 500, ErrorMessage(error="InternalError", message="the server failed; its log says why")


class Refusal(HTTPException):
    """An mfp error raised while a route reads the body, where only Starlette's own exception class gets through."""

    def __init__(self, error: ServeError) -> None:
        super().__init__(answer(error)[0])
        self.error = error


def response(error: BaseException) -> Response:
    """Return the response to an error."""
    status, message = answer(error)
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = "1"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _response(status, message.error, message.message, headers)


def install(app: FastAPI) -> None:
    """Install the handlers that answer expected errors this way."""

    async def expected(request: Request, error: Exception) -> Response:
        error = error.error if isinstance(error, Refusal) else error
        app.state.desk.metrics.error(type(error).__name__)
        return response(error)

    for kind in (MfpError, MemoryError, Refusal):
        app.add_exception_handler(kind, expected)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        if error.errors()[0]["loc"] == ("body",) and isinstance(error.body, bytes):  # FastAPI did not read it as JSON
            return response(MediaTypeError(NOT_JSON))
        return _response(*refused(error.errors(), error.body))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        if error.detail == UNPARSED:
            return _response(400, "RequestError", BROKEN)
        name = HTTPStatus(error.status_code).phrase.title().replace(" ", "") + "Error"
        headers = dict(error.headers or {})
        if error.status_code == 405:  # Starlette lists the methods of one route only
            headers["Allow"] = ", ".join(_methods(app, route_path(request.scope))) or headers.get("Allow", "")
        return _response(error.status_code, name, str(error.detail), headers)


def route_path(scope: Scope) -> str | None:
    """Return the route pattern that matches a request's path, or None."""
    path = getattr(scope.get("route"), "path", None)
    if not isinstance(path, str):
        return None
    return API + path if scope["path"].startswith(API) and not path.startswith(API) else path


def _methods(app: FastAPI, path: str | None) -> list[str]:
    return sorted(method.upper() for method in app.openapi()["paths"].get(path, {}))


def refused(found: Sequence[Any], body: Any = None) -> tuple[int, str, str]:
    """Return status, kind and message of a validation error: 400 for a body that is not JSON, otherwise 422.

    The status does not depend on which JSON parser noticed: they follow brackets to different depths.
    """
    if any(part["type"] == "json_invalid" for part in found):
        return 400, "RequestError", f"{BROKEN} ({problems(found)})"
    if _deep(body):
        return 400, "RequestError", BROKEN
    return 422, "RequestError", problems(found)


def _deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH):
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        level = [one for part in inner for one in part]
    return bool(level)


def problems(found: Sequence[Any]) -> str:
    """Return the problems that Pydantic found, in one line."""
    return "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in found[:5])


def _response(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    # ASCII, because the input may hold characters that UTF-8 cannot encode.
    content = json.dumps({"error": error, "message": message[:MESSAGE]})
    return Response(content, status, headers, "application/json")
