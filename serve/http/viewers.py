"""Who looks at which session over a WebSocket of this process, and is told what others do there."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from ..sessions.service import Service


class Viewer:
    """One WebSocket.

    Attributes:
        news: set when the session has changed by another's doing.
        revision: the newest that this viewer was told of, or will have to be.
    """

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.revision = 0


class Viewers:
    """All of one application. Nobody waits for a viewer: it is woken, and asks for the state when it can take it.

    Args:
        service: is asked for states.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._of: defaultdict[str, set[Viewer]] = defaultdict(set)
        self._asked: dict[str, asyncio.Task[tuple[int, str]]] = {}

    @contextmanager
    def watching(self, id: str) -> Iterator[Viewer]:
        """While a WebSocket of this session is open."""
        viewer = Viewer()
        self._of[id].add(viewer)
        try:
            yield viewer
        finally:
            self._of[id].discard(viewer)
            if not self._of[id]:
                del self._of[id]

    def changed(self, id: str, revision: int = 0, by: Viewer | None = None) -> None:
        """A session is at this revision now, or gone; wake those who look at it, but for the one who did it."""
        for viewer in self._of.get(id, ()):
            if viewer is not by:
                viewer.revision = max(viewer.revision, revision)
                viewer.news.set()

    async def state(self, id: str, viewer: Viewer) -> str:
        """The message that tells a viewer of the news: a state that is not older than what it knows.

        Viewers of one session share the asking, so that many of them take up no more turns than one.
        """
        while True:
            task = self._asked.get(id)
            mine = task is None
            if task is None:
                task = self._asked[id] = asyncio.create_task(self._ask(id))
                task.add_done_callback(lambda done: self._asked.pop(id) and (done.cancelled() or done.exception()))
            revision, text = await asyncio.shield(task)
            if mine or revision >= viewer.revision:  # what was asked before the news may lack them
                return text

    async def _ask(self, id: str) -> tuple[int, str]:
        state = await self._service.state(id)
        message = {"type": "state", "ref": None, **state.model_dump()}
        return state.revision, json.dumps(message, separators=(",", ":"))
