"""What forked children of a body read, told to the parent: a loader of data with worker processes, say.

A child of fork() has the parent's hooks and watches; what it hears of, it also writes into a file in memory that both have open.
Children that are started otherwise (spawn, forkserver, loky) begin with nothing, and are said in the notes.
"""

from __future__ import annotations

import _posixsubprocess
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import msgspec

from gpucache.memo.inputs import Input

_LENGTH_BYTES = 4


class Told(msgspec.Struct, frozen=True, array_like=True):
    """One thing heard in a child.

    Attributes:
        made, added_to: Paths.
        note: What can't be counted.
    """

    read: Input | None = None
    made: str | None = None
    added_to: str | None = None
    note: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode


def install(before_fork: Callable[[], None], in_child: Callable[[], None], started: Callable[[], None]) -> None:
    """Have forks told, and processes that multiprocessing and its kin start from nothing. Once in a process."""
    os.register_at_fork(before=before_fork, after_in_child=in_child)
    inner = _posixsubprocess.fork_exec  # subprocess has its own reference, and an audit event

    @wraps(inner)
    def told(*args: Any) -> Any:
        started()
        return inner(*args)

    _posixsubprocess.fork_exec = told  # type: ignore[attr-defined,unused-ignore]


def are_there() -> bool:
    """Whether processes of multiprocessing, or its kin (loky), live now."""
    processes = sys.modules.get("multiprocessing.process")
    return bool(getattr(processes, "_children", None))


class Line:
    """From children to the one who made it: whole messages, in the order in which they were sent."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._file = os.memfd_create("gpucache-children")  # closed by exec
        self._identity = self._identity_now()
        self._read_bytes = 0

    @property
    def is_childs(self) -> bool:
        """Whether this process has it from its parent."""
        return os.getpid() != self._pid

    def send(self, told: Told) -> None:
        """Say something, from a child. A child that has closed all its files, as daemons do, is not heard of any more."""
        message = _encode(told)
        if self._identity_now() == self._identity:
            # One write at a position that all share, so that messages of many children don't mix.
            os.write(self._file, len(message).to_bytes(_LENGTH_BYTES, "big") + message)

    def received(self) -> Iterator[Told]:
        """What came since the last time."""
        data = os.pread(self._file, os.fstat(self._file).st_size - self._read_bytes, self._read_bytes)
        at = 0
        while at + _LENGTH_BYTES <= len(data):
            end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
            if end > len(data):
                break
            yield _decode(data[at + _LENGTH_BYTES : end])
            at = end
        self._read_bytes += at

    def close(self) -> None:
        """Hear no more. The file is gone when the last child is."""
        os.close(self._file)

    def _identity_now(self) -> Any:
        try:
            status = os.fstat(self._file)
        except OSError:
            return None
        return status.st_dev, status.st_ino
