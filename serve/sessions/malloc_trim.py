"""Return of freed memory to the system: glibc keeps freed memory that lies between memory still in use."""

from __future__ import annotations

import ctypes
import sys
import threading

PAUSE = 2.0  # seconds after the first session is freed; one call serves all that are freed meanwhile


class Trim:
    """Calls ``malloc_trim`` some time after sessions were freed. The call takes tens of milliseconds.

    Does nothing with other C libraries than glibc. Safe between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._trim = None
        if sys.platform == "linux":
            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries lack the function

    def later(self) -> None:
        """Schedule a call, after a session was freed."""
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
        """Cancel a scheduled call."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
