"""What the routes of one application share: the service, and what counts, limits and ends their work."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from ..errors import StoreError
from ..events import Event
from ..schemas import Reply
from ..sessions.service import Service
from . import logs
from .metrics import Metrics
from .rate_limit import Rate
from .shutdown import Gate
from .viewers import Viewer, Viewers

PROBES = 4  # a second; anybody may ask for more, and each one waits for the disk


@dataclass
class Desk:
    """One for each application."""

    service: Service
    rate: Rate
    gate: Gate = field(default_factory=Gate)
    metrics: Metrics = field(default_factory=Metrics)
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _probes: deque[float] = field(default_factory=lambda: deque(maxlen=PROBES))  # when
    _failed: StoreError | None = None  # what the last one found

    async def ready(self) -> None:
        """Raises StoreError where a click could not be kept now."""
        async with self._probing:
            if len(self._probes) < PROBES or time.monotonic() - self._probes[0] >= 1:
                self._failed = None
                try:
                    await self.service.ready()
                except StoreError as error:
                    self._failed = error
                self._probes.append(time.monotonic())
            if self._failed is not None:
                raise StoreError(str(self._failed))

    def __post_init__(self) -> None:
        self.viewers = Viewers(self.service)

    async def act(self, id: str, event: Event, revision: int | None, by: Viewer | None = None) -> Reply:
        """Pass an event on; count it, note its stages in the log's line, and wake those who look at the session.

        ``timing["server"]`` is all of it.

        Args:
            id, event, revision: as of :meth:`~mfp.serve.sessions.service.Service.act`.
            by: who did it, if that is one of those.
        """
        started = time.perf_counter()
        logs.note(session=id[: logs.SESSION], kind=event.kind)
        reply = await self.service.act(id, event, revision)
        reply.timing["server"] = (time.perf_counter() - started) * 1e3
        self.metrics.event(event.kind, reply)
        self.viewers.changed(id, reply.revision, by)
        logs.note(
            revision=reply.revision, stages={name: round(value, 3) for name, value in reply.timing.items() if value}
        )
        return reply

    async def delete(self, id: str) -> None:
        """Forget a session, and wake those who look at it."""
        await self.service.delete(id)
        self.viewers.changed(id)
