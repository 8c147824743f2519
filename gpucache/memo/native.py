"""Files that native code opens (Arrow, HDF5, OpenCV, a library in Rust): heard from csrc/gc_opens.h, given to who watches.

What is heard lies in memory until somebody asks. So all of it is given out before it changes who watches which thread: when a
watch begins or ends, and when a thread of a pool takes work for one.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib.machinery import ExtensionFileLoader
from typing import Any

from gpucache.memo import _opens

Give = Callable[[int, str, int], None]
"""Gets the thread that opened, the path and open(2)'s flags."""

_SYSTEM = ("/bin/", "/sbin/", "/lib", "/usr/", "/etc/", "/run/", "/nix/", "/snap/", "/var/lib/", "/var/cache/")


class _Hearing:
    """What this process hears, and tells.

    Attributes:
        pid: Of the process that takes the notes; 0: nobody does.
    """

    is_allowed = True
    pid = 0
    give: Give
    turn = threading.RLock()


def allow(*, is_allowed: bool) -> None:
    """Whether libraries may be pointed at our functions from now on; those that were stay so, and work as before."""
    _Hearing.is_allowed = is_allowed


def install(give: Give) -> None:
    """Hear of what libraries open that are loaded by now. Cheap where no new ones are; called at every start.

    A library that a body itself imports is heard once it is loaded.
    """
    if not _Hearing.is_allowed:
        return
    if not _Hearing.pid:
        _Hearing.give, _Hearing.pid = staticmethod(give), os.getpid()
        _tell_of_extensions()
    _opens.install()


def _tell_of_extensions() -> None:
    inner = ExtensionFileLoader.exec_module  # after dlopen(), before anyone calls what was loaded

    @wraps(inner)
    def told(self: ExtensionFileLoader, module: Any) -> None:
        if _Hearing.is_allowed:
            _opens.install()
        inner(self, module)

    ExtensionFileLoader.exec_module = told  # type: ignore[method-assign]


@contextmanager
def turn() -> Iterator[None]:
    """Within it who watches which thread may change: what was opened before was given to those who watched then."""
    with _Hearing.turn:
        give_out()
        yield


def give_out() -> None:
    """Give what was opened by now to who watches."""
    if _Hearing.pid == os.getpid():  # what a child notes is its parent's to give
        with _Hearing.turn:
            for thread, flags, path in _opens.taken():
                _Hearing.give(thread, os.fsdecode(path), flags)


def listen(on: bool) -> None:
    """One watch more, or less."""
    _opens.listen(on)


def lost() -> int:
    """How many files were opened unheard, for want of room: grows only."""
    return _opens.lost()


def in_child() -> None:
    """This is a forked child: nobody else holds the turn here."""
    _Hearing.turn = threading.RLock()


def is_librarys(path: str, root: str) -> bool:
    """Whether this is a library's own business: the system's files, Python's, what lies in hidden directories of one's home.

    Args:
        path: Absolute.
        root: The project's directory, which may lie anywhere.
    """
    if root and path.startswith(root + os.sep):
        return path.startswith(_prefixes()) and not root.startswith(_prefixes())
    return path.startswith((*_SYSTEM, *_prefixes(), os.path.expanduser("~/.")))


@cache
def _prefixes() -> tuple[str, ...]:
    places = {sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib")}
    return tuple(os.path.join(place, "") for place in places if place not in ("/", "/usr"))
