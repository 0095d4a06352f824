"""The application: API, WebSocket, page, health and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ...engine.sample import PATH as SAMPLE
from ...engine.version import __version__
from ..sessions.service import Service
from ..settings import API, Settings
from . import error_responses, routes, websocket
from .metrics import TYPE
from .middleware.access import Access
from .middleware.body_limit import Body, known_query
from .middleware.request_log import Watch
from .rate_limit import Rate
from .state import Desk

PAGE = Path(__file__).parents[1] / "page"
EXPIRY = 600.0  # seconds between searches for unused sessions
DAY = 24 * 3600.0
DESCRIPTION = """
Click-based interactive segmentation. Open a session on a photograph, click on an object, get its mask.

Every event that is answered is durable: after a crash the session is there again, with the same masks. A session's
`revision` is the number of its events; a request that names another one is refused with 409 and changes nothing. So a
client which lost an answer can ask for the state and see whether its click arrived.

Clicks also go over a WebSocket, `/api/v1/sessions/{id}/ws`; docs/serving.md says how.
"""
log = logging.getLogger("mfp.serve")


def create_app(service: Service, settings: Settings | None = None, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """Build the server as an ASGI application.

    Args:
        service: service that answers the calls; closed when the application ends.
        settings: settings of the HTTP side.
        routers: routers of annotation tools, each with its own prefix.

    Returns:
        The application; ``app.state.desk`` is its :class:`~mfp.serve.http.state.Desk`.
    """
    settings = settings or Settings()
    desk = Desk(service, Rate(settings.rate))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        expiry = asyncio.create_task(_expire(service, settings.keep_days * DAY))
        yield
        expiry.cancel()
        with suppress(asyncio.CancelledError):
            await expiry
        await service.close()

    app = FastAPI(
        title="mfp serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # the documentation pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    app.state.desk = desk
    app.add_middleware(Body, settings=settings, gate=desk.gate)
    app.add_middleware(Access, settings=settings)
    app.add_middleware(Watch, desk=desk)
    if settings.proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))  # added last: the outermost
    error_responses.install(app)
    app.include_router(routes.router(desk), prefix=API, dependencies=[Depends(known_query)])
    app.include_router(websocket.router(desk), prefix=API)
    # Annotation tools have their own forms of error responses; only the status is documented here.
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"description": when} for status, when in error_responses.WHEN.items()
    }
    for extra in routers:
        app.include_router(extra, responses=refusals)
    _operation(app, desk)
    _page(app)
    return app


def _operation(app: FastAPI, desk: Desk) -> None:
    @app.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        """Liveness: the server process answers."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], responses=error_responses.documented(503))
    async def readyz() -> dict[str, str]:
        """Readiness: networks are loaded, the store can be written, and the server is not shutting down."""
        with desk.gate.running():
            await desk.ready()
        return {"status": "ready"}

    prometheus: dict[str, Any] = {"description": "Prometheus' text format", "content": {TYPE.split(";")[0]: {}}}

    @app.get(
        "/metrics",
        tags=["operation"],
        response_class=Response,
        responses={200: prometheus, **error_responses.documented(401, 403, 429, 503)},
    )
    async def metrics() -> Response:
        """Counters for Prometheus."""
        counts = await desk.service.counts() | {"sockets": len(desk.gate.sockets)}
        return Response(desk.metrics.text(counts), media_type=TYPE)


def _page(app: FastAPI) -> None:
    # Browsers check each time whether a file has changed, so that page and server have the same version.
    fresh = {"Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=fresh)

    @app.get("/static/sample.jpg", include_in_schema=False)
    async def sample() -> FileResponse:
        return FileResponse(SAMPLE, headers=fresh)

    class Static(StaticFiles):
        def file_response(self, *args: Any, **options: Any) -> Response:
            response = super().file_response(*args, **options)
            response.headers.update(fresh)
            return response

    app.mount("/static", Static(directory=PAGE), name="static")


async def _expire(service: Service, keep: float) -> None:
    while keep:
        await asyncio.sleep(min(EXPIRY, keep))
        try:
            gone = await service.expire(keep)
            if gone:
                log.info("expired", extra={"fields": {"sessions": gone}})
        except Exception as error:  # the store cannot be reached: try again at the next search
            log.warning("cannot expire sessions", extra={"fields": {"error": str(error)}})
