"""LMDB's environment: opened so that a full disk kills no reader, and a small address space is enough."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb

from gpucache.errors import StoreUnusable
from gpucache.events import Degraded, hooks
from gpucache.store.blobs import boot_id
from gpucache.store.contract import DATABASES

MAP_BYTES = (2**44, 2**40, 2**36, 2**32, 2**28)
"""The first that the address space allows: 16 TiB cost 12 KB of disk (FACTS), so the map need never grow."""

UNSYNCED = "unsynced"
"""A file beside the index: the boot in which someone wrote to it without syncing."""

MAX_READERS = 1024
LOCK_BYTES = 2**17  # LMDB's header and 64 bytes for each of MAX_READERS; a longer file only means more readers

BROKEN = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PageFullError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.BadValsizeError,
)
"""What LMDB says of a file that is not as it wrote it: the last one of keys that are right, for a database whose flags are not."""


def open_environment(path: Path, *, sync: bool = True) -> Any:
    """LMDB's environment in this directory, its lock file allocated. It must not be open in this process.

    Raises:
        StoreUnusable: It can't work there.
        lmdb.Error: Its file is damaged.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        _allocate(path / "lock.mdb")
    except OSError as problem:
        raise StoreUnusable(str(path), problem.strerror or str(problem), "put the store elsewhere") from problem
    for map_bytes in MAP_BYTES:
        try:
            return lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=len(DATABASES),
                max_readers=MAX_READERS,
                sync=sync,
                metasync=False,  # the index stays whole at a power cut; the last commits may be lost
                mode=0o600,
                lib_version=0,
            )
        except lmdb.LockError as problem:
            why = "a process with the same pid in another container uses it"
            raise StoreUnusable(str(path), why, "share the pid namespace, or give each its own store") from problem
        except (lmdb.MemoryError, OSError):
            hooks.emit(Degraded("the index", f"the address space does not allow a map of {map_bytes:,} bytes"))
        except BROKEN:
            raise
        except lmdb.Error as problem:
            raise StoreUnusable(str(path), str(problem), "put the store elsewhere with GPUCACHE_STORE") from problem
    raise StoreUnusable(str(path), "the address space is too small for any map", "raise RLIMIT_AS")


def open_databases(env: Any) -> dict[str, Any]:
    """The databases by name, made if they are not there."""
    with env.begin(write=True) as transaction:
        return {name: env.open_db(name.encode(), txn=transaction) for name in DATABASES}


def was_cut(path: Path) -> bool:
    """Whether someone wrote without syncing, before the kernel that runs now: pages may be missing anywhere in the file."""
    try:
        return (path / UNSYNCED).read_text(encoding="ascii") != boot_id()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def mark_unsynced(path: Path) -> None:
    """Say, before the first write that is not synced, which kernel's memory holds it."""
    with suppress(OSError):  # no directory or no room: what follows will say so
        path.mkdir(mode=0o700, exist_ok=True)
        with (path / UNSYNCED).open("w", encoding="ascii") as marker:
            marker.write(boot_id())
            marker.flush()
            os.fsync(marker.fileno())


def fill_up(path: Path, env: Any) -> None:
    """Make the file as long as its last page says: those at its end were perhaps never written, and a read there would be SIGBUS."""
    data, page_bytes = path / "data.mdb", os.sysconf("SC_PAGESIZE")
    needed = (env.info()["last_pgno"] + 1) * page_bytes
    if data.stat().st_size < needed:
        os.truncate(data, needed)


def _allocate(lock: Path) -> None:
    """Give the lock file its blocks before LMDB opens it: sparse, a full disk would kill readers by SIGBUS."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, LOCK_BYTES)
    finally:
        os.close(descriptor)  # drops this process's POSIX locks on it: it has none, its environment is closed
