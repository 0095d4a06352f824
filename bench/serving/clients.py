"""People who click through the HTTP API and lose nothing: what a load test and a crash test are made of."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from typing import Any

from ...engine.errors import MfpError
from ...engine.sample import PATH
from ...serve.events import Event
from ...serve.settings import API
from ..workload import seeded_clicks

TIMEOUT = 60.0  # seconds for an answer
AGAIN = 0.1  # seconds before another attempt
KINDS = ("click", "click", "click", "undo", "redo", "click", "finish")
# The server said that it cannot say, or nothing at all: the state tells whether the event is in it.
UNCERTAIN = (0, 409, 429, 503)


@dataclass
class Acknowledged:
    """An event that the server took.

    Attributes:
        event: without the mask that the log keeps of a finish.
        counts: the present mask after it, COCO's compressed run lengths.
        at: seconds, by the clock of :func:`time.perf_counter`, when it was first sent.
        ms: milliseconds until it was known to be taken, further attempts included.
    """

    event: Event
    counts: str
    at: float
    ms: float


@dataclass
class Client:
    """One person: a session, and an event of :data:`KINDS` after the other.

    Args:
        host, port: of the server.
        number: of the client; decides its clicks.
        pause: seconds between an answer and the next event.
        query: of the new session, for example ``"flip=false"``.

    Attributes:
        taken: what was acknowledged, in order.
        troubles: how often each status of :data:`UNCERTAIN` came; 0 is no answer, or one of a proxy's own.
    """

    host: str
    port: int
    number: int
    pause: float
    query: str = ""
    id: str = ""
    taken: list[Acknowledged] = field(default_factory=list)
    troubles: Counter[int] = field(default_factory=Counter)

    def open(self) -> None:
        """Make the session."""
        status, answer = self._request("POST", f"/sessions?{self.query}", PATH.read_bytes())
        if status != 201:
            raise MfpError(f"expected a session, got {status}: {answer}")
        self.id = answer["id"]
        clicks = seeded_clicks(f"client {self.number}", answer["height"], answer["width"], 64)
        self._places = iter(cycle(clicks))

    def work(self, ended: Callable[[], bool]) -> None:
        """Click until it is over."""
        for kind in cycle(KINDS):
            if ended():
                return
            place = next(self._places)
            event = Event("click", place.x, place.y, place.positive) if kind == "click" else Event(kind)
            at = time.perf_counter()
            counts = self._send(event)
            self.taken.append(Acknowledged(event, counts, at, (time.perf_counter() - at) * 1e3))
            time.sleep(self.pause)

    def _send(self, event: Event) -> str:
        """Until it is taken. Returns the mask."""
        revision = len(self.taken)
        path = "clicks" if event.kind == "click" else event.kind
        body: dict[str, Any] = {"revision": revision}
        if event.kind == "click":
            body |= {"x": event.x, "y": event.y, "positive": event.positive}
        while True:
            status, answer = self._request("POST", f"/sessions/{self.id}/{path}", json.dumps(body).encode())
            if status == 200:
                return str(answer["rle"]["counts"])
            if status not in UNCERTAIN:
                raise MfpError(f"client {self.number}: {event.kind} was answered with {status}: {answer}")
            self.troubles[status] += 1
            state = self._state()
            if state["revision"] == revision + 1:
                return str(state["objects"][-1]["rle"]["counts"])
            if state["revision"] != revision:
                raise MfpError(f"client {self.number} had {revision} events taken, the session has {state['revision']}")
            time.sleep(AGAIN)

    def _state(self) -> dict[str, Any]:
        while True:
            status, answer = self._request("GET", f"/sessions/{self.id}")
            if status == 200:
                return answer
            if status not in UNCERTAIN:
                raise MfpError(f"client {self.number}: its session was answered with {status}: {answer}")
            self.troubles[status] += 1
            time.sleep(AGAIN)

    def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON; 0 where there was no answer of ours."""
        connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        kind = {"Content-Type": "image/jpeg" if path.startswith("/sessions?") else "application/json"}
        try:
            connection.request(method, API + path, body, kind if body else {})
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text)
        except (OSError, HTTPException, ValueError):
            # A proxy whose server ended before it answered says so in words of its own.
            return 0, {}
        finally:
            connection.close()


@contextmanager
def clicking(clients: Sequence[Client]) -> Iterator[None]:
    """All clients at work, each in a thread, for the length of the statement; each ends with a complete event.

    Raises:
        MfpError: of the first client that failed.
    """
    over = threading.Event()
    failures: list[BaseException] = []

    def work(client: Client) -> None:
        try:
            time.sleep(client.pause * client.number / len(clients))  # people do not click in step
            client.work(over.is_set)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * TIMEOUT)
    if failures:
        raise failures[0]
