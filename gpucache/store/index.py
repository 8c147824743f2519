"""The index: small rows in LMDB, each bound to its key by a check, so that a damaged page is a missing row.

Traps that this file steps around (each seen in an experiment): the lock file is allocated before the first open, or a full disk
kills readers; the environment is never used across a fork; one environment per path and process, shared by all handles;
no view leaves its transaction; rows carry their own check because LMDB's pages have none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import lmdb
import xxhash

from gpucache.errors import StoreFull, StoreUnusable
from gpucache.events import Degraded, Quarantined, hooks

MAP_BYTES = 16 * 2**40
SMALLER_MAP_BYTES = 2**36
LOCK_BYTES = 65536
MAX_READERS = 1024
CHECK_BYTES = 8
DATABASES = ("records", "recent", "parts", "values", "blobs", "runs", "calls", "pins", "notes")


class Index:
    """The rows of one store. Any thread may call any method; open() gives the one Index of a path in this process."""

    _open: ClassVar[dict[str, Index]] = {}
    _lock = threading.Lock()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handles = 0
        self._connect()

    @classmethod
    def open(cls, path: Path) -> Index:
        """The index at path, made if there is none. Each open() takes one close().

        Raises:
            StoreUnusable: LMDB can't work there; the message says why.
        """
        name = os.path.realpath(path)
        with cls._lock:
            index = cls._open.get(name)
            if index is None:
                index = cls._open[name] = cls(path)
            index._handles += 1
            return index

    def close(self) -> None:
        """Give the handle back; the last one closes the environment."""
        with self._lock:
            self._handles -= 1
            if self._handles == 0:
                self._open.pop(os.path.realpath(self.path), None)
                if self._pid == os.getpid():
                    self._env.close()

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row, or None if there is none or it is damaged."""
        if os.getpid() != self._pid:
            self._connect()
        with self._env.begin() as transaction:
            row = transaction.get(key, db=self._databases[database])
        return None if row is None else self._checked(database, key, row)

    def scan(self, database: str, prefix: bytes = b"", *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key starts with prefix, in the order of their keys. The rows are those of one moment.

        Read in pages of a few hundred, so that no reader's snapshot is held while the caller works.
        """
        after: bytes | None = None
        while True:
            page = self._page(database, prefix, after, reverse=reverse)
            for key, row in page:
                body = self._checked(database, key, row)
                if body is not None:
                    yield key, body
            if len(page) < 256:
                return
            after = page[-1][0]

    def _page(self, database: str, prefix: bytes, after: bytes | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        if os.getpid() != self._pid:
            self._connect()
        page: list[tuple[bytes, bytes]] = []
        with self._env.begin() as transaction, transaction.cursor(db=self._databases[database]) as cursor:
            found = self._start_backwards(cursor, prefix, after) if reverse else self._start(cursor, prefix, after)
            while found and len(page) < 256:
                key = cursor.key()
                if not key.startswith(prefix):
                    break
                page.append((key, cursor.value()))
                found = cursor.prev() if reverse else cursor.next()
        return page

    @staticmethod
    def _start(cursor: Any, prefix: bytes, after: bytes | None) -> bool:
        if after is None:
            return bool(cursor.set_range(prefix) if prefix else cursor.first())
        return bool(cursor.set_range(after) and (cursor.key() != after or cursor.next()))

    @staticmethod
    def _start_backwards(cursor: Any, prefix: bytes, after: bytes | None) -> bool:
        end = after if after is not None else prefix + b"\xff" * 64
        return bool(cursor.prev() if cursor.set_range(end) else cursor.last())

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """One transaction: all of its rows are there after it, or none.

        Raises:
            StoreFull: The disk is full; nothing changed.
        """
        if os.getpid() != self._pid:
            self._connect()
        try:
            with self._env.begin(write=True) as transaction:
                yield Writer(transaction, self._databases)
        except (lmdb.DiskError, lmdb.MapFullError) as problem:
            usage = os.statvfs(self.path)
            raise StoreFull(str(self.path), 1, usage.f_bavail * usage.f_frsize) from problem

    def count(self, database: str) -> int:
        """The number of rows."""
        with self._env.begin() as transaction:
            return int(transaction.stat(self._databases[database])["entries"])

    @property
    def nbytes(self) -> int:
        """What the index takes on disk."""
        return (self.path / "data.mdb").stat().st_blocks * 512

    def raw(self, database: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Every row with its body, or None for a damaged one: for verify()."""
        after: bytes | None = None
        while page := self._page(database, b"", after, reverse=False):
            for key, row in page:
                yield key, _body(database, key, row)
            after = page[-1][0]

    def _checked(self, database: str, key: bytes, row: bytes) -> bytes | None:
        body = _body(database, key, row)
        if body is None:
            hooks.emit(Quarantined(f"row {key.hex()[:12]} of {database}", "its check does not match"))
        return body

    def _connect(self) -> None:
        before = self.__dict__.get("_env")
        if before is not None:
            before.close()  # inherited through fork: never used here
        self.path.mkdir(mode=0o700, exist_ok=True)
        _allocate(self.path / "lock.mdb")
        self._env = self._opened(MAP_BYTES)
        self._env.reader_check()
        self._databases = {name: self._env.open_db(name.encode()) for name in DATABASES}
        self._pid = os.getpid()

    def _opened(self, map_bytes: int) -> Any:
        try:
            return lmdb.open(
                str(self.path),
                map_size=map_bytes,
                max_dbs=len(DATABASES),
                max_readers=MAX_READERS,
                metasync=False,  # the index stays whole at a power cut; the last commits may be lost
                mode=0o600,
                lib_version=0,
            )
        except lmdb.Error as problem:
            if map_bytes > SMALLER_MAP_BYTES and isinstance(problem, lmdb.MemoryError):
                hooks.emit(Degraded("the index", "its address space is limited, so it can hold less"))
                return self._opened(SMALLER_MAP_BYTES)
            raise StoreUnusable(
                str(self.path), str(problem), "put the store elsewhere with GPUCACHE_STORE"
            ) from problem


class Writer:
    """The rows of one write transaction."""

    def __init__(self, transaction: Any, databases: dict[str, Any]) -> None:
        self._transaction, self._databases = transaction, databases

    def put(self, database: str, key: bytes, body: bytes) -> None:
        """Write a row, in place of the one there."""
        self._transaction.put(key, _check(database, key, body) + body, db=self._databases[database])

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row as this transaction sees it."""
        row = self._transaction.get(key, db=self._databases[database])
        return None if row is None else _body(database, key, row)

    def delete(self, database: str, key: bytes) -> bool:
        """Delete a row; whether there was one."""
        return bool(self._transaction.delete(key, db=self._databases[database]))


def _check(database: str, key: bytes, body: bytes) -> bytes:
    return xxhash.xxh3_64_digest(b"".join((database.encode(), b"\0", key, body)))


def _body(database: str, key: bytes, row: bytes) -> bytes | None:
    body = row[CHECK_BYTES:]
    return body if row[:CHECK_BYTES] == _check(database, key, body) else None


def _allocate(lock: Path) -> None:
    """Give the lock file its blocks before LMDB opens it: sparse, a full disk would kill readers by SIGBUS.

    Only where it is not there yet: opening and closing it beside an open environment would drop that one's lock.
    """
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        os.posix_fallocate(descriptor, 0, LOCK_BYTES + MAX_READERS * 64)
    finally:
        os.close(descriptor)
