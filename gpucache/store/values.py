"""Values as blobs and manifests: writing the bytes so that they stay until a row names them, and finding them again.

Knows rows and blobs by their contract alone. Order of a write: bytes, then their name, then the row that points to them, with a
claim that keeps a collector away until whoever writes the manifest's row gives it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from gpucache import codec
from gpucache.digests import Digest
from gpucache.errors import BlobMissing, RecordCorrupt, StoreFull, StoreUnusable
from gpucache.events import Quarantined, hooks
from gpucache.store.contract import BlobStore, RowReader, Rows, RowWriter
from gpucache.store.hashing import Content
from gpucache.store.record import (
    BlobRow,
    Manifest,
    PartRef,
    blobs_of,
    decode_use,
    decoded,
    decoded_blob,
    encode_row,
    encode_time,
    encode_use,
)

T = TypeVar("T")

NOTE_USE_AGAIN_S = 600.0
"""How long a blob's last use stays as it was noted: readers write it down, with their next write, at most so often."""

NOTED_MAX = 65536

_decode_manifest = msgspec.msgpack.Decoder(Manifest).decode


def raw_of(digest: Digest | str) -> bytes:
    """The bytes of a digest, or of its text.

    Raises:
        TypeError, ValueError: It is neither.
    """
    if isinstance(digest, str):
        digest = Digest.parse(digest)
    if not isinstance(digest, Digest):
        raise TypeError(f"values are asked for by a gpucache.Digest or its text, not by a {type(digest).__name__}")
    return digest.raw


