"""Blobs: files of bytes named by their digest and a generation, written whole or not at all.

Bytes first, under a temporary name, then the name; the row that points to it comes last (index.py). A file is never written
again or truncated: mappings of it stay right. The generation keeps a collector that removes one file from removing the
same content that another process has just written anew.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from gpucache.codec import FilePart
from gpucache.digests import file_digest, tree_digest
from gpucache.errors import BlobMissing, RecordCorrupt, StoreFull
from gpucache.events import Quarantined, hooks
from gpucache.store._mapping import Mapping
from gpucache.store.record import BlobRow

READ_ONLY = 0o444
EXECUTABLE = 0o555


class Blobs:
    """The blob files under one directory. Any thread and any process may call any method."""

    def __init__(self, path: Path) -> None:
        self._blobs, self._temporary, self._quarantine = path / "blobs", path / "tmp", path / "quarantine"
        self._path = path

    def write(self, part: Any, digest: bytes) -> BlobRow:
        """Write bytes, or copy a file, under the name of their digest.

        Raises:
            StoreFull: There is no room; nothing is left behind.
        """
        temporary = self._temporary / secrets.token_hex(8)
        needed = part.nbytes if isinstance(part, FilePart) else memoryview(part).nbytes
        try:
            if isinstance(part, FilePart):
                shutil.copyfile(part.path, temporary)
            else:
                _write(temporary, memoryview(part).cast("B"))
            executable = isinstance(part, FilePart) and os.access(part.path, os.X_OK)
            os.chmod(temporary, EXECUTABLE if executable else READ_ONLY)
            name = f"{digest.hex()[:2]}/{digest.hex()}.{secrets.token_hex(4)}"
            final = self._blobs / name
            final.parent.mkdir(exist_ok=True)
            os.rename(temporary, final)
            return BlobRow(name, needed, _stamp(os.stat(final)))
        except OSError as problem:
            temporary.unlink(missing_ok=True)
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(str(self._path), needed, shutil.disk_usage(self._path).free) from problem
            raise

    def open(self, row: BlobRow, digest: bytes, *, writable: bool) -> tuple[Any, BlobRow]:
        """The blob's bytes, mapped, and its row as it should be now (another stamp, if the file was only touched).

        Raises:
            BlobMissing: There is no such file.
            RecordCorrupt: Its content is not what its name says; it was moved to quarantine.
        """
        path = self._blobs / row.name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobMissing(row.name, "its file is gone") from None
        try:
            status = os.fstat(descriptor)
            if status.st_size != row.nbytes:
                self._set_aside(row, f"it has {status.st_size:,} bytes instead of {row.nbytes:,}")
            stamp = _stamp(status)
            if stamp != row.stamp:
                row = self._checked_again(row, digest, stamp)
            return (Mapping(descriptor, row.nbytes, writable) if row.nbytes else b""), row
        finally:
            os.close(descriptor)

    def check(self, row: BlobRow, digest: bytes) -> str | None:
        """What is wrong with a blob after reading all of it; None if nothing is."""
        path = self._blobs / row.name
        if not path.exists():
            return "its file is gone"
        return None if file_digest(path) == digest else "its content is not what its digest says"

    def path_of(self, row: BlobRow) -> Path:
        """Where the blob's file lies."""
        return self._blobs / row.name

    def exists(self, row: BlobRow) -> bool:
        """Whether its file is there, with the size it should have."""
        try:
            return (self._blobs / row.name).stat().st_size == row.nbytes
        except FileNotFoundError:
            return False

    def quarantine(self, row: BlobRow) -> None:
        """Move the blob's file out of the way, if it is still there."""
        target = self._quarantine / row.name.replace("/", "-")
        try:
            os.rename(self._blobs / row.name, target)
        except FileNotFoundError:
            return

    def remove(self, name: str) -> None:
        """Remove a file under blobs/; nothing happens if it is gone. Mappings of it live on."""
        (self._blobs / name).unlink(missing_ok=True)

    def names(self) -> list[tuple[str, os.stat_result]]:
        """Every file under blobs/, by its name there."""
        found = []
        for folder in self._blobs.iterdir() if self._blobs.is_dir() else ():
            found += [(f"{folder.name}/{entry.name}", entry.stat()) for entry in os.scandir(folder)]
        return found

    def temporaries(self) -> list[Path]:
        """Files that writers have not finished, or never will."""
        return list(self._temporary.iterdir())

    def _checked_again(self, row: BlobRow, digest: bytes, stamp: tuple[int, int, int]) -> BlobRow:
        problem = self.check(row, digest)
        if problem is not None:
            self._set_aside(row, problem)
        return BlobRow(row.name, row.nbytes, stamp)

    def _set_aside(self, row: BlobRow, problem: str) -> None:
        self.quarantine(row)
        hooks.emit(Quarantined(f"blob {row.name[3:15]}", problem))
        raise RecordCorrupt(f"blob {row.name[3:15]}", problem)


def digest_of(part: Any) -> bytes:
    """The digest of a part's bytes."""
    return file_digest(part.path) if isinstance(part, FilePart) else tree_digest(part)


def _write(path: Path, data: memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if data.nbytes:
            os.posix_fallocate(descriptor, 0, data.nbytes)  # no room is said now, not by SIGBUS later
        written = 0
        while written < data.nbytes:
            written += os.write(descriptor, data[written:])
    finally:
        os.close(descriptor)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns
