"""Check a whole store: the index's structure, every row, every byte of every blob. Runs beside readers and writers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from random import sample
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from gpucache.errors import BadSetting
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


SAMPLE_BLOBS = 100
"""How many blobs a sample reads: one damaged in fifty is missed by less than one sample in seven."""

Level = Literal["structure", "sample", "everything"]


def verify(store: Store, *, level: Level, repair: bool) -> VerifyReport:
    """Check a store as far as `level` says; with repair, set aside what is damaged as it is found.

    Raises:
        BadSetting: There is no such level.
    """
    if level not in get_args(Level):
        raise BadSetting("level", str(level), f"one of {', '.join(get_args(Level))}")
    problems: list[tuple[str, str]] = []
    counted = _Counted()
    blobs = {"structure": _files, "sample": _some_blobs, "everything": _blobs}[level]
    for check in (_structure, _rows, blobs):
        for name, problem, set_aside in check(store, counted):
            problems.append((name, problem))
            if repair:
                set_aside()
    return VerifyReport(counted.rows, counted.blobs, counted.nbytes, tuple(problems), repair and bool(problems))


class _Counted:
    rows = blobs = nbytes = 0


def _structure(store: Store, _: _Counted) -> Iterator[Problem]:
    found = store.rows.structure()
    if found is not None:
        yield "the index", found, lambda: store.rows.mend(found)


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


def _files(store: Store, counted: _Counted) -> Iterator[Problem]:
    """Whether each blob is there, with its size."""
    for digest, _ in store.rows.scan("blobs"):
        row = store.values.blob_row(digest)
        if row is None:
            continue
        counted.blobs += 1
        if not store.blobs.exists(row) and store.values.blob_row(digest) == row:
            problem = "its file is gone, or has another size"
            yield f"blob {digest.hex()[:12]}", problem, _put_away(store, digest, row, problem)


def _some_blobs(store: Store, counted: _Counted) -> Iterator[Problem]:
    """_files(), and the content of SAMPLE_BLOBS of them, others each time."""
    yield from _files(store, counted)
    digests = [digest for digest, _ in store.rows.scan("blobs")]
    yield from _read(store, _Counted(), sample(digests, min(SAMPLE_BLOBS, len(digests))), counted)


def _blobs(store: Store, counted: _Counted) -> Iterator[Problem]:
    yield from _read(store, counted, (digest for digest, _ in store.rows.scan("blobs")), counted)


def _read(store: Store, blobs: _Counted, digests: Iterable[bytes], read: _Counted) -> Iterator[Problem]:
    """Read these blobs whole; count them in `blobs`, their bytes in `read`."""
    for digest in digests:
        row = store.values.blob_row(digest)
        if row is None:
            continue
        blobs.blobs += 1
        read.nbytes += row.nbytes
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
