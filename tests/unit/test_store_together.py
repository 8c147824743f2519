"""Changes of several threads in one transaction: each gets its own result or its own error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gpucache.store.together import Together

from gpucache.errors import StoreFull
from gpucache.store.in_memory import MemoryRows


class Counted:
    """Rows whose transactions are counted; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.rows, self.commits = MemoryRows(), 0
        self.begun, self.go = threading.Event(), threading.Event()

    def update(self, change: Callable[[Any], Any]) -> Any:
        self.commits += 1
        self.begun.set()
        assert self.go.wait(10)
        return self.rows.update(change)


def _put(key: bytes) -> Callable[[Any], bytes]:
    return lambda rows: rows.put("rows", key, key) or key


def test_who_comes_meanwhile_is_in_the_next_commit() -> None:
    """Twenty threads, one of them committing: two commits, and everybody has what his change gave."""
    counted = Counted()
    together = Together(counted.update)

    with ThreadPoolExecutor(20) as threads:
        first = threads.submit(together.update, _put(b"first"))
        counted.begun.wait(10)
        keys = [b"%d" % number for number in range(19)]
        others = [threads.submit(together.update, _put(key)) for key in keys]
        while len(together._waiting) < len(keys):
            pass
        counted.go.set()

        assert first.result(10) == b"first"
        assert [other.result(10) for other in others] == keys

    assert counted.commits == 2
    assert dict(counted.rows.scan("rows")) == {key: key for key in (b"first", *keys)}


def test_one_that_fails_takes_nobody_along() -> None:
    """Its error reaches who asked for it; the others' rows are there, and nothing of its own."""
    counted = Counted()
    together = Together(counted.update)

    def fails(rows: Any) -> None:
        rows.put("rows", b"half", b"")
        raise StoreFull("here", 1, 0)

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(together.update, _put(b"first"))
        counted.begun.wait(10)
        good, bad, also = (threads.submit(together.update, one) for one in (_put(b"good"), fails, _put(b"also")))
        while len(together._waiting) < 3:
            pass
        counted.go.set()

        assert [one.result(10) for one in (first, good, also)] == [b"first", b"good", b"also"]
        with pytest.raises(StoreFull):
            bad.result(10)

    assert sorted(key for key, _ in counted.rows.scan("rows")) == [b"also", b"first", b"good"]


def test_afterwards_others_can_lead() -> None:
    """A change alone, again and again, is a commit of its own each time."""
    counted = Counted()
    counted.go.set()
    together = Together(counted.update)

    given = [together.update(_put(b"%d" % number)) for number in range(3)]

    assert given == [b"0", b"1", b"2"]
    assert counted.commits == 3
