"""Rows within one transaction of LMDB, each with a check that binds it to its key: LMDB's pages have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lmdb

from gpucache.store import _rows
from gpucache.store._rows import CHECK_BYTES, Getter
from gpucache.store.contract import DATABASES

__all__ = [
    "CHECK_BYTES",
    "KEY_MAX_BYTES",
    "PAGE_ROWS",
    "Getter",
    "Transaction",
    "body_of",
    "check_key",
    "checked",
    "getter",
]

KEY_MAX_BYTES = 511  # LMDB's limit
PAGE_ROWS = 256


class Transaction:
    """Rows within one transaction of LMDB."""

    def __init__(self, transaction: Any, databases: dict[str, Any]) -> None:
        self._transaction, self._databases = transaction, databases

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row; None if there is none or it is damaged."""
        row = self.raw(database, key)
        return None if row is None else body_of(database, key, row)

    def scan(self, database: str, prefix: bytes = b"", *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key starts with prefix; damaged ones are left out."""
        after: bytes | None = None
        while page := self.page(database, prefix, after, reverse=reverse):
            for key, row in page:
                body = body_of(database, key, row)
                if body is not None:
                    yield key, body
            after = page[-1][0]

    def put(self, database: str, key: bytes, body: bytes) -> None:
        """Write a row, in place of the one there."""
        check_key(key)
        self._transaction.put(key, checked(database, key, body), db=self._databases[database])

    def delete(self, database: str, key: bytes) -> bool:
        """Delete a row; whether there was one."""
        check_key(key)
        return bool(self._transaction.delete(key, db=self._databases[database]))

    def raw(self, database: str, key: bytes) -> bytes | None:
        """A row with its check, as it lies there."""
        check_key(key)
        row: bytes | None = self._transaction.get(key, db=self._databases[database])
        return row

    def page(self, database: str, prefix: bytes, after: bytes | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        """Up to PAGE_ROWS rows that start with prefix and come after `after`, with their checks.

        Raises:
            lmdb.CorruptedError: A key is none, or they are in no order: damaged pages lead in a circle, and the scan would not end.
        """
        page: list[tuple[bytes, bytes]] = []
        with self._transaction.cursor(db=self._databases[database]) as cursor:
            found = _start_backwards(cursor, prefix, after) if reverse else _start(cursor, prefix, after)
            while found and len(page) < PAGE_ROWS:
                key = cursor.key()
                if not 0 < len(key) <= KEY_MAX_BYTES:
                    raise lmdb.CorruptedError(f"{database}: a key of {len(key):,} bytes")
                if after is not None and (key >= after if reverse else key <= after):
                    raise lmdb.CorruptedError(f"{database}: {key.hex()[:64]} does not come after the key before it")
                if not key.startswith(prefix):
                    break
                page.append((key, cursor.value()))
                after = key
                found = cursor.prev() if reverse else cursor.next()
        return page


_PREFIX = {database: database.encode() + b"\0" for database in DATABASES}


def check_key(key: bytes) -> None:
    """Refuse a key that LMDB would not take."""
    if not 0 < len(key) <= KEY_MAX_BYTES:
        raise ValueError(f"a row's key has 1 to {KEY_MAX_BYTES} bytes, not {len(key)}")


def checked(database: str, key: bytes, body: bytes) -> bytes:
    """A body with what stands before it: a check that is right for this body under this key in this database alone."""
    return _rows.checked(_PREFIX[database], key, body)


def body_of(database: str, key: bytes, row: bytes) -> bytes | None:
    """A row without its check; None if that is not the right one."""
    return _rows.body_of(_PREFIX[database], key, row)


def getter(database: str, slowly: Callable[[bytes], bytes | None]) -> Getter:
    """A Getter of this database's rows."""
    return Getter(_PREFIX[database], slowly)


def _start(cursor: Any, prefix: bytes, after: bytes | None) -> bool:
    if after is None:
        return bool(cursor.set_range(prefix) if prefix else cursor.first())
    return bool(cursor.set_range(after) and (cursor.key() != after or cursor.next()))


def _start_backwards(cursor: Any, prefix: bytes, after: bytes | None) -> bool:
    end = after if after is not None else prefix + b"\xff" * (KEY_MAX_BYTES - len(prefix))
    return bool(cursor.prev() if cursor.set_range(end) else cursor.last())
