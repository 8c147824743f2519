"""The store: values by their digest, records by their key. An LMDB index of small rows, and blobs as files.

Order of a write: bytes, then their name, then the row that points to them; a process killed at any point leaves at most files
that no row names. Durability is "relaxed": what was written survives any kill of any process; after a power cut the last
commits may be missing, and a blob that did not reach the disk is read again before it is trusted, and is a miss.

Thread safety: any thread may call any method. Process safety: any number of processes on one machine; after fork() the
child opens the index anew by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from gpucache import codec
from gpucache.codec.file import NAME as FILE
from gpucache.codec.structure import STRUCT
from gpucache.digests import ALGORITHM, Digest, remember, remembered, value_digest
from gpucache.errors import BadSetting, BlobMissing, NoSuchRecord, RecordCorrupt, StoreClosed, Untrusted
from gpucache.store import upkeep
from gpucache.store.answers import answers
from gpucache.store.blobs import Blobs
from gpucache.store.by_key import Records, give_up_claims
from gpucache.store.checkout import Checkout
from gpucache.store.contract import BlobStore, Rows, RowWriter, Stray
from gpucache.store.flight import Flight
from gpucache.store.hashing import ALGORITHMS, Content
from gpucache.store.index import Index
from gpucache.store.limit import Limit, check_amount
from gpucache.store.place import algorithm, prepare, why_not_trusted
from gpucache.store.record import CollectReport, Manifest, PartRef, Record, StoreStats, VerifyReport, encode_row
from gpucache.store.tables import Tables, table_prefix
from gpucache.store.values import Values, raw_of

T = TypeVar("T")

INLINE_MAX_BYTES = 16 * 1024

OUTBOX = "outbox"
"""The table of keys whose records are to be sent to others."""

SAFE = ("plain", "array")
"""Codecs to which it makes no difference whether the store is trusted. Nor does it to STRUCT, where it holds no bulk."""


class Store(Tables):
    """Values by content, on this machine's disk: `put` gives a digest, `get` gives the value back, from any process.

        with gpc.Store("results") as store:
            digest = store.put(array)
        with gpc.Store("results") as store:  # another day, another process
            array = store.get(digest)

    Lifetimes: what was stored stays until collect() is asked for room or someone deletes it; what is pinned stays then, too. A
    value that get() handed out lives on its own: it survives close(), collect() and the deletion of the store. Arrays that it
    hands out are mapped and read-only; copy them to change them. Files and directories come as read-only paths in the store, there
    for as long as it keeps them; what is done to them all the same changes no later answer.

    Threads: any thread may call any method of one Store, at the same time. Processes: any number on one machine may have
    the same directory open; what put() has returned from, all of them see. After fork() parent and child may both go on
    with the Store that they have. Machines: a directory on a network file system must be used by one machine at a time.

    Crashes: what put() has returned from survives a kill -9 of any process at any time. After a power cut, "relaxed" (the
    default) may miss the last puts, and what is left is checked before it is believed: a value is right, or it is not there.
    "durable" misses none of its own: bytes, then names, then rows reach the disk before put() returns, also for bytes that
    someone else had written. "volatile" syncs nothing, and survives kills all the same; after a power cut, or any other restart,
    the index is made anew from what can be read of it, for all who use the directory: it may be most of it, or nothing.

    Trust: values that only pickle can store are read back only from a store that this user alone can write (Untrusted).

    Args:
        path: The directory; made, for this user alone, if there is none. None: ~/.cache/gpucache.
        durability: What survives a power cut, see above.
        inline_max_bytes: Parts up to this size lie in the index, larger ones are files.
        content: What files of bytes are named by, and checked against: "xxh3-128", right against accident, or "blake3", against
            intent too and slower (`pip install gpucache[blake3]`). Chosen when the store is made; None: as it was, or xxh3-128.
        clock: Unix time, s.
        max_bytes: Who writes values keeps the files of bytes to so many, in the mean to a thirty-second of it: what is least worth
            keeping goes, as collect() has it, but for what was written or read in the last minute. None: nothing goes by itself.
        outbox: What publish() writes is to be sent to others: it goes onto a list in the store, and this is called then.

    Raises:
        BadSetting: There is no such durability, or no such content, or the limit is none.
        StoreUnusable: The path can't be written or holds something else; nothing was changed.
        StoreFormatUnknown: It is a store of a format that this gpucache does not know; nothing was changed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        durability: Literal["durable", "relaxed", "volatile"] = "relaxed",
        inline_max_bytes: int = INLINE_MAX_BYTES,
        content: Literal["xxh3-128", "blake3"] | None = None,
        clock: Callable[[], float] = upkeep.wall_clock,
        max_bytes: int | None = None,
        outbox: Callable[[], object] | None = None,
    ) -> None:
        check_amount("max_bytes", max_bytes, least=1)
        if content is not None and content not in ALGORITHMS:
            raise BadSetting("content", str(content), " or ".join(ALGORITHMS))
        if durability not in ("durable", "relaxed", "volatile"):
            raise BadSetting("durability", str(durability), "durable, relaxed or volatile")
        place = Path("~/.cache/gpucache" if path is None else path).expanduser().absolute()
        if content is not None:
            algorithm(place, content)  # before anything is made
        named_by = algorithm(place, prepare(place, content))
        self._files = Blobs(place, named_by)
        self._stand_on(
            place,
            Index.open(place / "index", synced=durability != "volatile"),
            self._files,
            inline_max_bytes,
            clock,
            content=named_by,
            durable=durability == "durable",
            max_bytes=max_bytes,
            outbox=outbox,
        )
        self._checkout = Checkout(place / "files", place / "tmp", self._hand_out, self._is_linked, named_by.of_file)

    def _stand_on(
        self,
        path: Path,
        rows: Rows,
        blobs: BlobStore,
        inline_max_bytes: int,
        clock: Callable[[], float],
        *,
        content: Content,
        durable: bool = False,
        max_bytes: int | None = None,
        outbox: Callable[[], object] | None = None,
    ) -> None:
        self._limit = None if max_bytes is None else Limit(self, max_bytes)
        self.path, self.blobs, self.now = path, blobs, clock
        self._rows, self._outbox = rows, outbox
        self._values = Values(rows, blobs, inline_max_bytes, clock, content=content, durable=durable)
        self._records = Records(rows, self._values.update)
        self._row_of = rows.getter("records")
        self._answers = answers(self._row_of, self.read)
        self._is_open = True

    # ---------------------------------------------------------------- values by digest

    def put(self, value: Any) -> Digest:
        """Store a value under its own digest, unless it is there.

        The digest is of the content alone. gpucache.digest() gives the same but for what holds instances of the project's own
        classes, whose code counts there: a call's identity.

        Raises:
            NotIdentifiable, NotStorable, StoreFull: Nothing was stored.
        """
        digest = value_digest(value)
        values = self._opened()
        manifest = values.manifest_of(digest)
        if manifest is None or not values.claim(manifest):
            manifest = values.write(digest, codec.encode(value))
        row = encode_row(manifest)

        def note(rows: RowWriter) -> None:
            rows.put("values", digest, row)
            rows.put("puts", digest, b"")
            give_up_claims(rows, manifest)

        values.update(note)
        self._grew(manifest)
        return Digest(ALGORITHM, digest)

    def get(self, digest: Digest | str) -> Any:
        """The value of this digest; arrays mapped and read-only.

        Raises:
            NoSuchRecord: It is not here, or no longer.
            RecordCorrupt: Its bytes are damaged; they were quarantined.
            Untrusted: It would be unpickled, and others can write to this store.
        """
        manifest = self.manifest_of(raw_of(digest))
        if manifest is None:
            raise NoSuchRecord("value", str(digest), "put() it, or compute it again")
        try:
            return self.read(manifest)
        except BlobMissing as problem:
            raise NoSuchRecord("value", str(digest), "its bytes are gone: put() it again") from problem

    def contains(self, digest: Digest | str) -> bool:
        """Whether the value of this digest is here, its bytes included."""
        manifest = self.manifest_of(raw_of(digest))
        return manifest is not None and self.has(manifest)

    def pin(self, digest: Digest | str) -> None:
        """Keep the value of this digest whatever collect() is asked for.

        Raises:
            NoSuchRecord: It is not here.
        """
        raw = raw_of(digest)
        if not self.contains(Digest(ALGORITHM, raw)):
            raise NoSuchRecord("value", str(digest), "put() it first")
        self._opened().update(lambda rows: rows.put("pins", raw, b""))

    def unpin(self, digest: Digest | str) -> bool:
        """Keep it no longer; whether it was pinned."""
        raw = raw_of(digest)
        return self._opened().update(lambda rows: rows.delete("pins", raw))

    # ---------------------------------------------------------------- the whole

    def stats(self) -> StoreStats:
        """What the store holds. Reads every record's row."""
        return upkeep.stats(self)

    def verify(
        self, *, level: Literal["structure", "sample", "everything"] = "everything", repair: bool = False
    ) -> VerifyReport:
        """Look for damage. Runs beside readers and writers.

        Args:
            level: "structure": the index's pages, every row, and that every blob has its file and its size. "sample": also the
                content of a hundred blobs, others each time. "everything": the content of all.
            repair: Set aside what is damaged; it is computed again, or put again, when it is needed.

        Raises:
            BadSetting: There is no such level.
        """
        from gpucache.store.check import verify

        return verify(self, level=level, repair=repair)

    def collect(self, *, max_bytes: int | None = None, spared_s: float = 0.0, apply: bool = False) -> CollectReport:
        """Remove what nothing names any more, and the blobs least worth keeping until max_bytes of them remain.

        Without apply, says what it would do. Records stay, also those whose bytes go; pinned values stay whole. What can be
        computed again goes before what was put() here. Values small enough for the index take no blobs.

        Args:
            max_bytes: So much may remain; None: all that something names.
            spared_s: What was written or read since so many seconds stays, whatever max_bytes is.
            apply: Do it.

        Raises:
            BadSetting: Less than nothing may remain, or stay; nothing was removed.
        """
        check_amount("max_bytes", max_bytes, least=0)
        check_amount("spared_s", spared_s, least=0)
        return upkeep.collect(self, max_bytes=max_bytes, spared_s=spared_s, apply=apply)

    def close(self) -> None:
        """Close the handle. Values already handed out stay valid. A second close does nothing."""
        if self._is_open:
            self._values.note_now()
            self._is_open = False
            self._rows.close()

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __reduce__(self) -> str:
        raise TypeError("a Store can't be pickled or copied: give its path to who needs it, to open it there")

    # ---------------------------------------------------------------- values by manifest

    def write(self, value: Any, digest: bytes, *, encoded: codec.Encoded | None = None) -> Manifest:
        """Store a value's bytes; its manifest is for the caller to keep in a row, of publish() or of a table.

        Args:
            digest: The value's digest, from digests.value_digest.
            encoded: The value as codec.encode() laid it out, if that is done already.

        Raises:
            NotStorable, StoreFull: Nothing was stored.
        """
        values = self._opened()
        if encoded is None and remembered(value) == digest:
            known = values.manifest_of(digest)
            if known is not None and values.claim(known):
                return known  # it came out of a store, so it need not be laid out and hashed again
        return values.write(digest, codec.encode(value) if encoded is None else encoded)

    def read(self, manifest: Manifest) -> Any:
        """The value of a manifest. Arrays are mapped, read-only, and carry their digest.

        Raises:
            BlobMissing: Its bytes are gone.
            RecordCorrupt: Its bytes are damaged; they were set aside.
            Untrusted: It would be unpickled, and others can write to this store.
        """
        values = self._opened()
        is_safe = manifest.codec in SAFE or (manifest.codec == STRUCT and not manifest.parts)
        why_not = None if is_safe else self._why_not_trusted()
        if manifest.pickled and why_not is not None:
            raise Untrusted(str(self.path), why_not)
        try:
            if manifest.codec == FILE:
                return self._checkout.give(manifest)
            value = codec.decode(
                manifest.codec,
                manifest.meta,
                lambda index, writable: values.open_part(manifest.parts[index], writable=writable),
                part_count=len(manifest.parts),
                allow_pickle=why_not is None,
            )
        except RecordCorrupt:
            values.disown(manifest)
            raise
        if manifest.parts:
            remember(value, manifest.digest)
        return value

    def has(self, manifest: Manifest) -> bool:
        """Whether all bytes of a manifest are here. Looks at the files' sizes, reads none."""
        return self._opened().has(manifest)

    def manifest_of(self, digest: bytes) -> Manifest | None:
        """The manifest of the value with this digest: put here, or the result of a record that is more than its row."""
        return self._opened().manifest_of(digest)

    # ---------------------------------------------------------------- records by key

    def lookup(self, key: bytes) -> Record | None:
        """The record of a call, or None. A damaged row is none."""
        if not self._is_open:
            raise StoreClosed(str(self.path))
        row = self._row_of(key)
        return None if row is None else self._records.read(row)

    def answer(self, key: bytes) -> tuple[Any] | None:
        """The value of a call's record, as (value,); None if it has none. As lookup() and read() in one, for small values faster.

        What can't be changed by whoever gets it, numbers, texts and tuples of them, is decoded once in a process; whether the
        record is still the same is looked up each time.

        Raises:
            What read() does.
        """
        if not self._is_open:
            raise StoreClosed(str(self.path))
        answer: tuple[Any] | None = self._answers.get(key)
        return answer

    def take(
        self,
        encoded: codec.Encoded,
        digest: bytes,
        record: Callable[[Manifest], Record],
        parts: Mapping[str, tuple[bytes, str]],
    ) -> None:
        """Store what was computed elsewhere, bytes and record, in one transaction. It is not sent to others.

        Args:
            encoded, digest: The value as codec.encode() laid it out, checked, and its digest.
            record: Makes the record of the value's manifest.

        Raises:
            StoreFull: Nothing was stored.
        """
        records = self._records
        written: list[Manifest] = []

        def publish(manifest: Manifest) -> Callable[[RowWriter], object]:
            written.append(manifest)
            return records.writing(record(manifest), parts)[1]

        self._opened().write_and(digest, encoded, publish)
        self._grew(written[0])

    def publish(self, record: Record, parts: Mapping[str, tuple[bytes, str]]) -> Record:
        """Write a record and the table of parts that its key was made of; returns it as it was written.

        Raises:
            StoreFull: Nothing was written.
        """
        self._opened()
        if self._outbox is None:
            written = self._records.publish(record, parts)
        else:
            written = self._records.publish(record, parts, also=lambda rows: _note_to_send(rows, record.key))
            self._outbox()
        self._grew(record.result)
        return written

    def to_send(self, key: bytes) -> None:
        """Note that others should get what lies under this key."""
        self._opened().update(lambda rows: _note_to_send(rows, key))

    @property
    def is_shared(self) -> bool:
        """Whether what is published here is to be sent to others."""
        return self._outbox is not None

    def forget(self, key: bytes) -> bool:
        """Drop a record; whether there was one. Its bytes go with the next collect()."""
        self._opened()
        return self._records.forget(key)

    def forget_task(self, task: str) -> int:
        """Drop all records of a task; returns how many."""
        self._opened()
        return self._records.forget_task(task)

    def records(self, task: str | None = None, limit: int | None = None) -> Iterator[Record]:
        """Records, newest first: of one task, or of all."""
        self._opened()
        return self._records.newest_first(task, limit)

    def parts_of(self, record: Record) -> dict[str, tuple[bytes, str]]:
        """The table of parts that a record's key was made of; empty if its row is damaged."""
        self._opened()
        return self._records.parts_of(record)

    def flight(self, key: bytes, *, timeout_s: float | None = None) -> Flight:
        """Hold the key: one holder at a time among all threads and processes; free again when the holder is killed."""
        self._opened()
        return Flight(self.path / "locks", key, timeout_s=timeout_s)

    # ---------------------------------------------------------------- for upkeep

    @property
    def rows(self) -> Rows:
        """The rows."""
        self._opened()
        return self._rows

    def update(self, change: Callable[[RowWriter], T]) -> T:
        """Change rows, as durably as this store writes."""
        return self._opened().update(change)

    @property
    def values(self) -> Values:
        """The values by manifest."""
        return self._opened()

    def blob_bytes(self) -> int:
        """What the files of bytes take that have a row. Reads those rows."""
        return sum(blob.nbytes for blob in upkeep.blob_rows(self.rows))

    def strays(
        self, named: set[str], files: Iterable[Manifest], given_up: Iterable[Manifest], *, older_than: float
    ) -> Iterator[Stray]:
        """What lies on the disk and is none of the named blobs, none of these manifests' files, and old enough.

        Args:
            named: Names of blobs that rows have.
            files, given_up: Manifests of files that stay, and of files whose folders go whatever their age.
            older_than: Unix time, s.
        """
        quarantined_before = older_than - upkeep.QUARANTINE_S
        yield from self._files.strays(named, older_than=older_than, quarantined_before=quarantined_before)
        yield from self._checkout.strays(files, given_up, older_than=older_than)

    # ---------------------------------------------------------------- within

    def _opened(self) -> Values:
        if not self._is_open:
            raise StoreClosed(str(self.path))
        return self._values

    def _grew(self, manifest: Manifest) -> None:
        if self._limit is not None:
            self._limit.grew(manifest)

    def _why_not_trusted(self) -> str | None:
        return why_not_trusted(self.path)

    def _hand_out(self, part: PartRef, target: Path) -> None:
        """Make a file of a part."""
        blob = part.blob
        if blob is None:
            raise RecordCorrupt("file", "its content is no blob")
        self._values.with_blob(blob, lambda row: (None, self._files.hand_out(row, blob, target)))

    def _is_linked(self, part: PartRef, name: Path) -> bool:
        row = None if part.blob is None else self._values.blob_row(part.blob)
        return row is not None and self._files.is_trusted(row, name)


def _note_to_send(rows: RowWriter, key: bytes) -> None:
    """Each time with another stamp, so that who has just sent the one before does not strike this one."""
    rows.put("rows", table_prefix(OUTBOX) + key, os.urandom(8))
