"""Rows of other parts of gpucache in a store: tables of names and bytes that this package does not look into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from gpucache.store.contract import Rows, RowWriter

T = TypeVar("T")


class Tables(ABC):
    """What a store has for the ledger and others. Blobs whose digests a row holds as msgpack are kept."""

    @property
    @abstractmethod
    def rows(self) -> Rows:
        """The rows of the store."""

    @abstractmethod
    def update(self, change: Callable[[RowWriter], T]) -> T:
        """Change rows, as durably as the store writes."""

    def table_put(self, table: str, name: bytes, row: bytes) -> None:
        """Write a row."""
        self.table_put_many(table, {name: row})

    def table_put_many(self, table: str, new: Mapping[bytes, bytes]) -> None:
        """Write rows, all or none."""
        prefix = table_prefix(table)

        def write(rows: RowWriter) -> None:
            for name, row in new.items():
                rows.put("rows", prefix + name, row)

        self.update(write)

    def table_get(self, table: str, name: bytes) -> bytes | None:
        """A row, or None if there is none or it is damaged."""
        return self.rows.get("rows", table_prefix(table) + name)

    def table_scan(self, table: str, *, prefix: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows in the order of their names."""
        start = table_prefix(table)
        for name, row in self.rows.scan("rows", start + prefix, reverse=reverse):
            yield name[len(start) :], row

    def table_delete(self, table: str, name: bytes) -> bool:
        """Delete a row; whether there was one."""
        return self.update(lambda rows: rows.delete("rows", table_prefix(table) + name))


def table_prefix(table: str) -> bytes:
    """What the names of a table's rows begin with.

    Raises:
        ValueError: It is no name of a table.
    """
    if not table or "\0" in table:
        raise ValueError(f"{table!r} is no name of a table; expected text without NUL")
    return table.encode() + b"\0"
