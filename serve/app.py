"""The application: API, WebSocket, page, health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from .. import __version__
from . import answers, api, socket
from .service import Service
from .settings import API, Settings

PAGE = Path(__file__).with_name("page")


def create_app(service: Service, settings: Settings | None = None, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The server as an ASGI application.

    Args:
        service: answers the calls; closed when the application ends.
        settings: of the HTTP side.
        routers: of annotation tools, each with a prefix of its own.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(
        title="mfp serve",
        version=__version__,
        description="Click-based interactive segmentation: docs/serving.md says how to use it.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    answers.install(app)
    app.include_router(api.router(service), prefix=API)
    app.include_router(socket.router(service), prefix=API)
    for extra in routers:
        app.include_router(extra)

    @app.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        """Whether the server is alive."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], responses=answers.documented(503))
    async def readyz() -> dict[str, str]:
        """Whether it can work: networks are loaded, the store is in reach."""
        await service.counts()
        return {"status": "ready"}

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    return app
