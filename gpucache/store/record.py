"""The rows of a store: what a call gave, and where the bytes of a value lie."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


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
        parts: Digest of the table of parts that the key was made of.
        seconds: What it took to compute, s.
        created_at: Unix time, s.
        run_id: The run that computed it; empty if none.
        note: Readings around it: peak memory and such.
    """

    key: bytes
    task: str
    result: Manifest
    parts: bytes
    seconds: float
    created_at: float
    run_id: str = ""
    note: dict[str, str | float | int] = {}


class BlobRow(msgspec.Struct, frozen=True, array_like=True):
    """Where a blob lies, and the stamp its file had when its content was last known to be right."""

    name: str
    nbytes: int
    stamp: tuple[int, int, int]


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
    """

    path: str
    records: int
    blobs: int
    blob_bytes: int
    index_bytes: int
    pins: int
    tasks: tuple[TaskStats, ...]


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
