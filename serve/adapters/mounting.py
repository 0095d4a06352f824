"""Routers of all adapters that a server mounts, over shared images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio import from_thread
from fastapi import APIRouter

from ...engine.image import U8
from ...engine.network import Network
from ..sessions.service import LocalService
from ..settings import Limits
from ..uploads import DecodingRoom
from . import anylabeling, label_studio
from .label_studio_images import Source
from .replay import MAX_PIXELS, Replay, Work

ANYLABELING, LABEL_STUDIO = "/x-anylabeling", "/label-studio"


def routers(
    networks: Mapping[str, Network], limits: Limits, source: Source, service: LocalService | None = None
) -> list[APIRouter]:
    """The routers for :func:`mfp.serve.http.app.create_app`.

    Args:
        networks: networks by name, the default one first.
        limits: limits of images.
        source: places that Label Studio's images are read from.
        service: service with whose sessions' clicks the tools' passes take turns; None: they run at the same time.

    Raises:
        OptionError: the source's URL is no server, or its folder does not exist.
    """

    decoding = DecodingRoom(limits.memory // 2)

    def decode(data: bytes) -> U8:
        with decoding.decoded(data, limits.image_pixels) as (pixels, _):
            return pixels

    def turn(key: str, call: Work) -> Any:
        assert service is not None
        return from_thread.run(service.turn, f"tool {key}", call)  # FastAPI runs the tools' routes on threads

    room = MAX_PIXELS // len(networks)
    replays = {
        name: Replay(network, decode, room, turn=turn if service else None) for name, network in networks.items()
    }
    anylabeling_routes, label_studio_routes = APIRouter(prefix=ANYLABELING), APIRouter(prefix=LABEL_STUDIO)
    anylabeling_routes.include_router(anylabeling.router(replays))
    label_studio_routes.include_router(label_studio.router(replays, source))
    return [anylabeling_routes, label_studio_routes]
