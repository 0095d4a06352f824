"""The HTTP API: one route for each operation on a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response

from ..events import OF_AN_OBJECT, Event
from ..schemas import (
    At,
    ClickRequest,
    CocoFile,
    NetworkEntry,
    NetworkRequest,
    ObjectRequest,
    Reply,
    SessionOptions,
    SessionState,
)
from ..sessions.downloads import Download
from ..uploads import NAME
from .error_responses import documented
from .middleware.body_limit import photograph
from .state import Desk

Id = Annotated[str, Path(description="of the session", max_length=64)]
SIZE = r"^[1-9]\d{0,4}(x[1-9]\d{0,4})?$"
COMMON = (400, 401, 403, 408, 413, 415, 422, 429, 503)


def router(desk: Desk) -> APIRouter:
    """Build the router of the routes below ``/api/v1``."""
    service = desk.service
    routes = APIRouter(responses=documented(*COMMON))

    @routes.get("/networks", tags=["networks"])
    async def list_networks() -> list[NetworkEntry]:
        """List the loaded networks."""
        return await service.networks()

    @routes.post(
        "/sessions",
        tags=["sessions"],
        status_code=201,
        responses={
            201: {
                "links": _links(
                    "undo", "redo", "reset", "finish", "get_session", "click", "mask", "probability", "image", "coco"
                )
            }
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "the photograph's file: JPEG, PNG, WebP, TIFF or BMP",
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "image/*": {"schema": {"type": "string", "format": "binary"}},
                },
            }
        },
    )
    async def create_session(
        request: Request,
        network: Annotated[str | None, Query(description="a name of GET /networks", max_length=200)] = None,
        size: Annotated[
            str | None,
            Query(
                description="network size: HxW, or one number for the longer side",
                pattern=r"^[1-9]\d{0,4}(x[1-9]\d{0,4})?$",
            ),
        ] = None,
        flip: Annotated[bool, Query(description="also run on the mirrored crop; off is twice as fast")] = True,
        threshold: Annotated[float, Query(description="above it a pixel is object", gt=0, lt=1)] = 0.5,
        n_early: Annotated[int | None, Query(description="clicks that modulate by similarity", ge=0, le=1000)] = None,
        r_max: Annotated[
            float | None, Query(description="largest radius of modulation, network pixels", gt=0, le=10000)
        ] = None,
        name: Annotated[str, Query(description="of the photograph; folders are left out", max_length=NAME)] = "",
    ) -> SessionState:
        """Open a session on a photograph, sent as the request's body."""
        options = SessionOptions(size=_size(size), flip=flip, threshold=threshold, n_early=n_early, r_max=r_max)
        return await service.create(await photograph(request), network, options, None, name)

    @routes.get("/sessions/{id}", tags=["sessions"], responses=documented(404))
    async def get_session(id: Id) -> SessionState:
        """Return the whole state of a session."""
        return await service.state(id)

    @routes.delete("/sessions/{id}", tags=["sessions"], status_code=204, responses=documented(404))
    async def delete_session(id: Id) -> None:
        """Delete a session, its photograph and its masks."""
        await desk.delete(id)

    @routes.post("/sessions/{id}/clicks", tags=["events"], responses=documented(404, 409))
    async def click(id: Id, request: ClickRequest) -> Reply:
        """Click. The server answers once the click is durable."""
        return await desk.act(id, Event("click", request.x, request.y, request.positive), request.revision)

    def add(kind: str, act: Callable[..., Awaitable[Reply]], summary: str) -> None:
        routes.add_api_route(
            f"/sessions/{{id}}/{kind}",
            act,
            methods=["POST"],
            tags=["events"],
            name=kind,
            description=summary,
            responses=documented(404, 409),
        )

    def simple(kind: str, summary: str) -> None:
        async def act(id: Id, request: Annotated[At | None, Body()] = None) -> Reply:
            return await desk.act(id, Event(kind), request.revision if request else None)

        add(kind, act, summary)

    def of_an_object(kind: str, summary: str) -> None:
        async def act(id: Id, request: ObjectRequest) -> Reply:
            return await desk.act(id, Event(kind, object=request.object), request.revision)

        add(kind, act, summary)

    simple("undo", "Take the newest action back, whatever it was: a click, a reset, a finish, a deleted object.")
    simple("redo", "Bring the action back that was undone last.")
    simple("reset", "Drop all clicks of the present object.")
    simple("finish", "Keep the present object and start the next one on the same photograph.")
    of_an_object("select", "Go on with a finished object. The present one is finished where it has clicks.")
    of_an_object("delete", "Drop an object. In place of the present one a new one is started.")
    of_an_object("hide", "Mark an object as not to be drawn.")
    of_an_object("show", "Take the mark of a hidden object away.")

    @routes.post("/sessions/{id}/network", tags=["events"], responses=documented(404, 409))
    async def network(id: Id, request: NetworkRequest) -> Reply:
        """Switch to another network. The present object is computed again; finished objects stay as they are."""
        return await desk.act(id, Event("network", network=request.network), request.revision)

    @routes.get(
        "/sessions/{id}/mask",
        tags=["files"],
        response_class=Response,
        responses=documented(404) | _files("image/png", "application/json"),
    )
    async def mask(
        id: Id,
        object: Annotated[int | None, Query(description="its number; default: the present one", ge=0)] = None,
        format: Annotated[Literal["png", "rle", "polygons"], Query()] = "png",
    ) -> Response:
        """Return the mask of an object: PNG (255 on the object), COCO's RLE, or polygons [[x, y, x, y, …], …]."""
        return _file(await service.mask(id, object, format))

    @routes.get(
        "/sessions/{id}/probability",
        tags=["files"],
        response_class=Response,
        responses=documented(404) | _files("image/png", "application/octet-stream"),
    )
    async def probability(id: Id, format: Annotated[Literal["png", "npy"], Query()] = "png") -> Response:
        """Return the present object's probability map: 8-bit grey PNG, or a NumPy file of float32 H×W."""
        return _file(await service.probability(id, format))

    @routes.get(
        "/sessions/{id}/image",
        tags=["files"],
        response_class=Response,
        responses=documented(404) | _files("image/*"),
    )
    async def image(id: Id) -> Response:
        """Return the photograph as it was uploaded."""
        return _file(await service.image(id))

    @routes.get("/sessions/{id}/coco", tags=["files"], response_model=CocoFile, responses=documented(404))
    async def coco(id: Id) -> Response:
        """Return all objects as a COCO file."""
        return _file(await service.coco(id))

    return routes


def _file(download: Download) -> Response:
    headers = {"Cache-Control": "no-store"}
    if download.disposition:
        headers["Content-Disposition"] = download.disposition
    return Response(download.data, media_type=download.media_type, headers=headers)


def _files(*media_types: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {media: ({} if media.endswith("json") else binary) for media in media_types}
    return {200: {"description": "the file", "content": content}}


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    sides = [int(side) for side in text.split("x")]
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _links(*operations: str) -> dict[str, Any]:
    """Build the OpenAPI links from a new session to the operations on it."""
    links: dict[str, Any] = {
        name: {"operationId": name, "parameters": {"id": "$response.body#/id"}} for name in operations
    }
    for name in OF_AN_OBJECT:
        links[name] = links["undo"] | {"operationId": name, "requestBody": {"object": "$response.body#/present"}}
    links["network"] = links["undo"] | {
        "operationId": "network",
        "requestBody": {"network": "$response.body#/network"},
    }
    return links
