"""Clock of a store: counts the seconds during which servers ran on it, to measure the age of sessions.

The system clock is not reliable for that: after one start with a date 40 days ahead, all sessions would count as
40 days old. This clock advances only by ``time.monotonic()``, which no change of date affects, from the last value in
the store. It stands still while no server runs, so no session expires because the server was off.
"""

from __future__ import annotations

import time


class RunningClock:
    """The clock of a store in one process. Several processes on one store follow the one that is ahead.

    Args:
        kept: value in the store, in seconds.
    """

    def __init__(self, kept: float) -> None:
        self._kept, self._since = kept, time.monotonic()

    def now(self) -> float:
        """Return the time in seconds."""
        return self._kept + time.monotonic() - self._since

    def meet(self, kept: float) -> float:
        """Move on to the store's value if another process is ahead, and return the time in seconds."""
        now = self.now()
        if kept > now:
            self._kept, self._since = kept, time.monotonic()
        return max(kept, now)
