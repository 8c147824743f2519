"""How long somebody waits, and who ends a wait that nobody else ends: a network file system may never come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

MOST_S = 3600.0
"""However long somebody says that it took."""


class Patience:
    """Until when somebody waits, by time.monotonic(); what takes long for a reason may ask for more."""

    def __init__(self, wait_s: float) -> None:
        self._since = time.monotonic()
        self.until = self._since + wait_s

    def as_long_as(self, seconds: float) -> None:
        """Wait at least so long in all: to fetch a value may take what to compute it took."""
        self.until = max(self.until, self._since + min(seconds, MOST_S))


class Guard:
    """Calls what was agreed when a patience ends before it is dropped. Any thread may call any method."""

    def __init__(self) -> None:
        self._waits: dict[Patience, Callable[[], object]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, patience: Patience, over: Callable[[], object]) -> None:
        """Call over(), in a thread of the guard's, unless drop() comes before patience ends."""
        with self._changed:
            self._waits[patience] = over
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="gpucache-patience", daemon=True)
                with suppress(RuntimeError):  # the interpreter is ending, and starts no threads any more
                    self._thread.start()
            elif len(self._waits) == 1:
                self._changed.notify()

    def drop(self, patience: Patience) -> None:
        """It ended by itself."""
        with self._changed:
            self._waits.pop(patience, None)

    def close(self) -> None:
        """Watch no more."""
        with self._changed:
            self._waits.clear()
            self._thread = None
            self._changed.notify()

    def _watch(self) -> None:
        while self._thread is threading.current_thread():
            with self._changed:
                now = time.monotonic()
                ended = [self._waits.pop(patience) for patience in list(self._waits) if patience.until <= now]
                if not ended:
                    nearest = min((patience.until for patience in self._waits), default=None)
                    self._changed.wait(None if nearest is None else nearest - now)
            for over in ended:
                over()
