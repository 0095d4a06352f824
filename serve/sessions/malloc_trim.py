"""Giving memory back to the system: glibc keeps what was freed between what is still in use."""

from __future__ import annotations

import ctypes
import sys
import threading

PAUSE = 2.0  # seconds from the first session that goes; those that follow are part of it


class Trim:
    """Calls ``malloc_trim`` some time after sessions have gone; it takes tens of milliseconds. Nothing but on glibc.

    From any number of threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._trim = None
        if sys.platform == "linux":
            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none

    def later(self) -> None:
        """A session has gone."""
        with self._lock:
            if self._timer is None and self._trim is not None:
                self._timer = threading.Timer(PAUSE, self._run)
                self._timer.daemon = True
                self._timer.start()

    def _run(self) -> None:
        with self._lock:
            self._timer = None
        if self._trim is not None:
            self._trim(0)

    def close(self) -> None:
        """Leave it."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
