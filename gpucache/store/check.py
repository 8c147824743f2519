"""Check a whole store: the index's structure, every row, every byte of every blob. Runs beside readers and writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from gpucache.store.contract import DATABASES
from gpucache.store.record import NOT_A_ROW, BlobRow, Manifest, Record, VerifyReport, decoded_blob

if TYPE_CHECKING:
    from gpucache.store.on_disk import Store

_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "records": msgspec.msgpack.Decoder(Record).decode,
    "values": msgspec.msgpack.Decoder(Manifest).decode,
    "parts": msgspec.msgpack.Decoder(dict[str, tuple[bytes, str]]).decode,
}

Problem = tuple[str, str, Callable[[], object]]
"""What it is, what is wrong with it, and what sets it aside."""


def verify(store: Store, *, repair: bool) -> VerifyReport:
    """Check everything; with repair, set aside what is damaged as it is found."""
    problems: list[tuple[str, str]] = []
    counted = _Counted()
    for check in (_structure, _rows, _blobs):
        for name, problem, set_aside in check(store, counted):
            problems.append((name, problem))
            if repair:
                set_aside()
    return VerifyReport(counted.rows, counted.blobs, counted.nbytes, tuple(problems), repair and bool(problems))


class _Counted:
    rows = blobs = nbytes = 0


def _structure(store: Store, _: _Counted) -> Iterator[Problem]:
    found = store.rows.structure()
    if found:
        more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
        yield "the index", f"{found[0]}{more}", lambda: store.rows.mend(found[0])


def _rows(store: Store, counted: _Counted) -> Iterator[Problem]:
    for database in DATABASES:
        decode = _DECODERS.get(database)
        for key, body in store.rows.raw(database):
            counted.rows += 1
            name = f"row {key.hex()[:12]} of {database}"
            if body is None:
                yield name, "its check does not match", partial(store.rows.drop_damaged, database, key)
            elif (decode is not None and not _decodes(decode, body)) or (
                database == "blobs" and decoded_blob(key, body) is None
            ):
                yield name, "it is not what this gpucache writes", _deletion(store, database, key)


def _blobs(store: Store, counted: _Counted) -> Iterator[Problem]:
    for digest, _ in store.rows.scan("blobs"):
        row = store.values.blob_row(digest)
        if row is None:
            continue
        counted.blobs += 1
        counted.nbytes += row.nbytes
        problem = store.blobs.check(row, digest)
        if problem is not None and store.values.blob_row(digest) == row:  # else it went, or came anew, while we read
            yield f"blob {digest.hex()[:12]}", problem, _put_away(store, digest, row, problem)


def _deletion(store: Store, database: str, key: bytes) -> Callable[[], object]:
    return lambda: store.rows.update(lambda rows: rows.delete(database, key))


def _put_away(store: Store, digest: bytes, row: BlobRow, problem: str) -> Callable[[], object]:
    def put_away() -> None:
        store.values.drop_blob(digest, row)
        store.blobs.set_aside(row, problem)

    return put_away


def _decodes(decode: Callable[[bytes], Any], body: bytes) -> bool:
    try:
        decode(body)
    except NOT_A_ROW:
        return False
    return True
