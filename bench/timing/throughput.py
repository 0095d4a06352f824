"""Throughput: clicks per second that a network sustains for several users at once, each with a thread and a session."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...kernels.clicks import Click
from ..workload import seeded_clicks
from .cases import Clicked, Opened

CLICKS = 8  # least number of clicks timed for each number of sessions
SECONDS = 2.0  # least time that they should take
OBJECT = 20  # clicks per object, the maximum of the published protocol


def measure(
    opened: Opened,
    image: NDArray[np.uint8],
    sessions: Sequence[int],
    click_seconds: float,
    seed: int,
    progress: Callable[[], None],
) -> dict[str, float]:
    """Clicks per second by the number of sessions (as text, for JSON).

    Args:
        opened: loaded run.
        image: image that all sessions click on, H×W×3 uint8 RGB.
        sessions: numbers of sessions to time.
        click_seconds: seconds of a click in a single session; determines the number of timed clicks.
        seed: seed of the clicks.
        progress: function called after each number of sessions.
    """
    found = {}
    height, width = image.shape[:2]
    scripts = [seeded_clicks(f"session {i}", height, width, OBJECT, seed) for i in range(max(sessions))]
    users = [_User(opened.start(image), script) for script in scripts]
    for user in users:
        user.click()  # a first click has two passes and is not part of sustained throughput
    for count in sessions:
        clicks = math.ceil(max(CLICKS, SECONDS / click_seconds) / count)
        found[str(count)] = count * clicks / _together(users[:count], clicks)
        progress()
    return found


class _User:
    """A user who repeats a script of clicks."""

    def __init__(self, clicked: Clicked, script: Sequence[Click]) -> None:
        self._clicked, self._script, self._next = clicked, script, 0

    def click(self) -> None:
        if self._next == len(self._script):
            self._clicked.reset()
            self._next = 0
        click = self._script[self._next]
        self._clicked.click(click.x, click.y, click.positive)
        self._next += 1


def _together(users: Sequence[_User], clicks: int) -> float:
    """Seconds from the common start to the end of the last user, with ``clicks`` clicks each."""
    barrier = threading.Barrier(len(users) + 1)
    failures: list[BaseException] = []

    def work(user: _User) -> None:
        barrier.wait()
        try:
            for _ in range(clicks):
                user.click()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(user,), daemon=True) for user in users]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    if failures:
        raise failures[0]
    return elapsed
