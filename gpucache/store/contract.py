"""What a store stands on: small rows in databases, and blobs of bytes. Two of each: on disk, and in memory as their twin.

A row belongs to a database and a key of at most 511 bytes. Whoever implements this gives out a row whole and right, or none: a
damaged one is set aside, with an event, and is from then on absent. Any thread may call any method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gpucache.store.record import BlobRow

T = TypeVar("T")

DATABASES = ("records", "recent", "parts", "values", "puts", "pins", "blobs", "used", "claims", "rows")
"""records: by key. recent: their names by task and time. parts: what keys were made of. values: manifests by value digest.
puts: which of them put() gave. pins: which are kept. blobs: where they lie. used: when last read. claims: blobs that a
writer found here and is about to name in a row. rows: the tables of others."""


@dataclass(frozen=True, slots=True)
class Stray:
    """Something on the disk that no row names.

    Attributes:
        nbytes: What removing it frees.
        remove: Removes it; nothing happens if it is gone.
    """

    nbytes: int
    remove: Callable[[], object]


class RowReader(Protocol):
    """Rows as they are at one moment, or, outside a transaction, from one call to the next."""

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row, or None."""
        ...

    def scan(self, database: str, prefix: bytes = b"", *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """(key, row) for each key that starts with prefix, in order. Rows written meanwhile may be missed."""
        ...


class RowWriter(RowReader, Protocol):
    """The rows within one transaction. Not to be used after it."""

    def put(self, database: str, key: bytes, body: bytes) -> None:
        """Write a row, in place of the one there."""
        ...

    def delete(self, database: str, key: bytes) -> bool:
        """Delete a row; whether there was one."""
        ...


class Rows(RowReader, Protocol):
    """All rows of a store."""

    def getter(self, database: str) -> Callable[[bytes], bytes | None]:
        """get() of one database, for who calls it often."""
        ...

    def update(self, change: Callable[[RowWriter], T], *, durable: bool = False) -> T:
        """Run `change` in a transaction: all that it wrote is there afterwards, or nothing if it raises.

        One runs at a time, in all processes. `change` may be run again, also after it was made once, and must call neither the
        store nor hooks. With durable, it and everything before it survive a power cut from then on.

        Raises:
            StoreFull: There is no room; nothing changed.
            StoreUnusable: The index can't be written; nothing changed.
        """
        ...

    def raw(self, database: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Every (key, row) as scan() gives them, but with None for a damaged row, which stays where it is."""
        ...

    def drop_damaged(self, database: str, key: bytes) -> None:
        """Set a row aside if it is damaged."""
        ...

    def structure(self) -> str | None:
        """What is wrong with the index beside its rows; None if nothing is."""
        ...

    def mend(self, problem: str) -> None:
        """Make the index anew from the rows that can still be read; the damaged one is set aside, with an event."""
        ...

    @property
    def nbytes(self) -> int:
        """What the rows take."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class BlobStore(Protocol):
    """Blobs by the names that their rows hold. A blob is never changed; it is there whole, or not."""

    def write(self, data: Any, digest: bytes) -> BlobRow:
        """Write a buffer under a new name. Raises StoreFull, with nothing left behind."""
        ...

    def flush(self, row: BlobRow) -> None:
        """The blob, whoever wrote it, survives a power cut from now on. Raises BlobMissing."""
        ...

    def copy_in(self, source: Path, digest: bytes) -> BlobRow:
        """Copy a file under a new name, if its content has this digest. Raises NotStorable if not, StoreFull."""
        ...

    def open(self, row: BlobRow, digest: bytes, *, writable: bool) -> tuple[Any, BlobRow]:
        """Its bytes, read-only or private, and its row as it should be from now on. Raises BlobMissing, RecordCorrupt."""
        ...

    def check(self, row: BlobRow, digest: bytes) -> str | None:
        """What is wrong with it after reading all of it; None if nothing is."""
        ...

    def exists(self, row: BlobRow) -> bool:
        """Whether it is there, by its size alone."""
        ...

    def used_at(self, row: BlobRow) -> float:
        """When it was last written or, as far as the file system says, read: Unix time, s."""
        ...

    def set_aside(self, row: BlobRow, problem: str) -> None:
        """Move it out of the way, with an event."""
        ...

    def remove(self, row: BlobRow) -> None:
        """Remove it. What was opened stays readable."""
        ...
