"""Looking after a store: counting, checking, making room. Runs beside readers and writers."""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from gpucache.store.eviction import Candidate, victims
from gpucache.store.record import BlobRow, CollectReport, Manifest, Record, StoreStats, TaskStats, VerifyReport

if TYPE_CHECKING:
    from gpucache.store.on_disk import Store

GRACE_S = 3600.0
"""A file that no row names is left alone for so long: its writer may be about to write the row."""

_record = msgspec.msgpack.Decoder(Record).decode
_manifest = msgspec.msgpack.Decoder(Manifest).decode
_blob = msgspec.msgpack.Decoder(BlobRow).decode


def stats(store: Store) -> StoreStats:
    """Count what is there."""
    counted: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for record in store.records():
        row = counted[record.task]
        row[0] += 1
        row[1] += record.result.nbytes
        row[2] += record.seconds
    tasks = tuple(TaskStats(task, int(n), int(size), seconds) for task, (n, size, seconds) in sorted(counted.items()))
    blobs = [_blob(row) for _, row in store.index.scan("blobs")]
    return StoreStats(
        path=str(store.path),
        records=sum(task.records for task in tasks),
        blobs=len(blobs),
        blob_bytes=sum(blob.nbytes for blob in blobs),
        index_bytes=store.index.nbytes,
        pins=store.index.count("pins"),
        tasks=tasks,
    )


def verify(store: Store, *, repair: bool) -> VerifyReport:
    """Check every row and read every blob."""
    problems: list[tuple[str, str]] = []
    rows = blobs = nbytes = 0
    for database in ("records", "parts", "values", "runs", "calls", "pins"):
        for key, body in store.index.raw(database):
            rows += 1
            if body is None:
                problems.append((f"{database} {key.hex()[:12]}", "its check does not match"))
                if repair:
                    store.table_delete(database, key)
    for digest, body in store.index.raw("blobs"):
        rows += 1
        blobs += 1
        row = None if body is None else _blob(body)
        problem = "its row's check does not match" if row is None else store.blobs.check(row, digest)
        nbytes += 0 if row is None else row.nbytes
        if problem is not None:
            problems.append((f"blob {digest.hex()[:12]}", problem))
            if repair:
                store.table_delete("blobs", digest)
                if row is not None:
                    store.blobs.quarantine(row)
    return VerifyReport(rows, blobs, nbytes, tuple(problems), repair and bool(problems))


def collect(store: Store, *, max_bytes: int | None, apply: bool) -> CollectReport:
    """Remove orphans; evict blobs until max_bytes remain."""
    orphans = list(_orphans(store))
    candidates = list(_candidates(store))
    total = sum(candidate.nbytes for candidate in candidates)
    chosen = [] if max_bytes is None else victims(candidates, total - max_bytes, now=time.time())
    if apply:
        for path, _ in orphans:
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else _unlink(path)
        for victim in chosen:
            store.table_delete("blobs", victim.digest)
            store.blobs.remove(victim.name)
    return CollectReport(
        applied=apply,
        orphans=len(orphans),
        orphan_bytes=sum(size for _, size in orphans),
        evicted=len(chosen),
        evicted_bytes=sum(victim.nbytes for victim in chosen),
        recompute_seconds=sum(victim.recompute_seconds for victim in chosen),
        kept_bytes=total - sum(victim.nbytes for victim in chosen),
    )


def _orphans(store: Store) -> Iterator[tuple[str, int]]:
    oldest = time.time() - GRACE_S
    named = {_blob(row).name for _, row in store.index.scan("blobs")}
    for name, status in store.blobs.names():
        if name not in named and status.st_ctime < oldest:
            yield str(store.path / "blobs" / name), status.st_size
    for path in store.blobs.temporaries():
        status = path.stat()
        if status.st_ctime < oldest:
            yield str(path), status.st_size
    for folder in (store.path / "files").iterdir():
        # Hard links to blobs: once the blob is evicted they are the last name of its bytes.
        alone = [entry for entry in folder.rglob("*") if entry.is_file() and entry.stat().st_nlink == 1]
        if alone and folder.stat().st_ctime < oldest:
            yield str(folder), sum(entry.stat().st_size for entry in alone)


def _candidates(store: Store) -> Iterator[Candidate]:
    """Every blob, with what it would cost to have it again; those of pinned values are left out."""
    cost: dict[bytes, float] = {}
    pinned: set[bytes] = set()
    for record in store.records():
        for part in record.result.parts:
            if part.blob is not None:
                cost[part.blob] = max(cost.get(part.blob, 0.0), record.seconds)
    for digest, _ in store.index.scan("pins"):
        manifest = store.manifest_of(digest)
        pinned.update(part.blob for part in (manifest.parts if manifest else ()) if part.blob is not None)
    for digest, body in store.index.scan("blobs"):
        row = _blob(body)
        if digest not in pinned and store.blobs.exists(row):
            status = os.stat(store.blobs.path_of(row))
            used_at = max(status.st_atime, status.st_mtime)
            # Without a record nobody can compute it again: put() by hand, so dearest of all.
            yield Candidate(digest, row.name, row.nbytes, cost.get(digest, float("inf")), used_at)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
