"""The rows of a store: what a call gave, and where the bytes of a value lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

T = TypeVar("T")

NOT_A_ROW = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises for bytes that are no row of ours (text that is not UTF-8 is a ValueError to msgspec)."""

encode_row = msgspec.msgpack.Encoder().encode

_time = struct.Struct(">d")
_use = struct.Struct(">dI")


class PartRef(msgspec.Struct, frozen=True, array_like=True):
    """A part of a value: its bytes in the row itself, or the digest of the blob that holds them."""

    inline: bytes | None
    blob: bytes | None
    nbytes: int


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """A value without its bulk.

    Attributes:
        digest: The value's identity, 16 bytes.
        codec: Who reads it.
        meta: What the codec needs beside the parts.
        parts: Its bulk, in order.
        pickled: Reading it unpickles.
        nbytes: All its bytes.
    """

    digest: bytes
    codec: str
    meta: bytes
    parts: tuple[PartRef, ...]
    pickled: bool
    nbytes: int


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What a call gave. It outlives the bytes of its result.

    Attributes:
        key: The call's key, 16 bytes.
        task: The task's name.
        result: The manifest of what it gave.
        parts: Digest of the table of those parts of its key that it shares with other calls: code, packages.
        seconds: What it took to compute, s.
        created_at: Unix time, s.
        run_id: The run that computed it; empty if none.
        note: Readings around it: peak memory and such.
        own: The table of the parts that are this call's alone, encoded: arguments, files that it read.
    """

    key: bytes
    task: str
    result: Manifest
    parts: bytes
    seconds: float
    created_at: float
    run_id: str = ""
    note: dict[str, str | float | int] = {}
    own: bytes = b""


class BlobRow(msgspec.Struct, frozen=True, array_like=True):
    """Where a blob lies, and the stamp its file had when its content was last known to be right.

    Attributes:
        name: Its file under blobs/, with a generation that no other file of the same content has.
        nbytes: Its size.
        stamp: inode, mtime and ctime, ns.
        boot: The kernel's boot id at that time. Blobs are not synced: after a power cut a file can have its size, its
            times and no content, so a stamp of another boot counts for nothing.
    """

    name: str
    nbytes: int
    stamp: tuple[int, int, int]
    boot: str


_BLOB_NAME_CHARS = 3 + 1 + 8  # ab/<its digest in hexadecimal digits>.<8 more>

_decode_blob = msgspec.msgpack.Decoder(BlobRow).decode


@dataclass(frozen=True, slots=True)
class TaskStats:
    """What the store holds of one task."""

    task: str
    records: int
    nbytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What the store holds.

    Attributes:
        records: Calls whose answer is known.
        blobs: Files of bytes.
        blob_bytes: Their bytes.
        index_bytes: The index's bytes on disk.
        pins: Values that are kept.
        tasks: By task: records, bytes of their results, seconds they took.
        values: Values that put() gave.
    """

    path: str
    records: int
    blobs: int
    blob_bytes: int
    index_bytes: int
    pins: int
    tasks: tuple[TaskStats, ...]
    values: int = 0


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What verify() found.

    Attributes:
        rows, blobs, nbytes: How much was checked.
        problems: (name, what is wrong) for each damaged row or blob.
        repaired: Whether they were set aside.
    """

    rows: int
    blobs: int
    nbytes: int
    problems: tuple[tuple[str, str], ...]
    repaired: bool


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What collect() did, or would do.

    Attributes:
        applied: False: nothing was changed.
        orphans, orphan_bytes: Files that no row names: left by killed writers.
        evicted, evicted_bytes: Blobs dropped to come down to the limit.
        recompute_seconds: What it would cost to compute again what the evicted blobs held, s.
        kept_bytes: What remains.
    """

    applied: bool
    orphans: int
    orphan_bytes: int
    evicted: int
    evicted_bytes: int
    recompute_seconds: float
    kept_bytes: int


def blobs_of(manifest: Manifest) -> list[bytes]:
    """The digests of a manifest's blobs."""
    return [part.blob for part in manifest.parts if part.blob is not None]


def encode_time(at: float) -> bytes:
    """A row that says when, Unix time, s."""
    return _time.pack(at)


def decode_time(row: bytes) -> float:
    """When a row says; the beginning of time if it says nothing."""
    return float(_time.unpack(row)[0]) if len(row) == _time.size else 0.0


def encode_use(at: float, uses: int) -> bytes:
    """A row that says when something was last used, Unix time, s, and how often."""
    return _use.pack(at, min(uses, 2**32 - 1))


def decode_use(row: bytes | None) -> tuple[float, int]:
    """When, and how often. Rows of an earlier gpucache say only when; those that say nothing: never."""
    if row is None or len(row) not in (_time.size, _use.size):
        return 0.0, 0
    at, uses = _use.unpack(row) if len(row) == _use.size else (*_time.unpack(row), 1)
    return float(at), int(uses)


def decoded(decode: Callable[[bytes], T], row: bytes | None) -> T | None:
    """A row as what it says; None also for one of a gpucache that wrote it otherwise."""
    if row is None:
        return None
    try:
        return decode(row)
    except NOT_A_ROW:
        return None


def decoded_blob(digest: bytes, row: bytes | None) -> BlobRow | None:
    """The row of this blob. One that names another file is none: what is damaged is moved and removed by that name."""
    found = decoded(_decode_blob, row)
    if found is None:
        return None
    name, content = found.name, digest.hex()
    is_its_own = (
        len(name) == len(content) + _BLOB_NAME_CHARS
        and name.startswith(f"{content[:2]}/{content}.")
        and name[-8:].isalnum()
    )
    return found if is_its_own else None
