"""Blobs as files named by their digest and a generation, written whole or not at all.

Bytes first, under a temporary name, then the name; the row that points to it comes last (on_disk.py). A file is never written
again or truncated: mappings of it stay right. The generation keeps a collector that removes one file from removing the
same content that another process has just written anew.

What is opened is trusted if its stamp is the one it had when it was last known to be right; else all of it is read again.
A content that changes without its times is found by verify() alone.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from gpucache.errors import BlobMissing, NotStorable, RecordCorrupt, StoreFull, StoreUnusable
from gpucache.events import Quarantined, hooks
from gpucache.store._mapping import Mapping
from gpucache.store.contract import Stray
from gpucache.store.hashing import Content
from gpucache.store.record import BlobRow
from gpucache.store.reflink import share

READ_ONLY = 0o444
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GONE = (errno.ENOENT, errno.ENOTDIR)
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENXIO, errno.ENODEV)


class Blobs:
    """The blob files under one directory. Any thread and any process may call any method."""

    def __init__(self, path: Path, content: Content) -> None:
        self._content = content
        # Texts: joining a Path costs as much as the system call that it is for.
        self._blobs, self._temporary, self._quarantine = (str(path / name) for name in ("blobs", "tmp", "quarantine"))
        self._path = path
        self._mapped: WeakValueDictionary[tuple[str, tuple[int, int, int]], Mapping] = WeakValueDictionary()
        self._shares: bool | None = None  # whether the file system shares extents; None: not tried yet

    # ---------------------------------------------------------------- writing

    def write(self, data: Any, digest: bytes) -> BlobRow:
        """Write a buffer under the name of its digest.

        Raises:
            StoreFull: There is no room; nothing is left behind.
            StoreUnusable: Its directories are gone, or not ours.
        """
        view = memoryview(data).cast("B")

        def fill(descriptor: int) -> None:
            if view.nbytes:
                os.posix_fallocate(descriptor, 0, view.nbytes)  # no room is said now, not half way
            _write_all(descriptor, view)

        return self._make(fill, digest, view.nbytes)

    def copy_in(self, source: Path, digest: bytes) -> BlobRow:
        """Copy a file under the name of its digest; what was copied is what is checked against it.

        By reflink where the file system can (_cloned). Else it is hashed as it is copied, from the same buffer; what
        copy_file_range copied would have to be read again to say what arrived.

        Raises:
            NotStorable: The file changed since its digest was taken, or can't be read; nothing is left behind.
            StoreFull, StoreUnusable: As write().
        """
        changed = NotStorable("file", f"{source} changed while it was stored", "wait until it is written")
        try:
            file = source.open("rb", buffering=0)
        except OSError as problem:
            raise NotStorable("file", f"{source}: {problem.strerror}", "keep it until it is stored") from problem

        def fill(descriptor: int) -> None:
            if (self._cloned(file.fileno(), descriptor) or self._copy(file.fileno(), descriptor)) != digest:
                raise changed

        with file:
            return self._make(fill, digest, os.fstat(file.fileno()).st_size)

    def _cloned(self, source: int, target: int) -> bytes | None:
        """Give an empty file the source's content by reflink; the digest of what it has. None: that can't be done here.

        The source is read rather than the clone, whose pages are in no cache yet (1 GiB: 60 against 370 ms,
        benchmarks/results/codecs.json), if no change since the clone could have kept its times: the clock is past them, by the
        target's own, and sharing extents ends each mapping's right to write without a new time. To be taken for right, a wrong
        clone would need a source that changed after its digest was taken, and back again, without a time telling.
        """
        now_ns = os.fstat(target).st_ctime_ns
        before = os.fstat(source)
        if not share(source, target):
            return None
        found = self._content.of_open_file(source)
        is_as_cloned = _stamp(os.fstat(source)) == _stamp(before) and before.st_ctime_ns < now_ns
        return found if is_as_cloned else self._content.of_open_file(target)

    def _make(self, fill: Callable[[int], None], digest: bytes, nbytes: int) -> BlobRow:
        temporary = f"{self._temporary}/{secrets.token_hex(8)}"
        name = f"{digest.hex()[:2]}/{digest.hex()}.{secrets.token_hex(4)}"
        final = self._at(name)
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READ_ONLY)
            try:
                fill(descriptor)
            finally:
                os.close(descriptor)
            _rename_into(temporary, final)
            status = os.stat(final)
        except OSError as problem:
            with suppress(OSError):  # a disk that fails keeps it until it is swept
                os.unlink(temporary)
            raise self._told(problem, nbytes) from problem
        except BaseException:
            with suppress(OSError):  # a disk that fails keeps it until it is swept
                os.unlink(temporary)
            raise
        return BlobRow(name, status.st_size, _stamp(status), boot_id())

    def flush(self, row: BlobRow) -> None:
        """Bring a blob's bytes and then its name to the disk.

        Raises:
            BlobMissing: There is no such file.
            StoreUnusable: The disk failed.
        """
        descriptor = self._descriptor(row)
        try:
            os.fdatasync(descriptor)
            for folder in (os.path.dirname(self._at(row.name)), self._blobs):
                sync_folder(folder)
        except OSError as problem:
            raise self._told(problem, row.nbytes) from problem
        finally:
            with suppress(OSError):  # fdatasync has said what there was to say
                os.close(descriptor)

    def _told(self, problem: OSError, nbytes: int) -> OSError:
        """What a failed write means to our caller."""
        if problem.errno in NO_ROOM:
            free = shutil.disk_usage(self._path).free if self._path.exists() else 0
            return StoreFull(str(self._path), nbytes, free)
        why = problem.strerror or str(problem)
        return StoreUnusable(str(self._path), why, "is its directory still there, and yours?")

    # ---------------------------------------------------------------- reading

    def open(self, row: BlobRow, digest: bytes, *, writable: bool) -> tuple[Any, BlobRow]:
        """The blob's bytes, mapped, and its row as it should be now (another stamp, if the file was only touched).

        Who has them mapped for reading in this process shares the mapping with all others, for as long as one of them has it.

        Raises:
            BlobMissing: There is no such file.
            RecordCorrupt: Its content is not what its name says; it was moved to quarantine.
        """
        shared = None if writable else self._mapped.get((row.name, row.stamp))
        if shared is not None and self.is_trusted(row, self._at(row.name)):
            return shared, row
        descriptor = self._descriptor(row)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != row.nbytes:
                raise self._corrupt(row, f"it has {status.st_size:,} bytes instead of {row.nbytes:,}")
            stamp = _stamp(status)
            if stamp != row.stamp or row.boot != boot_id():
                if self._digest(descriptor) != digest:
                    raise self._corrupt(row, "its content is not what its digest says")
                row = BlobRow(row.name, row.nbytes, stamp, boot_id())
            mapped = Mapping(descriptor, row.nbytes, writable) if row.nbytes else b""
        except OSError as problem:
            if problem.errno not in UNREADABLE:
                raise  # no address space left, say
            raise self._corrupt(row, f"it can't be mapped: {problem.strerror}") from problem
        finally:
            with suppress(OSError):  # closed all the same, and only read
                os.close(descriptor)
        if not writable and isinstance(mapped, Mapping):
            self._mapped[row.name, row.stamp] = mapped
        return mapped, row

    def _descriptor(self, row: BlobRow) -> int:
        try:
            # Neither a link nor a pipe that someone put there is followed or waited for.
            return os.open(self._at(row.name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as problem:
            if problem.errno in GONE:
                raise BlobMissing(_short(row), "its file is gone") from None
            if problem.errno in UNREADABLE:
                raise self._corrupt(row, f"it can't be opened: {problem.strerror}") from problem
            raise  # too many open files, say: nothing is wrong with the blob

    def check(self, row: BlobRow, digest: bytes) -> str | None:
        """What is wrong with a blob after reading all of it; None if nothing is."""
        try:
            descriptor = os.open(self._at(row.name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as problem:
            return "its file is gone" if problem.errno in GONE else f"it can't be opened: {problem.strerror}"
        try:
            found = self._digest(descriptor)
        finally:
            os.close(descriptor)
        return None if found == digest else "its content is not what its digest says"

    def exists(self, row: BlobRow) -> bool:
        """Whether its file is there, with the size it should have."""
        try:
            return os.stat(self._at(row.name)).st_size == row.nbytes
        except OSError:
            return False

    def used_at(self, row: BlobRow) -> float:
        """When the file was last written or, as far as the file system keeps that, read: Unix time, s."""
        try:
            status = os.stat(self._at(row.name))
        except OSError:
            return 0.0
        return max(status.st_atime, status.st_mtime)

    def hand_out(self, row: BlobRow, digest: bytes, target: Path) -> BlobRow:
        """Make a read-only file of the blob's content, under which nothing can be written into the blob; its row from now on.

        1. By reflink: the file has an inode of its own. Whatever is done to it, the blob's bytes are as they were.
        2. By a hard link, which shares the blob's inode, only where the kernel keeps this process from writing to a read-only
           file. Who gives himself the right first (chmod) changes the blob: it is then damaged by its stamp, and a miss. root
           is asked for no right, and containers run as root: no links for him.
        3. By a copy, hashed as it is made.

        Raises:
            BlobMissing, RecordCorrupt: As open().
            OSError: The file can't be made, for want of room say; part of it may be left.
        """
        _, row = self.open(row, digest, writable=False)
        source = self._descriptor(row)
        try:
            if self._shares is not False:
                target_file = _new(target)
                try:
                    self._shares = share(source, target_file)
                finally:
                    os.close(target_file)
                if self._shares:
                    return row
                target.unlink()
            linked = self._linked(row, target)
            if linked is None:
                self._copied(row, digest, source, target)
            return linked or row
        finally:
            with suppress(OSError):  # closed all the same, and only read
                os.close(source)

    def _linked(self, row: BlobRow, target: Path) -> BlobRow | None:
        """Give the blob's file a second name, and its row the stamp that this leaves it with; None if that is not to be."""
        place = self._at(row.name)
        if os.access(place, os.W_OK, effective_ids=True):
            return None
        try:
            os.link(place, target, follow_symlinks=False)
        except OSError:
            return None  # too many names, say: copying fails as well if it is about the target
        inode, changed_ns, ctime_ns = _stamp(os.stat(target))
        if (inode, changed_ns) != row.stamp[:2]:
            target.unlink()
            return None  # written to just now, and the copy tells
        return BlobRow(row.name, row.nbytes, (inode, changed_ns, ctime_ns), boot_id())  # a link changes the ctime

    def _copied(self, row: BlobRow, digest: bytes, source: int, target: Path) -> None:
        target_file = _new(target)
        try:
            if self._copy(source, target_file) != digest:
                raise self._corrupt(row, "its content is not what its digest says")
        finally:
            os.close(target_file)

    def _copy(self, source: int, target: int) -> bytes:
        """Copy from here to the end; the digest of what was copied."""
        return self._content.of_open_file(source, each=lambda piece: _write_all(target, piece))

    def is_trusted(self, row: BlobRow, name: Path | str) -> bool:
        """Whether this name is of the blob's own file, unchanged since its content was known to be right."""
        try:
            return _stamp(os.lstat(name)) == row.stamp and row.boot == boot_id()
        except OSError:
            return False

    # ---------------------------------------------------------------- away with it

    def set_aside(self, row: BlobRow, problem: str) -> None:
        """Move the blob's file to quarantine, if it is still there, and say so."""
        source = self._at(row.name)
        try:
            os.rename(source, f"{self._quarantine}/{row.name.replace('/', '-')}")
        except FileNotFoundError:
            pass
        except OSError:
            with suppress(OSError):
                os.unlink(source)
        hooks.emit(Quarantined(_short(row), problem))

    def remove(self, row: BlobRow) -> None:
        """Remove the blob's file; nothing happens if it is gone. Mappings of it live on."""
        with suppress(FileNotFoundError):
            os.unlink(self._at(row.name))

    def strays(self, named: set[str], *, older_than: float, quarantined_before: float) -> Iterator[Stray]:
        """Files that no row names, left by killed writers before older_than; and what was quarantined (Unix time, s)."""
        for folder in os.scandir(self._blobs):
            for entry in os.scandir(folder) if folder.is_dir(follow_symlinks=False) else ():
                if f"{folder.name}/{entry.name}" not in named:
                    yield from _old(entry, older_than)
        for entry in os.scandir(self._temporary):
            yield from _old(entry, older_than)
        for entry in os.scandir(self._quarantine):
            yield from _old(entry, quarantined_before)

    def _at(self, name: str) -> str:
        return f"{self._blobs}/{name}"

    def _digest(self, descriptor: int) -> bytes | None:
        """The digest of a file's content; None if it is no file or can't be read."""
        try:
            return self._content.of_open_file(descriptor)
        except OSError:
            return None

    def _corrupt(self, row: BlobRow, problem: str) -> RecordCorrupt:
        self.set_aside(row, problem)
        return RecordCorrupt(_short(row), problem)


@cache
def boot_id() -> str:
    """What tells this run of the kernel from others; where that is unknown, what tells this process from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)


def _old(entry: os.DirEntry[str], than: float) -> Iterator[Stray]:
    """The entry, if it has not changed since."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if status.st_ctime < than:
        if stat.S_ISDIR(status.st_mode):
            yield Stray(status.st_size, partial(shutil.rmtree, entry.path, ignore_errors=True))
        else:
            yield Stray(status.st_size, partial(Path(entry.path).unlink, missing_ok=True))


def _rename_into(source: str, target: str) -> None:
    """Rename a file into a directory, which is made if it is not there yet."""
    try:
        os.rename(source, target)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(target), 0o700)
        os.rename(source, target)


def sync_folder(folder: Path | str) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _new(place: Path) -> int:
    """A new, empty file that nobody else may write to, open to be filled."""
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READ_ONLY)
    os.fchmod(descriptor, READ_ONLY)  # whatever the umask
    return descriptor


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:  # a write takes at most 2 GiB at once
        view = view[os.write(descriptor, view) :]


def _short(row: BlobRow) -> str:
    return f"blob {row.name[3:15]}"


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns
