"""The WebSocket of a session: takes clicks without a request each, and reports what other clients do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError

from ..errors import StoreError, TooManyError, UnavailableError, UnknownSessionError
from ..events import Event
from ..schemas import At, ClickRequest, NetworkRequest, ObjectRequest
from . import logs
from .error_responses import answer, refused
from .middleware.access import chosen
from .middleware.request_log import client
from .state import Desk
from .viewers import Viewer

GONE = 4404  # close code: the session does not exist
AGAIN = 0.2  # seconds until the state is requested again
Ref = Annotated[str | int | None, Field(description="echoed in the answer")]


class ClickCall(ClickRequest):
    """Message with a click."""

    type: Literal["click"]
    ref: Ref = None


class ObjectCall(ObjectRequest):
    """Message with an operation on an object."""

    type: Literal["select", "delete", "hide", "show"]
    ref: Ref = None


class NetworkCall(NetworkRequest):
    """Message that switches to another network."""

    type: Literal["network"]
    ref: Ref = None


class OtherCall(At):
    """Message with an event without fields, or a request for the state."""

    type: Literal["undo", "redo", "reset", "finish", "state"]
    ref: Ref = None


Call: TypeAlias = ClickCall | ObjectCall | NetworkCall | OtherCall
CALL: TypeAdapter[Call] = TypeAdapter(Annotated[Call, Field(discriminator="type")])


def router(desk: Desk) -> APIRouter:
    """Build the router of ``/sessions/{id}/ws`` below ``/api/v1``."""
    routes = APIRouter()

    @routes.websocket("/sessions/{id}/ws")
    async def clicks(socket: WebSocket, id: str) -> None:
        await socket.accept(chosen(socket.scope.get("subprotocols", ())))
        desk.gate.sockets.add(socket)
        try:
            with desk.viewers.watching(id) as viewer:
                await _converse(desk, socket, id, viewer)
        except UnknownSessionError as error:
            await _send(socket, _refusal(desk, error, None))
            await socket.close(GONE)
        except (WebSocketDisconnect, RuntimeError):  # Starlette's RuntimeError: shutdown has closed it meanwhile
            return
        except KeyError:  # the message has bytes instead of text
            await socket.close(1003)
        finally:
            desk.gate.sockets.discard(socket)

    return routes


async def _converse(desk: Desk, socket: WebSocket, id: str, viewer: Viewer) -> None:
    """Answer messages and send news, one after the other, so that revisions never go back."""
    await _send(socket, await _answer(desk, socket, id, viewer, '{"type":"state"}'))
    receiving = _task(socket.receive_text())
    news = _task(viewer.news.wait())
    try:
        while True:
            await asyncio.wait((receiving, news), return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                text = receiving.result()
                receiving = _task(socket.receive_text())
                with logs.line("message", session=id[: logs.SESSION]):
                    # No other task runs between the end of the work and the sending, so shutdown waits for the answer.
                    await _send(socket, await _answer(desk, socket, id, viewer, text))
            else:
                viewer.news.clear()
                news = _task(viewer.news.wait())
                await _tell(desk, socket, id, viewer)
    finally:
        receiving.cancel()
        news.cancel()


def _task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a closed socket needs no report
    return task


async def _tell(desk: Desk, socket: WebSocket, id: str, viewer: Viewer) -> None:
    try:
        with desk.gate.running():
            await socket.send_text(await desk.viewers.state(id, viewer))
    except TooManyError:  # the session is busy: clicks go first
        await asyncio.sleep(AGAIN)
        viewer.news.set()
    except (UnavailableError, StoreError, MemoryError) as error:
        desk.metrics.error(type(error).__name__)  # the viewer sent no request: its next one shows the error


async def _answer(desk: Desk, socket: WebSocket, id: str, viewer: Viewer, text: str) -> dict[str, Any]:
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
            if call.type == "state":
                state = await desk.service.state(id)
                viewer.revision = max(viewer.revision, state.revision)
                return {"type": "state", "ref": ref, **state.model_dump()}
            try:
                reply = await desk.act(id, _event(call), call.revision, viewer)
            except UnknownSessionError as error:
                await desk.service.state(id)  # raises it again if the session is gone, rather than one of its objects
                return _refusal(desk, error, ref)
            viewer.revision = max(viewer.revision, reply.revision)
            return {"type": "reply", "ref": ref, **reply.model_dump()}
    except UnknownSessionError:
        raise
    except Exception as error:
        return _refusal(desk, error, ref)


def _event(call: Call) -> Event:
    if isinstance(call, ClickCall):
        return Event("click", call.x, call.y, call.positive)
    if isinstance(call, ObjectCall):
        return Event(call.type, object=call.object)
    if isinstance(call, NetworkCall):
        return Event(call.type, network=call.network)
    return Event(call.type)


def _refusal(desk: Desk, error: Exception, ref: object) -> dict[str, Any]:
    status, message = answer(error)
    desk.metrics.error(message.error)
    return {"type": "error", "ref": ref, "status": status, **message.model_dump()}


def _ref(text: str) -> object:
    """Return the ``ref`` of a message that is not understood."""
    message = _loaded(text)
    ref = message.get("ref") if isinstance(message, dict) else None
    return ref if isinstance(ref, (str, int)) else None


def _loaded(text: str) -> object:
    """Parse a message's JSON; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(message, separators=(",", ":")))
