"""Sessions on a Ray cluster: `SessionReplica` holds them, `RayService` is the interface that the HTTP side calls."""

from __future__ import annotations

import asyncio
import os
from secrets import token_urlsafe
from typing import Any

from ...engine.errors import MfpError
from ..errors import UnavailableError
from ..events import Event
from ..schemas import NetworkEntry, Reply, SessionOptions, SessionState
from ..sessions.batching import batched
from ..sessions.downloads import Download
from ..sessions.networks import load_networks
from ..sessions.service import LocalService, Service
from ..sessions.stored_image import stored_image
from ..stores import SessionStore, open_store
from .settings import ClusterSettings

ATTEMPTS = 5  # calls that are tried if replicas end during a call
PAUSE = 0.2  # seconds before another attempt


class SessionReplica:
    """Networks and live sessions of one replica. Its memory is disposable: the store has everything.

    Args:
        settings: settings of the cluster.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        limits = settings.session_limits()
        # Must be set before anything imports OpenCV. On one machine the command does the same.
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(limits.image_pixels))
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        networks = load_networks(
            settings.networks,
            settings.runtime,
            settings.threads,
            settings.workers,
            device=settings.device,
            precision=settings.precision,
        )
        networks = {name: batched(network, settings.batching) for name, network in networks.items()}
        store = open_store(settings.store)
        self._service = LocalService(networks, store, limits, settings.workers)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of :class:`~mfp.serve.sessions.service.LocalService` and return its result.

        An error of mfp is returned as a value: it is not a failure of the replica, and crosses processes without a
        traceback.
        """
        try:
            return await getattr(self._service, method)(*arguments)
        except MfpError as error:
            return error

    async def __del__(self) -> None:
        if hasattr(self, "_service"):
            await self._service.close()


class RayService(Service):
    """Sends each call to the replica that holds its session, or to another one if that replica is gone.

    Args:
        replicas: handle of the deployment of :class:`SessionReplica`.
        store: store that all replicas share.
    """

    def __init__(self, replicas: Any, store: SessionStore) -> None:
        self._replicas = replicas
        self._store = store

    async def networks(self) -> list[NetworkEntry]:
        found: list[NetworkEntry] = await self._call("", "networks")
        return found

    async def create(
        self, image: bytes, network: str | None, options: SessionOptions, id: str | None = None, name: str = ""
    ) -> SessionState:
        # The id is chosen here, so that the session is opened on the replica that will receive its clicks.
        id = id or token_urlsafe(16)
        state: SessionState = await self._call(id, "create", image, network, options, id, name, again=False)
        return state

    async def act(self, id: str, event: Event, revision: int | None) -> Reply:
        # A replica that is gone may have stored the event. If the event is sent again with its revision, it is then
        # refused, and the client asks for the state. Without a revision, it could be applied twice.
        reply: Reply = await self._call(id, "act", id, event, revision, again=revision is not None)
        return reply

    async def state(self, id: str) -> SessionState:
        state: SessionState = await self._call(id, "state", id)
        return state

    async def mask(self, id: str, number: int | None, form: str) -> Download:
        download: Download = await self._call(id, "mask", id, number, form)
        return download

    async def probability(self, id: str, form: str) -> Download:
        download: Download = await self._call(id, "probability", id, form)
        return download

    async def image(self, id: str) -> Download:
        return await asyncio.to_thread(stored_image, self._store, id)

    async def coco(self, id: str) -> Download:
        download: Download = await self._call(id, "coco", id)
        return download

    async def delete(self, id: str) -> None:
        await self._call(id, "delete", id, again=False)

    async def expire(self, older_than: float) -> int:
        # Replicas that still hold these sessions drop them when they need the memory.
        return len(await asyncio.to_thread(self._store.expire, older_than))

    async def counts(self) -> dict[str, int]:
        """Counts of the store; Ray's own metrics report the replicas."""
        return {"live": 0, "bytes": 0, "stored": await asyncio.to_thread(self._store.count), "waiting": 0}

    async def ready(self) -> None:
        await asyncio.to_thread(self._store.probe)

    async def close(self) -> None:
        await asyncio.to_thread(self._store.close)

    async def _call(self, id: str, method: str, *arguments: Any, again: bool = True) -> Any:
        from ray.exceptions import RayActorError

        attempts = ATTEMPTS if again else 1
        while True:
            attempts -= 1
            try:
                answer = await self._replicas.options(session_id=id).call.remote(method, *arguments)
            except RayActorError as error:
                if attempts:
                    await asyncio.sleep(PAUSE)
                    continue
                raise UnavailableError(
                    "the machine that worked on this is gone, and whether it was kept is not known: "
                    "ask for the session's state, and do what is missing again"
                ) from error
            if isinstance(answer, MfpError):
                raise answer
            return answer
