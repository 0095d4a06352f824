"""The WebSocket: clicks without a request each."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError

from ..engine.errors import UnknownSessionError
from . import logs
from .access import chosen
from .answers import answer, refused
from .desk import Desk
from .events import Event
from .messages import At, ClickRequest
from .watch import client

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


def router(desk: Desk) -> APIRouter:
    """``/sessions/{id}/ws`` below ``/api/v1``."""
    routes = APIRouter()

    @routes.websocket("/sessions/{id}/ws")
    async def clicks(socket: WebSocket, id: str) -> None:
        await socket.accept(chosen(socket.scope.get("subprotocols", ())))
        desk.gate.sockets.add(socket)
        try:
            await _send(socket, await _answer(desk, socket, id, '{"type":"state"}'))
            while True:
                text = await socket.receive_text()
                with logs.line("message", session=id[: logs.SESSION]):
                    # Nothing else runs between the end of the work and the sending: the gate closes behind the answer.
                    await _send(socket, await _answer(desk, socket, id, text))
        except UnknownSessionError as error:
            await _send(socket, _refusal(desk, error, None))
            await socket.close(GONE)
        except (WebSocketDisconnect, RuntimeError):  # Starlette's RuntimeError: the gate has closed it meanwhile
            return
        except KeyError:  # bytes, where text was expected
            await socket.close(1003)
        finally:
            desk.gate.sockets.discard(socket)

    return routes


async def _answer(desk: Desk, socket: WebSocket, id: str, text: str) -> dict[str, Any]:
    ref = None
    try:
        try:
            call = CALL.validate_json(text)
        except ValidationError as error:
            logs.note(error="RequestError")
            desk.metrics.error("RequestError")
            status, kind, message = refused(error.errors(), _loaded(text))
            return {"type": "error", "ref": _ref(text), "status": status, "error": kind, "message": message}
        ref = call.ref
        desk.rate.take(client(socket.scope))
        with desk.gate.running():
            if isinstance(call, ClickCall):
                event = Event("click", call.x, call.y, call.positive)
            elif call.type == "state":
                return {"type": "state", "ref": ref, **(await desk.service.state(id)).model_dump()}
            else:
                event = Event(call.type)
            return {"type": "reply", "ref": ref, **(await desk.act(id, event, call.revision)).model_dump()}
    except UnknownSessionError:
        raise
    except Exception as error:
        return _refusal(desk, error, ref)


def _refusal(desk: Desk, error: Exception, ref: object) -> dict[str, Any]:
    status, message = answer(error)
    desk.metrics.error(message.error)
    return {"type": "error", "ref": ref, "status": status, **message.model_dump()}


def _ref(text: str) -> object:
    """What a message that is not understood has as its reference."""
    message = _loaded(text)
    ref = message.get("ref") if isinstance(message, dict) else None
    return ref if isinstance(ref, (str, int)) else None


def _loaded(text: str) -> object:
    """A message's JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(message, separators=(",", ":")))
