"""What can be asked of a file without reading it, and what the answer is now: each question by as much as it can tell.

existence   whether it is there, and as what: a file, a directory
mode        that, and who may do what with it
size        that, and how large it is
link        where a symbolic link leads; what else is there
status      all of it, with its times: os.stat() itself
entries     the same for all that is in a directory: os.scandir() itself
program     where a program of this name is found on the PATH: shutil.which()
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable

from gpucache.digests import combine

_stat, _lstat, _readlink = os.stat, os.lstat, os.readlink  # as they are before anyone listens (asking.py)
_SORTS = {stat.S_IFREG: "a file", stat.S_IFDIR: "a directory", stat.S_IFLNK: "a link"}

PROGRAM = "program"

Answer = tuple[bytes, str]
"""Its digest, and a text for people."""


def ask(kind: str, path: str) -> Answer:
    """The answer now.

    Raises:
        OSError: There is no such file, say.
    """
    return _QUESTIONS[kind](path)


def is_link(path: str) -> bool:
    """Whether a symbolic link is there; nobody hears of this."""
    try:
        return stat.S_ISLNK(_lstat(path).st_mode)
    except OSError:
        return False


def _existence(path: str) -> Answer:
    sort = stat.S_IFMT(_stat(path).st_mode)
    return combine(b"there", sort.to_bytes(4, "big")), _SORTS.get(sort, "there")


def _mode(path: str) -> Answer:
    mode = _stat(path).st_mode
    return combine(b"mode", mode.to_bytes(4, "big")), f"{_sort(mode)}, {stat.filemode(mode)}"


def _size(path: str) -> Answer:
    status = _stat(path)
    told = combine(b"size", repr((stat.S_IFMT(status.st_mode), status.st_size)).encode())
    return told, f"{_sort(status.st_mode)} of {status.st_size:,} bytes"


def _link(path: str) -> Answer:
    mode = _lstat(path).st_mode
    if not stat.S_ISLNK(mode):
        return combine(b"no link", stat.S_IFMT(mode).to_bytes(4, "big")), _sort(mode)
    target = _readlink(path)
    return combine(b"link", os.fsencode(target)), f"a link to {target}"


def _status(path: str) -> Answer:
    status = _stat(path)
    told = combine(b"status", repr((status.st_mode, status.st_size, status.st_mtime_ns)).encode())
    return told, f"{_sort(status.st_mode)} of {status.st_size:,} bytes"


def _entries(path: str) -> Answer:
    with os.scandir(path) as entries:
        found = sorted((entry.name, entry.is_symlink(), _told(entry)) for entry in entries)
    return combine(b"entries", repr(found).encode()), f"{len(found):,} entries"


def _program(name: str) -> Answer:
    """However many directories the PATH has, and which: where it leads is what is told."""
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(name)
    return combine(b"program", os.fsencode(found)), found


def _told(entry: os.DirEntry[str]) -> tuple[int, ...]:
    try:
        status = entry.stat()
    except OSError:  # a link that leads nowhere
        return ()
    size = () if entry.is_dir() else (status.st_size, status.st_mtime_ns)
    return status.st_mode, *size


def _sort(mode: int) -> str:
    return _SORTS.get(stat.S_IFMT(mode), "there")


_QUESTIONS: dict[str, Callable[[str], Answer]] = {
    "existence": _existence,
    "mode": _mode,
    "size": _size,
    "link": _link,
    "status": _status,
    "entries": _entries,
    PROGRAM: _program,
}
ASKED = tuple(_QUESTIONS)
IN_CONTENT = ("existence", "size")
"""What whoever reads a file knows of it anyway."""
