"""Single flight between processes: a byte-range lock per key on one file.

An open-file-description lock (F_OFD_SETLKW) belongs to the descriptor: each flight opens its own, so threads exclude each
other too, and the kernel lets go when a holder is killed. The offset comes from the key; two keys with the same 62 bits
would wait for each other, never miss each other. A forked child inherits the descriptor and would keep the lock alive,
so it closes it first thing.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import AbstractContextManager
from pathlib import Path

_held: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


class Flight(AbstractContextManager[None]):
    """Hold a key while its body runs. Waits as long as another holds it; a signal's exception ends the wait."""

    def __init__(self, locks: Path, key: bytes) -> None:
        self._locks = locks
        self._offset = int.from_bytes(key[:8], "big") >> 2
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _held.add(self._descriptor)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLKW, self._request())
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *raised: object) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor in _held:  # not in a forked child, where it is closed already
            _held.discard(descriptor)
            os.close(descriptor)

    def _request(self) -> bytes:
        # struct flock on 64-bit Linux: l_type, l_whence, padding, l_start, l_len, l_pid (0 for OFD locks).
        return struct.pack("hhiqqii", fcntl.F_WRLCK, os.SEEK_SET, 0, self._offset, 1, 0, 0)
