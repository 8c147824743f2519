"""Looking after a store: counting, and making room. Runs beside readers and writers.

What to remove is decided and done in one write transaction, so that no record is published meanwhile that names what goes. What
a writer has found here and is about to name carries a claim. Rows of other parts of gpucache (the ledger's) are not understood
here: whatever in them looks like the digest of a blob keeps that blob, as a conservative garbage collector would have it.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from gpucache.codec.file import NAME as FILE
from gpucache.errors import StoreFull, StoreUnusable
from gpucache.store.eviction import Candidate, victims
from gpucache.store.record import (
    BlobRow,
    CollectReport,
    Manifest,
    Record,
    StoreStats,
    TaskStats,
    blobs_of,
    decode_time,
    decode_use,
    decoded,
    decoded_blob,
)

if TYPE_CHECKING:
    from gpucache.store.contract import RowReader, RowWriter, Stray
    from gpucache.store.on_disk import Store

GRACE_S = 3600.0
"""A blob that no row names, and a claim on one, are respected for so long: their writer may be about to write the row."""

QUARANTINE_S = 7 * 86400.0
"""How long what was set aside is kept for whoever wants to look at it."""

_record = msgspec.msgpack.Decoder(Record).decode
_manifest = msgspec.msgpack.Decoder(Manifest).decode
_DIGEST_IN_MSGPACK = re.compile(rb"\xc4(?:\x10(?=(.{16}))|\x20(?=(.{32})))", re.DOTALL)
"""bin 8 of 16 or of 32 bytes; overlapping ones count too."""


def wall_clock() -> float:
    """Unix time, s."""
    return time.time()


def stats(store: Store) -> StoreStats:
    """Count what is there."""
    counted: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for record in store.records():
        row = counted[record.task]
        row[0] += 1
        row[1] += record.result.nbytes
        row[2] += record.seconds
    tasks = tuple(TaskStats(task, int(n), int(size), seconds) for task, (n, size, seconds) in sorted(counted.items()))
    blobs = list(blob_rows(store.rows))
    return StoreStats(
        path=str(store.path),
        records=sum(task.records for task in tasks),
        blobs=len(blobs),
        blob_bytes=sum(blob.nbytes for blob in blobs),
        index_bytes=store.rows.nbytes,
        pins=sum(1 for _ in store.rows.scan("pins")),
        tasks=tasks,
        values=sum(1 for _ in store.rows.scan("puts")),
    )


def blob_rows(rows: RowReader) -> Iterator[BlobRow]:
    """Where each blob lies."""
    return (row for _, row in _blobs(rows))


def collect(store: Store, *, max_bytes: int | None, spared_s: float, apply: bool) -> CollectReport:
    """Remove what nothing names; evict blobs not used in the last spared_s until max_bytes remain."""
    if not apply:
        plan = _plan(store, store.rows, max_bytes, spared_s)
        return _report(plan, applied=False)

    def decide_and_drop(rows: RowWriter) -> _Plan:
        plan = _plan(store, rows, max_bytes, spared_s)
        for database, key in plan.dead_rows:
            rows.delete(database, key)
        for candidate in (*plan.unnamed, *plan.evicted):
            rows.delete("blobs", candidate.digest)
        return plan

    try:
        plan = store.rows.update(decide_and_drop)
    except StoreFull:
        _make_room_for_rows(store, max_bytes, spared_s)
        plan = store.rows.update(decide_and_drop)
    _remove_files(store, plan)
    return _report(plan, applied=True)


def _remove_files(store: Store, plan: _Plan) -> None:
    """Remove what no row names any more; what can't be removed now is a stray, and goes another time."""
    last: OSError | None = None
    removals: list[Callable[[], object]] = [stray.remove for stray in plan.strays]
    removals += [partial(store.blobs.remove, candidate.row) for candidate in (*plan.unnamed, *plan.evicted)]
    for remove in removals:
        try:
            remove()
        except OSError as problem:
            last = problem
    if last is not None:
        why = f"a file can't be removed: {last.strerror or last}"
        raise StoreUnusable(str(store.path), why, "look at its disk, and collect again") from last


def _make_room_for_rows(store: Store, max_bytes: int | None, spared_s: float) -> None:
    """Remove files before their rows: deleting rows takes pages, and a full disk has none.

    What was planned outside the transaction may just have been claimed. Its claim then names a file that is gone: a miss.
    """
    plan = _plan(store, store.rows, max_bytes, spared_s)
    _remove_files(store, plan)


@dataclass(slots=True)
class _Marks:
    """What the rows name.

    Attributes:
        seconds: By blob, what the dearest record that needs it took; infinite if no record can give it again.
        used_at: By blob, when it was last needed as far as rows say.
        uses: By blob, how often readers noted that they read it.
        kept: Blobs that stay: pinned, or claimed a short while ago.
        values, parts: Rows of these databases that are needed.
        files: Manifests of files and directories.
    """

    seconds: dict[bytes, float] = field(default_factory=dict)
    used_at: dict[bytes, float] = field(default_factory=dict)
    uses: dict[bytes, int] = field(default_factory=dict)
    kept: set[bytes] = field(default_factory=set)
    values: set[bytes] = field(default_factory=set)
    parts: set[bytes] = field(default_factory=set)
    files: list[Manifest] = field(default_factory=list)

    def name(self, manifest: Manifest, seconds: float, at: float = 0.0) -> None:
        """A row needs this manifest's blobs."""
        self.values.add(manifest.digest)
        if manifest.codec == FILE:
            self.files.append(manifest)
        for blob in blobs_of(manifest):
            self.seconds[blob] = max(self.seconds.get(blob, 0.0), seconds)
            self.used_at[blob] = max(self.used_at.get(blob, 0.0), at)


