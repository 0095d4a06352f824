"""Viewers of sessions: the WebSockets of this process, notified of what other clients do in their session."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from ..sessions.service import Service


class Viewer:
    """One WebSocket on a session.

    Attributes:
        news: set when another client has changed the session.
        revision: newest revision that this viewer was sent, or has yet to be sent.
    """

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.revision = 0


class Viewers:
    """All viewers of one application.

    No request waits for a viewer: a viewer is woken, and asks for the state when it can send it.

    Args:
        service: service that returns the states.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._of: defaultdict[str, set[Viewer]] = defaultdict(set)
        self._asked: dict[str, asyncio.Task[tuple[int, str]]] = {}

    @contextmanager
    def watching(self, id: str) -> Iterator[Viewer]:
        """Context manager that registers a viewer while a WebSocket of this session is open."""
        viewer = Viewer()
        self._of[id].add(viewer)
        try:
            yield viewer
        finally:
            self._of[id].discard(viewer)
            if not self._of[id]:
                del self._of[id]

    def changed(self, id: str, revision: int = 0, by: Viewer | None = None) -> None:
        """Wake the viewers of a session that has a new revision or is deleted, except the one that caused it."""
        for viewer in self._of.get(id, ()):
            if viewer is not by:
                viewer.revision = max(viewer.revision, revision)
                viewer.news.set()

    async def state(self, id: str, viewer: Viewer) -> str:
        """Return the message with a session's new state, which is not older than the state that the viewer knows.

        Viewers of one session share one request for the state, so that many viewers take no more turns than one.
        """
        while True:
            task = self._asked.get(id)
            mine = task is None
            if task is None:
                task = self._asked[id] = asyncio.create_task(self._ask(id))
                task.add_done_callback(lambda done: self._asked.pop(id) and (done.cancelled() or done.exception()))
            revision, text = await asyncio.shield(task)
            if mine or revision >= viewer.revision:  # a state requested before the change may lack it
                return text

    async def _ask(self, id: str) -> tuple[int, str]:
        state = await self._service.state(id)
        message = {"type": "state", "ref": None, **state.model_dump()}
        return state.revision, json.dumps(message, separators=(",", ":"))
