"""Shared state of one application's routes: the service, metrics, limits and shutdown."""

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

PROBES = 4  # probes a second; clients may ask more often, and each probe waits for the disk


@dataclass
class Desk:
    """State that the routes and middleware of one application share."""

    service: Service
    rate: Rate
    gate: Gate = field(default_factory=Gate)
    metrics: Metrics = field(default_factory=Metrics)
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _probes: deque[float] = field(default_factory=lambda: deque(maxlen=PROBES))  # times of the last probes
    _failed: StoreError | None = None  # error of the last probe

    async def ready(self) -> None:
        """Raise StoreError if a click could not be stored now."""
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
        """Pass an event to the service, count it, log its stages, and wake the session's viewers.

        ``timing["server"]`` is the total in milliseconds.

        Args:
            id, event, revision: arguments of :meth:`~mfp.serve.sessions.service.Service.act`.
            by: viewer that caused the event, if one did; it is not woken.
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
        """Delete a session, and wake its viewers."""
        await self.service.delete(id)
        self.viewers.changed(id)