@dataclass(slots=True)
class _Plan:
    unnamed: list[Candidate]
    evicted: list[Candidate]
    dead_rows: list[tuple[str, bytes]]
    strays: list[Stray]
    kept_bytes: int


def _plan(store: Store, rows: RowReader, max_bytes: int | None, spared_s: float) -> _Plan:
    now = store.now()
    known = dict(_blobs(rows))
    marks = _marks(rows, known, now)
    unnamed, candidates, kept_bytes = [], [], 0
    for digest, row in known.items():
        used_at = max(store.blobs.used_at(row), marks.used_at.get(digest, 0.0))
        seconds, uses = marks.seconds.get(digest, 0.0), 1 + marks.uses.get(digest, 0)
        candidate = Candidate(digest, row, row.nbytes, seconds, used_at, uses)
        if digest in marks.kept or (spared_s and now - used_at < spared_s):
            kept_bytes += row.nbytes
        elif digest in marks.seconds:
            candidates.append(candidate)
        elif now - used_at > GRACE_S:
            unnamed.append(candidate)
        else:
            kept_bytes += row.nbytes
    total = kept_bytes + sum(candidate.nbytes for candidate in candidates)
    evicted = [] if max_bytes is None else victims(candidates, total - max_bytes, now=now)
    gone = {candidate.digest for candidate in (*unnamed, *evicted)}
    files = [manifest for manifest in marks.files if gone.isdisjoint(blobs_of(manifest))]
    given_up = [manifest for manifest in marks.files if not gone.isdisjoint(blobs_of(manifest))]
    return _Plan(
        unnamed,
        evicted,
        list(_dead_rows(rows, marks, known.keys() - gone, now)),
        _strays(store, {row.name for row in known.values()}, files, given_up, now),
        total - sum(candidate.nbytes for candidate in evicted),
    )


def _strays(store: Store, named: set[str], files: list[Manifest], given_up: list[Manifest], now: float) -> list[Stray]:
    try:
        return list(store.strays(named, files, given_up, older_than=now - GRACE_S))
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise StoreUnusable(str(store.path), why, "is its directory still there, and yours?") from problem


def _marks(rows: RowReader, known: dict[bytes, BlobRow], now: float) -> _Marks:
    marks = _Marks()
    pinned = {digest for digest, _ in rows.scan("pins")}
    for _, body in rows.scan("records"):
        record = decoded(_record, body)
        if record is None:
            continue
        marks.name(record.result, record.seconds, record.created_at)
        marks.parts.add(record.parts)
        if record.result.digest in pinned:
            marks.kept.update(blobs_of(record.result))
    for digest in (*(name for name, _ in rows.scan("puts")), *pinned):
        manifest = decoded(_manifest, rows.get("values", digest))
        if manifest is not None:
            marks.name(manifest, float("inf"))
            marks.kept.update(blobs_of(manifest) if digest in pinned else ())
    for _, body in rows.scan("rows"):
        for found in _DIGEST_IN_MSGPACK.finditer(body):
            if (digest := found[1] or found[2]) in known:
                marks.seconds[digest] = float("inf")
    for blob, body in rows.scan("used"):
        used_at, marks.uses[blob] = decode_use(body)
        marks.used_at[blob] = max(marks.used_at.get(blob, 0.0), used_at)
    marks.kept.update(blob for blob, at in rows.scan("claims") if now - decode_time(at) <= GRACE_S)
    return marks


def _dead_rows(rows: RowReader, marks: _Marks, blobs: Iterable[bytes], now: float) -> Iterator[tuple[str, bytes]]:
    """Rows that nothing needs any more, as (database, key)."""
    alive = set(blobs)
    yield from (("values", digest) for digest, _ in rows.scan("values") if digest not in marks.values)
    yield from (("parts", name) for name, _ in rows.scan("parts") if name not in marks.parts)
    yield from (("used", blob) for blob, _ in rows.scan("used") if blob not in alive)
    yield from (("claims", blob) for blob, at in rows.scan("claims") if now - decode_time(at) > GRACE_S)


def _report(plan: _Plan, *, applied: bool) -> CollectReport:
    seconds = (candidate.recompute_seconds for candidate in plan.evicted)
    return CollectReport(
        applied=applied,
        orphans=len(plan.strays) + len(plan.unnamed),
        orphan_bytes=sum(stray.nbytes for stray in plan.strays) + sum(blob.nbytes for blob in plan.unnamed),
        evicted=len(plan.evicted),
        evicted_bytes=sum(candidate.nbytes for candidate in plan.evicted),
        recompute_seconds=sum(cost for cost in seconds if cost != float("inf")),
        kept_bytes=plan.kept_bytes,
    )


def _blobs(rows: RowReader) -> Iterator[tuple[bytes, BlobRow]]:
    for digest, body in rows.scan("blobs"):
        row = decoded_blob(digest, body)
        if row is not None:
            yield digest, row
