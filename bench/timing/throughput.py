"""Clicks per second that a network sustains for several users at once: one thread and one session each."""

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

CLICKS = 8  # timed for a number of sessions, at the least
SECONDS = 2.0  # that they shall take, at the least
OBJECT = 20  # clicks: the most of the published protocol; then the next object


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
        opened: the run.
        image: that all sessions click on.
        sessions: numbers of them.
        click_seconds: what a click takes alone; decides how many are timed.
        seed: of the clicks.
        progress: called after each number of sessions.
    """
    found = {}
    height, width = image.shape[:2]
    scripts = [seeded_clicks(f"session {i}", height, width, OBJECT, seed) for i in range(max(sessions))]
    users = [_User(opened.start(image), script) for script in scripts]
    for user in users:
        user.click()  # of two passes: not what is sustained
    for count in sessions:
        clicks = math.ceil(max(CLICKS, SECONDS / click_seconds) / count)
        found[str(count)] = count * clicks / _together(users[:count], clicks)
        progress()
    return found


class _User:
    """Clicks through one script after the other."""

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
    """Seconds from the start of all to the end of the last."""
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
