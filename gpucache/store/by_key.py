"""Records by key: what calls gave, and the tables of parts that their keys were made of. Knows rows by their contract alone."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar

import msgspec

from gpucache.digests import hash128
from gpucache.store.contract import RowReader, RowWriter
from gpucache.store.record import NOT_A_ROW, Manifest, Record, blobs_of, decoded, encode_row

T = TypeVar("T")

TIME = struct.Struct(">Q")  # microseconds; big-endian, so that names sort by it
TASK_BYTES = KEY_BYTES = 16
LATEST_S = 1e13

OF_ONE_CALL = ("arg:", "existence:", "file:", "listing:", "status:", "variable:")
"""How components of a key begin that lie in the record itself. The others, which calls share, lie once under their digest."""

decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_parts = msgspec.msgpack.Decoder(dict[str, tuple[bytes, str]]).decode


class Update(Protocol):
    """Rows.update, or something around it."""

    def __call__(self, change: Callable[[RowWriter], T]) -> T:
        """Run a change in a transaction."""
        ...


class Records:
    """The records of one store. Any thread may call any method."""

    def __init__(self, rows: RowReader, update: Update) -> None:
        self._rows, self._update = rows, update

    def lookup(self, key: bytes) -> Record | None:
        """The record of a call, or None."""
        row = self._rows.get("records", key)
        return None if row is None else self.read(row)

    def read(self, row: bytes) -> Record | None:
        """The record of a row, or None if another gpucache wrote it."""
        try:
            return decode_record(row)
        except NOT_A_ROW:  # whole, but written by a gpucache that knows other records
            return None

    def publish(
        self,
        record: Record,
        parts: Mapping[str, tuple[bytes, str]],
        *,
        also: Callable[[RowWriter], None] | None = None,
    ) -> Record:
        """Write a record and its key's parts, and what `also` writes; returns it as it was written."""
        record, write = self.writing(record, parts, also=also)
        self._update(write)
        return record

    def writing(
        self,
        record: Record,
        parts: Mapping[str, tuple[bytes, str]],
        *,
        also: Callable[[RowWriter], None] | None = None,
    ) -> tuple[Record, Callable[[RowWriter], None]]:
        """A record as publish() writes it, and the change that writes it, to be made within a transaction.

        A result that lies in the record whole has no row by its digest: it is as fast laid out anew, and takes no other page.
        """
        own = {component: part for component, part in parts.items() if component.startswith(OF_ONE_CALL)}
        table = encode_row({component: part for component, part in parts.items() if component not in own})
        name = hash128(table)
        record = msgspec.structs.replace(record, parts=name, own=encode_row(own) if own else b"")
        row = encode_row(record)
        result = encode_row(record.result) if blobs_of(record.result) else None

        def write(rows: RowWriter) -> None:
            _unlist(rows, record.key)
            if rows.get("parts", name) is None:
                rows.put("parts", name, table)
            rows.put("records", record.key, row)
            rows.put("recent", _recent(record), b"")
            if result is not None:
                rows.put("values", record.result.digest, result)
            give_up_claims(rows, record.result)
            if also is not None:
                also(rows)

        return record, write

    def forget(self, key: bytes) -> bool:
        """Drop a record; whether there was one."""
        return self._update(lambda rows: _forget(rows, key))

    def forget_task(self, task: str) -> int:
        """Drop all records of a task; returns how many."""

        def forget(rows: RowWriter) -> int:
            names = [name for name, _ in rows.scan("recent", _task(task))]
            return sum(_forget(rows, _key_of(name)) for name in names)

        return self._update(forget)

    def newest_first(self, task: str | None, limit: int | None) -> Iterator[Record]:
        """Records of one task, or of all."""
        if task is None:
            yield from self._of_all(limit)
            return
        given = 0
        for name, _ in self._rows.scan("recent", _task(task), reverse=True):
            if given == limit:
                return
            record = self.lookup(_key_of(name))
            if record is not None and _recent(record) == name:
                given += 1
                yield record

    def parts_of(self, record: Record) -> dict[str, tuple[bytes, str]]:
        """What a record's key was made of; empty if some of that is damaged."""
        shared = decoded(_decode_parts, self._rows.get("parts", record.parts))
        own = decoded(_decode_parts, record.own) if record.own else {}
        return {} if shared is None or own is None else {**shared, **own}

    def _of_all(self, limit: int | None) -> list[Record]:
        rows = (decoded(decode_record, row) for _, row in self._rows.scan("records"))
        records = (record for record in rows if record is not None)
        if limit is None:
            return sorted(records, key=_age)
        return heapq.nsmallest(limit, records, key=_age)


def give_up_claims(rows: RowWriter, manifest: Manifest) -> None:
    """A manifest's blobs are named in a row from this transaction on."""
    for blob in blobs_of(manifest):
        rows.delete("claims", blob)


def _age(record: Record) -> float:
    return -record.created_at


def _task(task: str) -> bytes:
    return hash128(task.encode())


def _recent(record: Record) -> bytes:
    is_a_time = 0.0 <= record.created_at < LATEST_S  # false for what is no number
    return _task(record.task) + TIME.pack(int(record.created_at * 1e6) if is_a_time else 0) + record.key[:KEY_BYTES]


def _key_of(recent: bytes) -> bytes:
    return recent[TASK_BYTES + TIME.size :]


def _unlist(rows: RowWriter, key: bytes) -> None:
    before = decoded(decode_record, rows.get("records", key))
    if before is not None:
        rows.delete("recent", _recent(before))


def _forget(rows: RowWriter, key: bytes) -> bool:
    _unlist(rows, key)
    return rows.delete("records", key)
