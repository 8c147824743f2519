"""What became of all that a store asked of its remote, added up over its processes."""

from __future__ import annotations

import msgspec

from gpucache.store.contract import RowWriter
from gpucache.store.on_disk import OUTBOX, Store

TABLE = "remote"
COUNTERS = b"counters"


class Counts(msgspec.Struct):
    """What became of all requests.

    Attributes:
        hits, misses: Calls that it knew, and did not know.
        refused: Answers that were not to be believed.
        damaged: Answers whose bytes were not what they should be.
        failures: Requests without an answer.
        fetched_bytes: What came.
        sent, sent_bytes: Calls that were sent, and what went.
        saved_bytes: What more would have gone, had nothing been packed.
    """

    hits: int = 0
    misses: int = 0
    refused: int = 0
    damaged: int = 0
    failures: int = 0
    fetched_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    saved_bytes: int = 0


def totals(store: Store) -> Counts:
    """What became of all requests that this store's processes made until they ended."""
    return _counts_of(store.table_get(TABLE, COUNTERS))


def add_to_totals(store: Store, counts: Counts) -> None:
    """Add a process's counts."""
    name = TABLE.encode() + b"\0" + COUNTERS

    def add(rows: RowWriter) -> None:
        total = _counts_of(rows.get("rows", name))
        for field in Counts.__struct_fields__:
            setattr(total, field, getattr(total, field) + getattr(counts, field))
        rows.put("rows", name, msgspec.msgpack.encode(total))

    store.values.update(add)


def waiting(store: Store) -> int:
    """How many results are to be sent."""
    return sum(1 for _ in store.table_scan(OUTBOX))


def _counts_of(row: bytes | None) -> Counts:
    try:
        return Counts() if row is None else msgspec.msgpack.decode(row, type=Counts)
    except (msgspec.MsgspecError, ValueError):
        return Counts()
