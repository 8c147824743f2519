"""A few threads for calls that wait: daemons, so that none keeps a process from ending.

concurrent.futures' threads stop before atexit's handlers run, and what is to be sent is sent then, so these are our own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Pool:
    """Threads, started when they are needed. Any thread may submit."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = self._busy = 0
        self._lost: set[int] = set()

    def submit(self, act: Callable[[], T]) -> Future[T]:
        """Have it done by a thread."""
        future: Future[T] = Future()
        with self._lock:
            self._busy += 1  # one that waits is counted too: it will need a thread
            if self._busy > self._count and self._count < self._most:
                self._start()
            has_thread = self._count > 0
        if has_thread:
            self._queue.put((future, act))
        else:
            self._do(future, act)  # the interpreter is ending and starts no threads any more
        return future

    def lose(self, thread: int) -> None:
        """Count on a thread no more: it may never come back from what it does. Another takes its place."""
        with self._lock:
            self._lost.add(thread)
            self._count -= 1
            if self._count < self._most:
                self._start()

    def close(self) -> None:
        """Let the threads end when they have done what was submitted; what is submitted later is done by whoever submits."""
        with self._lock:
            count, self._count, self._most = self._count, 0, 0
        for _ in range(count):
            self._queue.put(None)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._serve, name=f"gpucache-{self._name}", daemon=True).start()
        except RuntimeError:
            return
        self._count += 1

    def _serve(self) -> None:
        while (asked := self._queue.get()) is not None:
            self._do(*asked)
            if self._lost and threading.get_ident() in self._lost:
                return  # another has taken its place

    def _do(self, future: Future[Any], act: Callable[[], Any]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(act())
                except BaseException as problem:  # noqa: BLE001  # it belongs to whoever asked
                    future.set_exception(problem)
        finally:
            with self._lock:
                self._busy -= 1
