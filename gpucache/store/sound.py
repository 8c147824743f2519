"""Whether LMDB may be given an index's file. LMDB trusts its pages, and a damaged one kills the process: so the file is walked first.

A walk costs 0.15 ms for each MB. None is done where someone alive has the file open, he has walked it, nor where the file is as
the last one left it who closed it in this boot.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import suppress
from pathlib import Path

from gpucache.store._walk import problem_of
from gpucache.store.blobs import boot_id
from gpucache.store.flight import is_held_elsewhere, lock_request

STAMP = "sound"
"""A file beside the index: what stat() said of it when it was closed, and in which boot that was."""

OPEN, INODES = 2**62, 2**61
"""Where in the file of locks, from there on by inode, those who have an index open share a lock."""


class Opened:
    """An index's file that this process has open. Whoever has it open has walked it, or knows one who has.

    Attributes:
        problem: What is wrong with the file, in words; None if LMDB may have it.
    """

    def __init__(self, path: Path, locks: Path) -> None:
        """Look at the index in this directory. The caller has the turn to write.

        Args:
            path: The index's directory; a file is made in it if there is none.
            locks: The file of locks.
        """
        self._path = path
        self._descriptor = -1
        self._inode = 0
        self.problem: str | None = None
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path / "data.mdb", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)  # LMDB fills it
        except OSError:
            return  # LMDB can't open it either, and says why
        try:
            status = os.fstat(descriptor)
            self._inode = status.st_ino
            self._descriptor = os.open(locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            place = OPEN + status.st_ino % INODES
            if not is_held_elsewhere(self._descriptor, place) and _stamp(status) != _read(path / STAMP):
                self.problem = _walked(descriptor, status.st_size)
            if self.problem is None:
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, lock_request(place, fcntl.F_RDLCK))
        except OSError:
            pass  # no lock to be had: others walk it, too
        finally:
            _close(descriptor)

    def close(self) -> None:
        """This process has it open no more, and leaves it as it is; LMDB has closed it."""
        self.forget()
        with suppress(OSError):  # then the next one walks it
            status = os.stat(self._path / "data.mdb")
            if status.st_ino == self._inode and _read(self._path / STAMP) != (stamp := _stamp(status)):
                (self._path / STAMP).write_text(stamp, encoding="ascii")

    def forget(self) -> None:
        """In a forked child, and for a file that was set aside."""
        if self._descriptor >= 0:
            _close(self._descriptor)
            self._descriptor = -1


def walked(path: Path) -> str | None:
    """What is wrong with the index in this directory, in words, or None. The caller has the turn to write."""
    descriptor = os.open(path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _walked(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _walked(descriptor: int, nbytes: int) -> str | None:
    if nbytes == 0:
        return None
    with mmap.mmap(descriptor, nbytes, prot=mmap.PROT_READ) as data:
        return problem_of(data, mmap.PAGESIZE)


def _close(descriptor: int) -> None:
    with suppress(OSError):  # EIO, say: Linux has given it back all the same
        os.close(descriptor)


def _stamp(status: os.stat_result) -> str:
    return f"{boot_id()} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
