"""Changes of several threads in one transaction: a commit costs the disk the same for one as for many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from gpucache.store.contract import RowWriter

T = TypeVar("T")

AT_ONCE = 64


class Together:
    """Makes changes as Rows.update does. Whoever comes first commits; who comes meanwhile is in the next commit, all at once.

    Args:
        update: Runs one change in a transaction.
    """

    def __init__(self, update: Callable[[Callable[[RowWriter], Any]], Any]) -> None:
        self._update = update
        self._lock = threading.Lock()
        self._waiting: list[_Ask] = []
        self._is_led = False

    def update(self, change: Callable[[RowWriter], T]) -> T:
        """Run a change: all that it wrote is there afterwards, or nothing if it raises. Any thread."""
        ask = _Ask(change)
        with self._lock:
            self._waiting.append(ask)
            leads, self._is_led = not self._is_led, True
        if not leads:
            ask.woken.wait()
        if not ask.is_done:  # we lead
            self._lead()
        if ask.problem is not None:
            raise ask.problem
        given: T = ask.given
        return given

    def _lead(self) -> None:
        """Commit what waits, our own among it, and let the first of those who came meanwhile go on."""
        with self._lock:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        try:
            self._commit(batch)
        finally:
            with self._lock:
                self._is_led = bool(self._waiting)
                following = self._waiting[:1]
            for ask in (*batch, *following):
                ask.woken.set()

    def _commit(self, batch: list[_Ask]) -> None:
        try:
            given = self._update(lambda rows: [ask.change(rows) for ask in batch])
        except BaseException as problem:  # noqa: BLE001  # it is raised again by whoever asked
            if len(batch) == 1 or not isinstance(problem, Exception):
                for ask in batch:
                    ask.problem, ask.is_done = problem, True
                return
            for ask in batch:  # one of them failed, and so none was written: the others shall not pay for it
                self._commit([ask])
        else:
            for ask, one in zip(batch, given, strict=True):
                ask.given, ask.is_done = one, True


class _Ask:
    """A change that somebody waits for. It is not done and woken: its thread is to lead."""

    __slots__ = ("change", "given", "is_done", "problem", "woken")

    def __init__(self, change: Callable[[RowWriter], Any]) -> None:
        self.change = change
        self.given: Any = None
        self.problem: BaseException | None = None
        self.is_done = False
        self.woken = threading.Event()
