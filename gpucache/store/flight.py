"""Single flight between processes: a byte-range lock per key on one file.

An open-file-description lock (F_OFD_SETLK) belongs to the descriptor: each flight opens its own, so threads exclude each
other too, and the kernel lets go when a holder is killed. The offset comes from the key; two keys with the same 62 bits
would wait for each other, never miss each other. A forked child inherits the descriptor and would keep the lock alive,
so it closes it first thing; `exec` closes it too.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from gpucache.errors import StoreUnusable

POLL_S, POLL_MAX_S = 0.0005, 0.05
"""A wait with a deadline looks again after POLL_S, then twice that, up to POLL_MAX_S: Linux has no lock with a time limit."""

_held: set[int] = set()
_here = threading.local()
_opening = threading.RLock()
"""Held while a descriptor is opened and noted, while it is closed, and across fork: no child inherits one that is not noted."""


def _close_in_child() -> None:
    global _opening, _here  # noqa: PLW0603  # what the parent's threads held is nobody's in the child
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()
    _opening = threading.RLock()
    _here = threading.local()


def _hold() -> None:
    _opening.acquire()


def _let_go() -> None:
    _opening.release()


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_close_in_child)


class Flight(AbstractContextManager[bool]):
    """Hold a key while its body runs; waits while another thread or process holds it.

    Entering gives True: the key is ours; or False: timeout_s passed, and another may hold it still. None waits for as long as
    it takes; an exception from a signal handler (Ctrl-C) ends the wait.

    Raises:
        RecursionError: This thread holds the key already and would wait for itself.
        StoreUnusable: The lock file can't be opened.
    """

    def __init__(self, locks: Path, key: bytes, *, timeout_s: float | None = None) -> None:
        self._locks, self._key, self._timeout_s = locks, key, timeout_s
        self._offset = int.from_bytes(key[:8], "big") >> 2
        self._descriptor = -1
        self._pid = -1
        self._mine: set[bytes] = set()

    def __enter__(self) -> bool:
        self._refuse_to_wait_for_oneself()
        self._open()
        try:
            is_held = self._wait()
        except OSError as problem:
            self._close()
            why = problem.strerror or str(problem)
            raise StoreUnusable(
                str(self._locks), f"no lock: {why}", "look at its disk, or put it elsewhere"
            ) from problem
        except BaseException:
            self._close()
            raise
        if is_held:
            self._mine.add(self._key)
        else:
            self._close()
        return is_held

    def __exit__(self, *raised: object) -> None:
        if self._descriptor >= 0 and self._pid == os.getpid():  # in a forked child it is closed already
            self._mine.discard(self._key)
            self._close()

    def is_taken(self, descriptor: int) -> bool:
        """Whether another thread or process holds the key: a look, without opening the file of locks once more.

        Args:
            descriptor: That file, opened by someone who holds nothing through it.
        """
        self._refuse_to_wait_for_oneself()
        return is_held_elsewhere(descriptor, self._offset)

    def _refuse_to_wait_for_oneself(self) -> None:
        self._mine = self._held_here()
        if self._key in self._mine:
            raise RecursionError("a call waits for itself: it was made, with the same arguments, by its own body")

    def _held_here(self) -> set[bytes]:
        """The keys that this thread holds in this store."""
        by_file: dict[Path, set[bytes]] = _here.__dict__.setdefault("keys", {})
        return by_file.setdefault(self._locks, set())

    def _open(self) -> None:
        try:
            with _opening:
                self._descriptor = os.open(self._locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                _held.add(self._descriptor)
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise StoreUnusable(str(self._locks), why, "is the store's directory still there, and yours?") from problem
        self._pid = os.getpid()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        with _opening:
            _held.discard(descriptor)
            with suppress(OSError):  # a close that fails has closed all the same, and let the lock go
                os.close(descriptor)

    def _wait(self) -> bool:
        if self._timeout_s is None:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLKW, self._request())
            return True
        deadline = time.monotonic() + self._timeout_s
        pause_s = POLL_S
        while True:
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, self._request())
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another holds it
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                time.sleep(min(pause_s, left_s))
                pause_s = min(2 * pause_s, POLL_MAX_S)
            else:
                return True

    def _request(self) -> bytes:
        return lock_request(self._offset)


def hold(descriptor: int, offset: int) -> bool:
    """Hold a byte of a file of locks through this descriptor; False if another one has it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock_request(offset))
    except (BlockingIOError, PermissionError):
        return False
    return True


def let_go(descriptor: int, offset: int) -> None:
    """Hold a byte no longer."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock_request(offset, fcntl.F_UNLCK))


def is_held_elsewhere(descriptor: int, offset: int) -> bool:
    """Whether a byte of a file of locks is held through another descriptor than this one."""
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, lock_request(offset))
    return bool(_flock.unpack(answer)[0] != fcntl.F_UNLCK)


_flock = struct.Struct("hhiqqii")
"""struct flock on 64-bit Linux: l_type, l_whence, padding, l_start, l_len, l_pid (0 for OFD locks), padding."""


def lock_request(offset: int, kind: int = fcntl.F_WRLCK) -> bytes:
    """What fcntl() takes to ask for one byte of a file of locks."""
    return _flock.pack(kind, os.SEEK_SET, 0, offset, 1, 0, 0)
