"""A change of rows, written down: what it read and what it would write, so that another process can make it for us.

Who makes it checks first that everything that was read is still as it was; if not, the change is run again by its own process.
Rows travel with their checks, as they will lie in the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import msgspec

from gpucache.store.contract import DATABASES, RowWriter
from gpucache.store.record import NOT_A_ROW, encode_row
from gpucache.store.transaction import CHECK_BYTES, KEY_MAX_BYTES, Transaction, body_of, check_key, checked

T = TypeVar("T")

_NUMBER = {database: number for number, database in enumerate(DATABASES)}


class NotDrafted(Exception):  # says what it is; nobody outside the store sees it
    """This change reads more than single rows, and must be made by its own process."""


class _Rows(msgspec.Struct, frozen=True, array_like=True):
    """(number of the database, key, a row; in `seen` its check alone; None: no row), for each."""

    seen: list[tuple[int, bytes, bytes | None]]
    written: list[tuple[int, bytes, bytes | None]]


_decode = msgspec.msgpack.Decoder(_Rows).decode


class Draft:
    """The rows within a transaction that only reads, and over them what a change writes. A RowWriter."""

    def __init__(self, rows: Transaction) -> None:
        self._rows = rows
        self._seen: dict[tuple[str, bytes], bytes | None] = {}
        self._written: dict[tuple[str, bytes], bytes | None] = {}

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row, or None."""
        place = database, key
        row = self._written[place] if place in self._written else self._look(database, key)
        return None if row is None else body_of(database, key, row)

    def put(self, database: str, key: bytes, body: bytes) -> None:
        """Write a row, in place of the one there."""
        check_key(key)
        self._written[database, key] = checked(database, key, body)

    def delete(self, database: str, key: bytes) -> bool:
        """Delete a row; whether there was one."""
        place = database, key
        row = self._written[place] if place in self._written else self._look(database, key)
        if row is not None:
            self._written[place] = None
        return row is not None

    def scan(self, database: str, prefix: bytes = b"", *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Not here: rows that are added to a range would go unseen."""
        return self._not_here()

    def raw(self, database: str, key: bytes) -> bytes | None:
        """Not here: damaged rows are for their finder."""
        return self._not_here()

    def _not_here(self) -> NoReturn:
        raise NotDrafted

    def _look(self, database: str, key: bytes) -> bytes | None:
        row = self._rows.raw(database, key)
        self._seen.setdefault((database, key), None if row is None else row[:CHECK_BYTES])
        return row

    def encoded(self) -> bytes:
        """What was seen and what is to be written."""
        seen = [(_NUMBER[database], key, check) for (database, key), check in self._seen.items()]
        written = [(_NUMBER[database], key, row) for (database, key), row in self._written.items()]
        return encode_row(_Rows(seen, written))


def drafted(change: Callable[[RowWriter], T], rows: Transaction) -> tuple[T, bytes]:
    """What a change gives, and the change written down.

    Raises:
        NotDrafted: It can't be.
    """
    draft = Draft(rows)
    given = change(draft)
    return given, draft.encoded()


def make(encoded: bytes, transaction: Any, databases: dict[str, Any]) -> bool:
    """Make a change that was written down, in LMDB's transaction; False, and nothing written, if what it read has changed."""
    try:
        rows = _decode(encoded)
        seen = [(databases[DATABASES[number]], key, check) for number, key, check in rows.seen]
        written = [(databases[DATABASES[number]], key, row) for number, key, row in rows.written]
    except (*NOT_A_ROW, IndexError):
        return False
    if not all(0 < len(key) <= KEY_MAX_BYTES for _, key, _ in (*seen, *written)):
        return False
    for database, key, check in seen:
        row = transaction.get(key, db=database)
        if (None if row is None else row[:CHECK_BYTES]) != check:
            return False
    for database, key, row in written:
        if row is None:
            transaction.delete(key, db=database)
        else:
            transaction.put(key, row, db=database)
    return True
