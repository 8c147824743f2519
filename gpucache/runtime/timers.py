"""Call back later: one thread for all deadlines of a driver, started with the first of them."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable


class Timers:
    """Deadlines on the monotonic clock. Any thread may call any method."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._changed = threading.Condition()
        self._count = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in the timers' thread, once, not before so many seconds have passed."""
        with self._changed:
            if self._closed:
                return
            self._count += 1
            heapq.heappush(self._due, (time.monotonic() + seconds, self._count, call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gpucache-timers", daemon=True)
                self._thread.start()
            elif self._due[0][1] == self._count:
                self._changed.notify()

    def close(self) -> None:
        """Call nothing any more."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                call = heapq.heappop(self._due)[2]
            call()
