"""The store: values by their digest, records by their key. An LMDB index of small rows, and blobs as files.

Order of a write: bytes, then their name, then the row that points to them; a process killed at any point leaves at most files
that no row names. Durability is "relaxed": what was written survives any kill of any process; after a power cut the last
commits may be missing, and a blob that did not reach the disk is found short and is a miss.

Thread safety: any thread may call any method. Process safety: any number of processes on one machine; after fork() the
child opens the index anew by itself.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from gpucache import codec
from gpucache.codec.file import NAME as FILE
from gpucache.codec.file import FileForm, decode_form
from gpucache.digests import Digest, Dir, File, combine, hash128, remember, value_digest
from gpucache.errors import (
    BlobMissing,
    NoSuchRecord,
    RecordCorrupt,
    StoreClosed,
    StoreFormatUnknown,
    StoreUnusable,
    Untrusted,
)
from gpucache.store.blobs import Blobs, digest_of
from gpucache.store.flight import Flight
from gpucache.store.index import Index, Writer
from gpucache.store.record import BlobRow, CollectReport, Manifest, PartRef, Record, StoreStats, VerifyReport

FORMAT = 1
INLINE_MAX_BYTES = 16 * 1024

_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_manifest = msgspec.msgpack.Decoder(Manifest).decode
_decode_blob = msgspec.msgpack.Decoder(BlobRow).decode
_decode_parts = msgspec.msgpack.Decoder(dict[str, tuple[bytes, str]]).decode


class Store:
    """Values by content, on this machine's disk.

    Args:
        path: The directory; made, for this user alone, if there is none. None: ~/.cache/gpucache.
        inline_max_bytes: Parts up to this size lie in the index, larger ones are files.

    Raises:
        StoreUnusable: The path can't be written or holds something else; nothing was changed.
        StoreFormatUnknown: It is a store of a format that this gpucache does not know; nothing was changed.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, inline_max_bytes: int = INLINE_MAX_BYTES) -> None:
        self.path = Path("~/.cache/gpucache" if path is None else path).expanduser().absolute()
        self._inline_max_bytes = inline_max_bytes
        _prepare(self.path)
        self._index = Index.open(self.path / "index")
        self._blobs = Blobs(self.path)
        self._is_open = True
        self._distrust = _why_not_trusted(self.path)

    # ---------------------------------------------------------------- values by digest

    def put(self, value: Any) -> Digest:
        """Store a value under its own digest, unless it is there.

        Raises:
            NotIdentifiable, NotStorable, StoreFull: Nothing was stored.
        """
        digest = value_digest(value)
        manifest = self.write(value, digest)
        with self._opened().write() as rows:
            rows.put("values", digest, _encode(manifest))
        return Digest("xxh3-128", digest)

    def get(self, digest: Digest | str) -> Any:
        """The value of this digest; arrays mapped and read-only.

        Raises:
            NoSuchRecord: It is not here.
            RecordCorrupt: Its bytes are damaged or gone; what was damaged was quarantined.
        """
        manifest = self.manifest_of(_raw(digest))
        if manifest is None:
            raise NoSuchRecord("value", str(digest), "put() it, or compute it again")
        return self.read(manifest)

    def contains(self, digest: Digest | str) -> bool:
        """Whether the value of this digest is here, its bytes included."""
        manifest = self.manifest_of(_raw(digest))
        return manifest is not None and self.has(manifest)

    def pin(self, digest: Digest | str) -> None:
        """Keep the value of this digest whatever collect() is asked for.

        Raises:
            NoSuchRecord: It is not here.
        """
        raw = _raw(digest)
        if self.manifest_of(raw) is None:
            raise NoSuchRecord("value", str(digest), "put() it first")
        with self._opened().write() as rows:
            rows.put("pins", raw, b"")

    def unpin(self, digest: Digest | str) -> bool:
        """Keep it no longer; whether it was pinned."""
        with self._opened().write() as rows:
            return rows.delete("pins", _raw(digest))

    def stats(self) -> StoreStats:
        """What the store holds. Reads every record's row."""
        from gpucache.store.upkeep import stats

        return stats(self)

    def verify(self, *, repair: bool = False) -> VerifyReport:
        """Read every row and every blob and check them; with repair, set aside what is damaged."""
        from gpucache.store.upkeep import verify

        return verify(self, repair=repair)

    def collect(self, *, max_bytes: int | None = None, apply: bool = False) -> CollectReport:
        """Remove what killed writers left, and the blobs least worth keeping until max_bytes remain.

        Without apply, says what it would do. Records stay, also those whose bytes go; pinned values stay whole.
        """
        from gpucache.store.upkeep import collect

        return collect(self, max_bytes=max_bytes, apply=apply)

    def close(self) -> None:
        """Close the handle. Values already handed out stay valid. A second close does nothing."""
        if self._is_open:
            self._is_open = False
            self._index.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- values by manifest

    def write(self, value: Any, digest: bytes) -> Manifest:
        """Store a value's bytes; its manifest is for the caller to keep in a row.

        Args:
            digest: The value's digest, from digests.value_digest.

        Raises:
            NotStorable, StoreFull: Nothing was stored.
        """
        encoded = codec.encode(value)
        parts = tuple(self._write_part(part) for part in encoded.parts)
        return Manifest(digest, encoded.codec, encoded.meta, parts, encoded.pickled, encoded.nbytes)

    def read(self, manifest: Manifest) -> Any:
        """The value of a manifest. Arrays are mapped, read-only, and carry their digest.

        Raises:
            BlobMissing: Its bytes are gone.
            RecordCorrupt: Its bytes are damaged.
            Untrusted: It would be unpickled, and others can write to this store.
        """
        if manifest.pickled and self._distrust is not None:
            raise Untrusted(str(self.path), self._distrust)
        if manifest.codec == FILE:
            return self._materialised(manifest)
        value = codec.decode(
            manifest.codec,
            manifest.meta,
            lambda index, writable: self._open_part(manifest.parts[index], writable=writable),
            part_count=len(manifest.parts),
            allow_pickle=True,
        )
        if manifest.codec == "array":
            remember(value, manifest.digest)
        return value

    def has(self, manifest: Manifest) -> bool:
        """Whether all bytes of a manifest are here. Looks at the files' sizes, reads none."""
        return all(part.blob is None or self._has_blob(part.blob) for part in manifest.parts)

    def manifest_of(self, digest: bytes) -> Manifest | None:
        """The manifest of the value with this digest: put here, or the result of a record."""
        row = self._opened().get("values", digest)
        return None if row is None else _decode_manifest(row)

    # ---------------------------------------------------------------- records by key

    def lookup(self, key: bytes) -> Record | None:
        """The record of a call, or None. A damaged row is none."""
        row = self._opened().get("records", key)
        return None if row is None else _decode_record(row)

    def publish(self, record: Record, parts: Mapping[str, tuple[bytes, str]]) -> Record:
        """Write a record and the table of parts that its key was made of; returns it as it was written.

        Raises:
            StoreFull: Nothing was written.
        """
        table = _encode(dict(parts))
        name = hash128(table)
        record = msgspec.structs.replace(record, parts=name)
        with self._opened().write() as rows:
            self._unlist(rows, record.key)
            if rows.get("parts", name) is None:
                rows.put("parts", name, table)
            rows.put("records", record.key, _encode(record))
            rows.put("recent", _recent(record), b"")
            rows.put("values", record.result.digest, _encode(record.result))
        return record

    def forget(self, key: bytes) -> bool:
        """Drop a record; whether there was one. Its bytes go with the next collect()."""
        with self._opened().write() as rows:
            self._unlist(rows, key)
            return rows.delete("records", key)

    def forget_task(self, task: str) -> int:
        """Drop all records of a task; returns how many."""
        return sum(self.forget(record.key) for record in list(self.records(task)))

    def records(self, task: str | None = None, limit: int | None = None) -> Iterator[Record]:
        """Records, newest first: of one task, or of all."""
        if task is None:
            every = sorted(self._all_records(), key=lambda record: -record.created_at)
            yield from every[:limit]
            return
        for number, (name, _) in enumerate(self._opened().scan("recent", _task_prefix(task), reverse=True)):
            if limit is not None and number >= limit:
                return
            record = self.lookup(name[-16:])
            if record is not None:
                yield record

    def parts_of(self, record: Record) -> dict[str, tuple[bytes, str]]:
        """The table of parts that a record's key was made of; empty if its row is damaged."""
        row = self._opened().get("parts", record.parts)
        return {} if row is None else _decode_parts(row)

    def flight(self, key: bytes) -> Flight:
        """Hold the key: one holder at a time among all threads and processes; free again when the holder is killed."""
        self._opened()
        return Flight(self.path / "locks", key)

    # ---------------------------------------------------------------- rows of others

    def table_put(self, table: str, name: bytes, row: bytes) -> None:
        """Write a row of another part of gpucache (the ledger's)."""
        self.table_put_many(table, {name: row})

    def table_put_many(self, table: str, new: Mapping[bytes, bytes]) -> None:
        """Write rows, all or none."""
        with self._opened().write() as rows:
            for name, row in new.items():
                rows.put(table, name, row)

    def table_get(self, table: str, name: bytes) -> bytes | None:
        """A row, or None if there is none or it is damaged."""
        return self._opened().get(table, name)

    def table_scan(self, table: str, *, prefix: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows in the order of their names."""
        return self._opened().scan(table, prefix, reverse=reverse)

    def table_delete(self, table: str, name: bytes) -> bool:
        """Delete a row; whether there was one."""
        with self._opened().write() as rows:
            return rows.delete(table, name)

    # ---------------------------------------------------------------- within

    @property
    def index(self) -> Index:
        """The index, for upkeep."""
        return self._opened()

    @property
    def blobs(self) -> Blobs:
        """The blobs, for upkeep."""
        return self._blobs

    def blob_row(self, digest: bytes) -> BlobRow | None:
        """Where a blob lies."""
        row = self._opened().get("blobs", digest)
        return None if row is None else _decode_blob(row)

    def _opened(self) -> Index:
        if not self._is_open:
            raise StoreClosed(str(self.path))
        return self._index

    def _all_records(self) -> Iterator[Record]:
        return (_decode_record(row) for _, row in self._opened().scan("records"))

    def _unlist(self, rows: Writer, key: bytes) -> None:
        before = rows.get("records", key)
        if before is not None:
            rows.delete("recent", _recent(_decode_record(before)))

    def _write_part(self, part: Any) -> PartRef:
        nbytes = codec.part_bytes(part)
        if nbytes <= self._inline_max_bytes and not isinstance(part, codec.FilePart):
            return PartRef(bytes(memoryview(part).cast("B")) if nbytes else b"", None, nbytes)
        digest = digest_of(part)
        if not self._has_blob(digest):
            row = self._blobs.write(part, digest)
            with self._opened().write() as rows:
                rows.put("blobs", digest, _encode(row))
        return PartRef(None, digest, nbytes)

    def _has_blob(self, digest: bytes) -> bool:
        row = self.blob_row(digest)
        return row is not None and self._blobs.exists(row)

    def _open_part(self, part: PartRef, *, writable: bool) -> Any:
        if part.blob is None:
            inline = part.inline or b""
            return bytearray(inline) if writable else inline
        row = self.blob_row(part.blob)
        if row is None:
            raise BlobMissing(f"blob {part.blob.hex()[:12]}", "no row names it")
        try:
            data, seen = self._blobs.open(row, part.blob, writable=writable)
        except RecordCorrupt:
            with self._opened().write() as rows:
                rows.delete("blobs", part.blob)
            raise
        if seen != row:
            with self._opened().write() as rows:
                rows.put("blobs", part.blob, _encode(seen))
        return data

    def _materialised(self, manifest: Manifest) -> File:
        """A File or Dir whose path is the stored content, under its own name, by hard links: nothing is copied."""
        form = decode_form(manifest.meta)
        folder = self.path / "files" / combine(manifest.digest, manifest.meta).hex()
        final = folder / _safe(form.name)
        if not final.exists():
            self._link_all(form, manifest, folder)
        return Dir(final) if form.is_dir else File(final)

    def _link_all(self, form: FileForm, manifest: Manifest, folder: Path) -> None:
        building = self.path / "tmp" / secrets.token_hex(8)
        top = building / _safe(form.name)
        try:
            (top if form.is_dir else building).mkdir(parents=True)
            for entry in form.entries:
                target = top / entry.name if form.is_dir else top
                if form.is_dir and not target.resolve().is_relative_to(top.resolve()):
                    raise RecordCorrupt("directory", f"{entry.name!r} leads out of it")
                target.parent.mkdir(parents=True, exist_ok=True)
                if entry.link is not None:
                    target.symlink_to(entry.link)
                else:
                    self._link(manifest.parts[entry.part], target)
            folder.parent.mkdir(exist_ok=True)
            try:
                building.rename(folder)
            except OSError:
                if not (folder / _safe(form.name)).exists():  # else another thread was first
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def _link(self, part: PartRef, target: Path) -> None:
        if part.blob is None:
            target.write_bytes(part.inline or b"")
            return
        self._open_part(part, writable=False)  # checks it
        row = self.blob_row(part.blob)
        if row is None:
            raise BlobMissing(target.name, "no row names it")
        os.link(self._blobs.path_of(row), target)
        status = os.stat(target)  # a link changes the times; the stamp follows, or the content would be read again
        with self._opened().write() as rows:
            stamp = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            rows.put("blobs", part.blob, _encode(BlobRow(row.name, row.nbytes, stamp)))


def _prepare(path: Path) -> None:
    """Make the store's directories, or see that they are those of a store that we know."""
    remedy = "choose another with GPUCACHE_STORE or gpucache.init(store=...)"
    marker = path / "format.json"
    try:
        if marker.exists():
            _check_format(path, marker)
        elif path.exists() and any(path.iterdir()):
            raise StoreUnusable(str(path), "the directory holds other things than a store", remedy)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("blobs", "tmp", "quarantine", "files"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
        if not marker.exists():
            temporary = path / "tmp" / secrets.token_hex(8)
            temporary.write_bytes(msgspec.json.encode({"gpucache_store": True, "format": FORMAT}))
            temporary.rename(marker)
        if not os.access(path, os.W_OK | os.X_OK):
            raise StoreUnusable(str(path), "it can't be written", remedy)
    except StoreUnusable:
        raise
    except OSError as problem:
        raise StoreUnusable(str(path), problem.strerror or str(problem), remedy) from problem


def _check_format(path: Path, marker: Path) -> None:
    try:
        found = msgspec.json.decode(marker.read_bytes())
    except (msgspec.DecodeError, OSError) as problem:
        raise StoreUnusable(
            str(path), f"its format.json can't be read: {problem}", "restore it, or choose another path"
        ) from problem
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        known = found.get("format") if isinstance(found, dict) else found
        raise StoreFormatUnknown(
            str(path),
            f"it has format {known!r}, this gpucache knows {FORMAT}",
            "use the gpucache that wrote it, or another path",
        )


def _why_not_trusted(path: Path) -> str | None:
    status = path.stat()
    if status.st_uid != os.getuid():
        return f"it belongs to user {status.st_uid}, not to you ({os.getuid()})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def _raw(digest: Digest | str) -> bytes:
    return (Digest.parse(digest) if isinstance(digest, str) else digest).raw


def _task_prefix(task: str) -> bytes:
    return hash128(task.encode())


def _recent(record: Record) -> bytes:
    return _task_prefix(record.task) + struct.pack(">Q", int(record.created_at * 1e6)) + record.key


def _safe(name: str) -> str:
    return name.replace("/", "_").replace("\0", "_") if name not in ("", ".", "..") else "file"
