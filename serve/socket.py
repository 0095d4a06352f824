"""The WebSocket: clicks without a request each."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError

from ..engine.errors import UnknownSessionError
from .answers import answer
from .events import Event
from .messages import At, ClickRequest
from .service import Service

GONE = 4404  # close code: no such session
Ref = Annotated[str | int | None, Field(description="echoed in the answer")]


class ClickCall(ClickRequest):
    """A click."""

    type: Literal["click"]
    ref: Ref = None


class OtherCall(At):
    """An event without a place, or a question for the state."""

    type: Literal["undo", "redo", "reset", "finish", "state"]
    ref: Ref = None


CALL: TypeAdapter[ClickCall | OtherCall] = TypeAdapter(Annotated[ClickCall | OtherCall, Field(discriminator="type")])


def router(service: Service) -> APIRouter:
    """``/sessions/{id}/ws`` below ``/api/v1``."""
    routes = APIRouter()

    @routes.websocket("/sessions/{id}/ws")
    async def clicks(socket: WebSocket, id: str) -> None:
        await socket.accept()
        try:
            await _send(socket, {"type": "state", **(await service.state(id)).model_dump()})
            while True:
                await _send(socket, await _answer(service, id, await socket.receive_text()))
        except WebSocketDisconnect:
            return
        except UnknownSessionError as error:
            await _send(socket, _refusal(error, None))
            await socket.close(GONE)

    return routes


async def _answer(service: Service, id: str, text: str) -> dict[str, Any]:
    ref = None
    try:
        try:
            call = CALL.validate_json(text)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()[:5])
            return {"type": "error", "ref": _ref(text), "status": 422, "error": "RequestError", "message": problems}
        ref = call.ref
        if isinstance(call, ClickCall):
            event = Event("click", call.x, call.y, call.positive)
        elif call.type == "state":
            return {"type": "state", "ref": ref, **(await service.state(id)).model_dump()}
        else:
            event = Event(call.type)
        return {"type": "reply", "ref": ref, **(await service.act(id, event, call.revision)).model_dump()}
    except UnknownSessionError:
        raise
    except Exception as error:
        return _refusal(error, ref)


def _refusal(error: Exception, ref: object) -> dict[str, Any]:
    status, message = answer(error)
    return {"type": "error", "ref": ref, "status": status, **message.model_dump()}


def _ref(text: str) -> object:
    try:
        ref = json.loads(text).get("ref")
    except (AttributeError, ValueError, RecursionError):
        return None
    return ref if isinstance(ref, (str, int)) else None


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(message, separators=(",", ":")))
