"""Pages of a damaged index that lead in a circle: every scan ends, and says that they are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import lmdb
import pytest

from gpucache.store.transaction import KEY_MAX_BYTES, PAGE_ROWS, Transaction

KEYS = [b"%03d" % number for number in range(PAGE_ROWS * 2)]


class Circle:
    """What LMDB's cursor gives where the last leaf's neighbour is the first one again."""

    def __init__(self, keys: list[bytes]) -> None:
        self._keys, self._at = keys, 0

    @contextmanager
    def cursor(self, **_: Any) -> Iterator[Circle]:
        yield self

    def first(self) -> bool:
        self._at = 0
        return True

    def last(self) -> bool:
        self._at = len(self._keys) - 1
        return True

    def set_range(self, wanted: bytes) -> bool:
        found = next((at for at, key in enumerate(self._keys) if key >= wanted), None)
        self._at = 0 if found is None else found
        return found is not None

    def next(self) -> bool:
        self._at = (self._at + 1) % len(self._keys)
        return True

    def prev(self) -> bool:
        self._at = (self._at - 1) % len(self._keys)
        return True

    def key(self) -> bytes:
        return self._keys[self._at]

    def value(self) -> bytes:
        return b"a row"


def rows_of(keys: list[bytes]) -> Transaction:
    return Transaction(Circle(keys), {"records": None})


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_in_a_circle_ends(reverse: bool) -> None:
    """It went on for ever: each page came after the one before, and the first one after the last."""
    rows, after, seen = rows_of(KEYS), None, 0

    with pytest.raises(lmdb.CorruptedError, match="does not come after"):
        for _ in islice(cycle([None]), 10):
            page = rows.page("records", b"", after, reverse=reverse)
            seen, after = seen + len(page), page[-1][0]

    assert seen == len(KEYS)


def test_a_circle_within_a_page_is_damage() -> None:
    """Three rows over and over are not a page of 256."""
    with pytest.raises(lmdb.CorruptedError):
        rows_of(KEYS[:3]).page("records", b"", None, reverse=False)


@pytest.mark.parametrize("key", [b"", b"k" * (KEY_MAX_BYTES + 1)])
def test_a_key_of_no_possible_length_is_damage(key: bytes) -> None:
    """The scan went on from such a key, and the reader heard ValueError of a key that was none of its own."""
    with pytest.raises(lmdb.CorruptedError, match="bytes"):
        rows_of([key]).page("records", b"", None, reverse=False)
