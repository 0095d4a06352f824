"""HTTP clients that click and retry until each event is acknowledged, for load tests and crash tests."""

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
# The server could not tell whether it took the event, or did not answer (0); the session's state shows it.
UNCERTAIN = (0, 409, 429, 503)


@dataclass
class Acknowledged:
    """An event that the server acknowledged.

    Attributes:
        event: the event, without the mask that the log stores with a finish.
        counts: current mask after the event, as COCO's compressed run lengths.
        at: time at which the event was first sent, in seconds of :func:`time.perf_counter`.
        ms: milliseconds until the event was acknowledged, retries included.
    """

    event: Event
    counts: str
    at: float
    ms: float


@dataclass
class Client:
    """One user with a session, who sends the events of :data:`KINDS` one after another.

    Args:
        host, port: address of the server.
        number: number of the client, which determines its clicks.
        pause: seconds between an answer and the next event.
        query: query string for the new session, for example ``"flip=false"``.

    Attributes:
        taken: acknowledged events, in order.
        troubles: count of each status of :data:`UNCERTAIN`; 0 means no answer, or one that a proxy made.
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
        """Create the session."""
        status, answer = self._request("POST", f"/sessions?{self.query}", PATH.read_bytes())
        if status != 201:
            raise MfpError(f"expected a session, got {status}: {answer}")
        self.id = answer["id"]
        clicks = seeded_clicks(f"client {self.number}", answer["height"], answer["width"], 64)
        self._places = iter(cycle(clicks))

    def work(self, ended: Callable[[], bool]) -> None:
        """Send events until ``ended()`` is true."""
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
        """Send an event until it is acknowledged; return the mask as run lengths."""
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
        """Status and JSON of a request; status 0 where the server gave no answer."""
        connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        kind = {"Content-Type": "image/jpeg" if path.startswith("/sessions?") else "application/json"}
        try:
            connection.request(method, API + path, body, kind if body else {})
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text)
        except (OSError, HTTPException, ValueError):
            # A proxy whose server ended before it answered sends its own text, not JSON.
            return 0, {}
        finally:
            connection.close()


@contextmanager
def clicking(clients: Sequence[Client]) -> Iterator[None]:
    """Run all clients, each in a thread, for the duration of the with statement; each ends with a complete event.

    Raises:
        MfpError: error of the first client that failed.
    """
    over = threading.Event()
    failures: list[BaseException] = []

    def work(client: Client) -> None:
        try:
            time.sleep(client.pause * client.number / len(clients))  # users do not click in step
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
