"""Clock of a store: seconds during which servers ran on it, by which the age of sessions is counted.

The clock of a machine cannot be trusted for that: after one start with a date 40 days ahead all sessions would count as
40 days old. This clock goes on by ``time.monotonic()`` alone, which no date changes, from the last value that the store
keeps. It stands still while no server runs, so a session never gets old unseen.
"""

from __future__ import annotations

import time


class RunningClock:
    """The clock as one process counts it. Several processes on one store go by the one that is ahead.

    Args:
        kept: the value in the store.
    """

    def __init__(self, kept: float) -> None:
        self._kept, self._since = kept, time.monotonic()

    def now(self) -> float:
        """Seconds."""
        return self._kept + time.monotonic() - self._since

    def meet(self, kept: float) -> float:
        """Go on from the store's value where another process is ahead. Returns the time now."""
        now = self.now()
        if kept > now:
            self._kept, self._since = kept, time.monotonic()
        return max(kept, now)
