"""Fair scheduler: runs each session's calls in order and sessions round-robin, so a busy one cannot starve others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import TooManyError, UnavailableError

T = TypeVar("T")
_Call = tuple[Callable[[], Any], float, "asyncio.Future[tuple[Any, float]]"]


class Turns:
    """Runs calls on threads: keys round-robin, calls of one key in order and one at a time.

    Used from one event loop.

    Args:
        threads: number of threads.
        waiting: maximum calls of one key that may wait.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "click")
        self._idle = threads
        self._limit = waiting
        self._calls: dict[str, deque[_Call]] = {}  # waiting calls of keys that wait or run
        self._next: deque[str] = deque()  # keys that wait and do not run
        self._closed = False

    async def run(self, key: str, call: Callable[[], T]) -> tuple[T, float]:
        """Run a call when its turn comes, and return its result and the milliseconds that it waited.

        If the caller is cancelled before the turn, the call is skipped.

        Raises:
            TooManyError: too many calls of this key wait.
            UnavailableError: the scheduler is closed.
        """
        if self._closed:
            raise UnavailableError("the server is shutting down: try again in a moment")
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = deque()
            self._next.append(key)
        elif len(calls) >= self._limit:
            raise TooManyError(f"{len(calls)} requests of this session wait already: wait for their answers first")
        future: asyncio.Future[tuple[T, float]] = asyncio.get_running_loop().create_future()
        calls.append((call, time.perf_counter(), future))
        self._start()
        return await future

    @property
    def waiting(self) -> int:
        """Return the number of waiting calls."""
        return sum(map(len, self._calls.values()))

    async def close(self) -> None:
        """Reject new calls, and return when all accepted ones are done."""
        self._closed = True
        while self._calls:
            await asyncio.sleep(0.01)
        self._pool.shutdown(wait=True)

    def _start(self) -> None:
        while self._idle and self._next:
            key = self._next.popleft()
            call, since, future = self._calls[key].popleft()
            if future.done():  # the caller was cancelled
                self._again(key)
                continue
            self._idle -= 1
            waited = (time.perf_counter() - since) * 1e3
            asyncio.get_running_loop().run_in_executor(self._pool, call).add_done_callback(
                lambda done, key=key, waited=waited, future=future: self._end(key, waited, future, done)  # type: ignore[misc]
            )

    def _end(self, key: str, waited: float, future: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
        self._idle += 1
        self._again(key)
        error = done.exception()
        if not future.done():
            if error is None:
                future.set_result((done.result(), waited))
            else:
                future.set_exception(error)
        self._start()

    def _again(self, key: str) -> None:
        if self._calls[key]:
            self._next.append(key)
        else:
            del self._calls[key]