class Values:
    """The values of one store. Any thread may call any method.

    Args:
        rows, blobs: What the store stands on.
        inline_max_bytes: Parts up to this size lie in the manifest, larger ones are blobs.
        clock: Unix time, s.
        content: What blobs are named by.
        durable: What was written survives a power cut, too.
    """

    def __init__(
        self,
        rows: Rows,
        blobs: BlobStore,
        inline_max_bytes: int,
        clock: Callable[[], float],
        *,
        content: Content,
        durable: bool = False,
    ) -> None:
        self._content, self._durable = content, durable
        self._rows, self._blobs = rows, blobs
        self._inline_max_bytes, self._clock = inline_max_bytes, clock
        self._used: dict[bytes, float] = {}
        self._noted: dict[bytes, float] = {}

    def update(self, change: Callable[[RowWriter], T]) -> T:
        """Change rows; what was read since the last time is noted along with it."""
        return self._update(change, durable=self._durable)

    def _update(self, change: Callable[[RowWriter], T], *, durable: bool = False) -> T:
        if not self._used:
            return self._rows.update(change, durable=durable)
        used, self._used = self._used, {}

        def both(writer: RowWriter) -> T:
            for blob, at in used.items():
                writer.put("used", blob, encode_use(at, decode_use(writer.get("used", blob))[1] + 1))
            return change(writer)

        return self._rows.update(both, durable=durable)

    def note_now(self) -> None:
        """Note what was read, if that can be."""
        if self._used:
            self._try_update(lambda _: None)

    # ---------------------------------------------------------------- manifests

    def manifest_of(self, digest: bytes) -> Manifest | None:
        """The manifest of the value with this digest."""
        return decoded(_decode_manifest, self._rows.get("values", digest))

    def disown(self, manifest: Manifest) -> None:
        """Forget how a value is laid out that could not be read: the next writer lays it out anew."""

        def forget(rows: RowWriter) -> None:
            if decoded(_decode_manifest, rows.get("values", manifest.digest)) == manifest:
                rows.delete("values", manifest.digest)

        self._try_update(forget)

    def has(self, manifest: Manifest) -> bool:
        """Whether all bytes of a manifest are here. Looks at the files' sizes, reads none."""
        return all(part.blob is None or self._has_blob(part.blob) for part in manifest.parts)

    def claim(self, manifest: Manifest) -> bool:
        """Whether all bytes of a manifest are here, and stay until it is named in a row."""
        blobs = blobs_of(manifest)
        return not blobs or (self.has(manifest) and self._name(blobs, {}))

    # ---------------------------------------------------------------- writing

    def write(self, digest: bytes, encoded: codec.Encoded) -> Manifest:
        """Write a value's bytes.

        Raises:
            StoreFull, StoreUnusable: Nothing was stored.
            NotStorable: A file changed while it was copied.
        """
        manifest, large = self._described(digest, encoded)
        while large and not self._name(large, self._write_blobs(large)):
            pass  # a collector removed one that was here when we looked
        return manifest

    def write_and(
        self, digest: bytes, encoded: codec.Encoded, publish: Callable[[Manifest], Callable[[RowWriter], T]]
    ) -> T:
        """write(), and in the same transaction the rows that name the value: one commit, and nothing to claim.

        Raises:
            As write().
        """
        manifest, large = self._described(digest, encoded)
        change = publish(manifest)
        while True:
            fresh = self._write_blobs(large)
            written = self._name_and(large, fresh, change)
            if written is not None:
                return written[0]

    def _name_and(
        self, digests: Iterable[bytes], fresh: Mapping[bytes, BlobRow], change: Callable[[RowWriter], T]
    ) -> tuple[T] | None:
        """Give fresh blobs their rows and make a change with them; None if one that was here has gone since."""
        replaced: list[BlobRow] = []

        def both(rows: RowWriter) -> tuple[T] | None:
            replaced[:] = self._put_rows(fresh, rows)
            if any(rows.get("blobs", digest) is None for digest in digests):
                return None
            return (change(rows),)

        try:
            if self._durable:
                self._flush(digests, fresh)
            written = self.update(both)
        except BaseException:
            self._remove(fresh.values())
            raise
        self._remove(replaced)
        return written

    def _described(self, digest: bytes, encoded: codec.Encoded) -> tuple[Manifest, dict[bytes, Any]]:
        """A value's manifest, and which of its parts are blobs."""
        refs: list[PartRef] = []
        large: dict[bytes, Any] = {}
        for part in encoded.parts:
            nbytes = codec.part_bytes(part)
            if isinstance(part, codec.FilePart) or nbytes > self._inline_max_bytes:
                content = self._content
                blob = content.of_file(part.path) if isinstance(part, codec.FilePart) else content.of(part)
                large[blob] = part
                refs.append(PartRef(None, blob, nbytes))
            else:
                refs.append(PartRef(bytes(memoryview(part).cast("B")) if nbytes else b"", None, nbytes))
        return Manifest(digest, encoded.codec, encoded.meta, tuple(refs), encoded.pickled, encoded.nbytes), large

    def _write_blobs(self, parts: Mapping[bytes, Any]) -> dict[bytes, BlobRow]:
        """Write those that are not here."""
        fresh: dict[bytes, BlobRow] = {}
        try:
            for digest, part in parts.items():
                if self._has_blob(digest):
                    continue
                if isinstance(part, codec.FilePart):
                    fresh[digest] = self._blobs.copy_in(part.path, digest)
                else:
                    fresh[digest] = self._blobs.write(part, digest)
        except BaseException:
            self._remove(fresh.values())
            raise
        return fresh

    def _name(self, digests: Iterable[bytes], fresh: Mapping[bytes, BlobRow]) -> bool:
        """Give fresh blobs their rows, and claim all; whether all have a row now."""
        claimed_at = encode_time(self._clock())

        def name(rows: RowWriter) -> tuple[bool, list[BlobRow]]:
            replaced = self._put_rows(fresh, rows)
            for digest in digests:
                if rows.get("blobs", digest) is None:
                    return False, replaced
                rows.put("claims", digest, claimed_at)
            return True, replaced

        try:
            if self._durable:
                self._flush(digests, fresh)
            are_here, replaced = self._update(name)  # the rows of the manifests come later, and are flushed then
        except BaseException:
            self._remove(fresh.values())
            raise
        self._remove(replaced)  # another writer was as fast, or its file is damaged; what is open stays readable
        return are_here

    def _put_rows(self, fresh: Mapping[bytes, BlobRow], rows: RowWriter) -> list[BlobRow]:
        """Write the rows of fresh blobs; those that were there instead, whose files are needed no more."""
        others = ((self.blob_row(digest, rows), row) for digest, row in fresh.items())
        replaced = [before for before, row in others if before not in (None, row)]  # our own, if this runs again
        for digest, row in fresh.items():
            rows.put("blobs", digest, encode_row(row))
        return replaced

    def _flush(self, digests: Iterable[bytes], fresh: Mapping[bytes, BlobRow]) -> None:
        """Bring blobs to the disk before their rows, also those that someone less careful wrote."""
        for digest in digests:
            row = fresh.get(digest) or self.blob_row(digest)
            with suppress(BlobMissing):  # then it is not named, either
                if row is not None:
                    self._blobs.flush(row)

    def _remove(self, rows: Iterable[BlobRow]) -> None:
        for row in rows:
            self._blobs.remove(row)

    # ---------------------------------------------------------------- reading

    def open_part(self, part: PartRef, *, writable: bool) -> Any:
        """A part's bytes: read-only, or private to the caller.

        Raises:
            BlobMissing: They are gone.
            RecordCorrupt: They are damaged; they were set aside.
        """
        if part.blob is None:
            inline = part.inline or b""
            return bytearray(inline) if writable else inline
        blob = part.blob
        return self.with_blob(blob, lambda row: self._blobs.open(row, blob, writable=writable))

    def with_blob(self, digest: bytes, use: Callable[[BlobRow], tuple[T, BlobRow]]) -> T:
        """Do something with a blob that gives a result and the blob's row as it is from then on.

        Raises:
            BlobMissing: It is gone; so is its row.
            RecordCorrupt: `use` said so; its row is gone.
        """
        row = self.blob_row(digest)
        while row is not None:
            try:
                found, seen = use(row)
            except RecordCorrupt as problem:
                before, row = row, self.blob_row(digest)
                if isinstance(problem, BlobMissing):
                    if row != before:
                        continue  # removed, or written anew, since we looked
                    hooks.emit(Quarantined(problem.name, problem.problem))
                self.drop_blob(digest, before)
                raise
            if seen != row:
                self._restamp(digest, row, seen)
            self._note_use(digest)
            return found
        raise BlobMissing(f"blob {digest.hex()[:12]}", "it was evicted, or never here")

    def blob_row(self, digest: bytes, rows: RowReader | None = None) -> BlobRow | None:
        """Where a blob lies."""
        return decoded_blob(digest, (rows or self._rows).get("blobs", digest))

    def drop_blob(self, digest: bytes, row: BlobRow) -> None:
        """Delete a blob's row, unless it is another by now."""

        def drop(rows: RowWriter) -> None:
            if self.blob_row(digest, rows) == row:
                rows.delete("blobs", digest)

        self._try_update(drop)

    def _restamp(self, digest: bytes, row: BlobRow, seen: BlobRow) -> None:
        def restamp(rows: RowWriter) -> None:
            if self.blob_row(digest, rows) == row:
                rows.put("blobs", digest, encode_row(seen))

        self._try_update(restamp)

    def _try_update(self, change: Callable[[RowWriter], None]) -> None:
        """Change rows if there is room: what this is used for is found out, and tried, again."""
        with suppress(StoreFull, StoreUnusable):
            self.update(change)

    def _has_blob(self, digest: bytes) -> bool:
        row = self.blob_row(digest)
        return row is not None and self._blobs.exists(row)

    def _note_use(self, blob: bytes) -> None:
        now = self._clock()
        if now - self._noted.get(blob, 0.0) > NOTE_USE_AGAIN_S:
            if len(self._noted) >= NOTED_MAX:
                self._noted.clear()
            self._noted[blob] = self._used[blob] = now
