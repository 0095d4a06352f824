"""The `Service` interface that the HTTP side calls, and `LocalService`, which answers from this process."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ...engine.network import Network
from ..events import Event
from ..schemas import NetworkEntry, Reply, SessionOptions, SessionState
from ..settings import Limits
from ..stores import SessionStore
from .downloads import Download
from .manager import Sessions
from .scheduler import Turns

T = TypeVar("T")


class Service(ABC):
    """Asynchronous interface to sessions; results and errors as in :class:`~mfp.serve.sessions.manager.Sessions`."""

    @abstractmethod
    async def networks(self) -> list[NetworkEntry]: ...

    @abstractmethod
    async def create(
        self, image: bytes, network: str | None, options: SessionOptions, id: str | None = None, name: str = ""
    ) -> SessionState: ...

    @abstractmethod
    async def act(self, id: str, event: Event, revision: int | None) -> Reply:
        """Apply an event; the reply's timing has ``wait``, the milliseconds until the session's turn."""

    @abstractmethod
    async def state(self, id: str) -> SessionState: ...

    @abstractmethod
    async def mask(self, id: str, number: int | None, form: str) -> Download: ...

    @abstractmethod
    async def probability(self, id: str, form: str) -> Download: ...

    @abstractmethod
    async def image(self, id: str) -> Download: ...

    @abstractmethod
    async def coco(self, id: str) -> Download: ...

    @abstractmethod
    async def delete(self, id: str) -> None: ...

    @abstractmethod
    async def expire(self, older_than: float) -> int: ...

    @abstractmethod
    async def counts(self) -> dict[str, int]:
        """Return ``live``, ``bytes``, ``stored`` and ``waiting``.

        Raises:
            StoreError: the store cannot be reached.
        """

    @abstractmethod
    async def ready(self) -> None:
        """Raise StoreError if a click could not be stored now."""

    @abstractmethod
    async def close(self) -> None:
        """Reject new calls, let running ones end, then free everything."""


class LocalService(Service):
    """Service with the sessions of this process.

    Args:
        networks: networks by name, the default one first.
        store: store that keeps acknowledged events.
        limits: limits on images, sessions and memory.
        workers: number of clicks computed concurrently.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        store: SessionStore,
        limits: Limits | None = None,
        workers: int = 1,
    ) -> None:
        limits = limits or Limits()
        self.sessions = Sessions(networks, store, limits)
        self._store = store
        self._turns = Turns(workers, limits.waiting)
        # Photographs are decoded and files read on separate threads, so that clicks do not wait for them.
        self._files = ThreadPoolExecutor(2, "file")

    async def networks(self) -> list[NetworkEntry]:
        return self.sessions.networks()

    async def create(
        self, image: bytes, network: str | None, options: SessionOptions, id: str | None = None, name: str = ""
    ) -> SessionState:
        return await self._aside(partial(self.sessions.create, image, network, options, id, name))

    async def act(self, id: str, event: Event, revision: int | None) -> Reply:
        reply, waited = await self._turns.run(id, partial(self.sessions.act, id, event, revision))
        reply.timing["wait"] = waited
        return reply

    async def turn(self, key: str, call: Callable[[], T]) -> T:
        """Run work of another kind among the clicks; it takes turns as a session with this key would."""
        return (await self._turns.run(key, call))[0]

    async def state(self, id: str) -> SessionState:
        return (await self._turns.run(id, partial(self.sessions.state, id)))[0]

    async def mask(self, id: str, number: int | None, form: str) -> Download:
        return (await self._turns.run(id, partial(self.sessions.mask, id, number, form)))[0]

    async def probability(self, id: str, form: str) -> Download:
        return (await self._turns.run(id, partial(self.sessions.probability, id, form)))[0]

    async def image(self, id: str) -> Download:
        return await self._aside(partial(self.sessions.image, id))

    async def coco(self, id: str) -> Download:
        return (await self._turns.run(id, partial(self.sessions.coco, id)))[0]

    async def delete(self, id: str) -> None:
        await self._aside(partial(self.sessions.delete, id))

    async def expire(self, older_than: float) -> int:
        return await self._aside(partial(self.sessions.expire, older_than))

    async def counts(self) -> dict[str, int]:
        return await self._aside(self.sessions.counts) | {"waiting": self._turns.waiting}

    async def ready(self) -> None:
        await asyncio.to_thread(self._store.probe)  # does not wait behind photographs being decoded

    async def close(self) -> None:
        await self._turns.close()
        await asyncio.to_thread(self._files.shutdown)
        await asyncio.to_thread(self.sessions.close)

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, call)
