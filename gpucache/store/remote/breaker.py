"""When to leave a remote alone: after some failures in a row, for a while, and twice as long each time the one try fails.

Pure: the clock is given, and nothing is called. One outage is told once, when it begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

FAILURES, FIRST_S, LONGEST_S = 3, 5.0, 300.0


class Breaker:
    """Any thread may call any method.

    Attributes:
        why: What went wrong the last time.

    Args:
        told: Called with what is wrong when the remote is left alone for the first time since it last answered.
        clock: Seconds that only grow.
        failures: So many in a row open it.
        first_s, longest_s: For how long at first, and at most.
    """

    def __init__(
        self,
        told: Callable[[str], object],
        clock: Callable[[], float],
        *,
        failures: int = FAILURES,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._told, self._clock = told, clock
        self._limit, self._first_s, self._longest_s = failures, first_s, longest_s
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._pause_s = 0.0
        self._closed_until = 0.0  # of the door: nobody is let through before
        self._trying = False
        self.why = ""

    @property
    def is_open(self) -> bool:
        """Whether the remote is being left alone."""
        return self._pause_s > 0

    def may_ask(self) -> bool:
        """Whether to ask now. After a pause one caller may, whose succeeded(), failed() or gave_up() decides for all."""
        with self._lock:
            if not self._pause_s:
                return True
            if self._trying or self._clock() < self._closed_until:
                return False
            self._trying = True
            return True

    def wait_s(self) -> float:
        """How long until someone may ask; 0: now."""
        with self._lock:
            return max(0.0, self._closed_until - self._clock()) if self._pause_s else 0.0

    def succeeded(self) -> None:
        """It answered, whatever it said."""
        with self._lock:
            self._in_a_row, self._pause_s, self._trying = 0, 0.0, False

    def gave_up(self) -> None:
        """Who might ask did not find out: the next may."""
        with self._lock:
            self._trying = False

    def failed(self, why: str) -> None:
        """It did not answer, or not in time."""
        with self._lock:
            self.why = why
            self._in_a_row += 1
            is_news = self._in_a_row >= self._limit and not self._pause_s
            if is_news:
                self._pause_s = self._first_s
            elif self._pause_s and self._trying:
                self._pause_s = min(2 * self._pause_s, self._longest_s)
            elif self._pause_s:
                return  # one that was asked before the pause began
            self._trying = False
            if self._pause_s:
                self._closed_until = self._clock() + self._pause_s
        if is_news:
            self._told(why)
