"""Files and directories as values: identified by what is in them, not by where they lie.

The digest of a file is remembered by path, size, times and inode: a file that was touched, replaced or written is read again.
But not of a file that was written just now: two writes within one tick of the file system's clock leave one time behind.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gpucache.digests import of_objects
from gpucache.digests._kernel import leaf_digests, root_digest, tree_digest
from gpucache.digests.encoders import add_family, by_digest
from gpucache.digests.tree import LEAF_BYTES
from gpucache.errors import NotIdentifiable

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker

_READ_BYTES = 64 * LEAF_BYTES
"""At once: 4 MiB. Reading is as fast as mapping here, and a file that shrinks meanwhile is no SIGBUS."""

_SETTLED_NS = 2_000_000_000
"""The coarsest clock of a file system (FAT); ext4's and xfs' tick every 4 ms."""

_MOST_REMEMBERED = 65536
"""Digests of files, about 300 bytes each."""

_Stamp = tuple[str, int, int, int, int]
_digests: dict[_Stamp, bytes] = {}


class File(os.PathLike[str]):
    """A file as an argument or a result. Two files with the same bytes are the same value.

    Attributes:
        path: Where it lies; as a result of a task, read-only, in the store.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def open(self, mode: str = "rb", **options: Any) -> IO[Any]:
        """Open the file, as the built-in open() does."""
        return open(self.path, mode, **options)

    def read_bytes(self) -> bytes:
        """What is in it."""
        return self.path.read_bytes()

    def read_text(self, encoding: str = "utf-8") -> str:
        """What is in it, as text."""
        return self.path.read_text(encoding=encoding)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)


class Dir(File):
    """A directory with all that is in it: names, contents, which files are executable, where links point."""

    __slots__ = ()

    def files(self) -> Iterator[tuple[str, Path]]:
        """Every entry that is not a directory, as (name relative to the directory, path), sorted. Links are not followed.

        Raises:
            OSError: A directory can't be read.
        """
        for name, path in self.entries():
            if path.is_symlink() or not path.is_dir():
                yield name, path

    def entries(self) -> Iterator[tuple[str, Path]]:
        """Every entry, directories too, as (name relative to the directory, path), sorted. Links are not followed.

        Raises:
            OSError: A directory can't be read.
        """
        for folder, folders, names in os.walk(self.path, onerror=_raise, followlinks=False):
            folders.sort()
            for name in sorted([*names, *folders]):
                path = Path(folder) / name
                yield path.relative_to(self.path).as_posix(), path


def file_digest(path: Path) -> bytes:
    """The tree digest of a file's bytes.

    Raises:
        OSError: It can't be read.
        NotIdentifiable: It changed while it was read, twice.
    """
    for _ in range(2):
        with open(path, "rb", buffering=0) as file:
            before = _stamp(path, os.fstat(file.fileno()))
            known = _digests.get(before)
            if known is not None:
                return known
            digest = _digest_of(file)
        after = os.stat(path)
        if _stamp(path, after) == before:
            if is_settled(after):
                _keep(before, digest)
            return digest
    raise NotIdentifiable(str(path), "file", "it changes while it is read", "wait until it is written, or copy it")


def _digest_of(file: IO[bytes]) -> bytes:
    """As tree_digest() of all its bytes, but a piece at a time."""
    # A file of /proc says that it is empty, and is not: what was read counts.
    buffer = bytearray(_READ_BYTES if os.fstat(file.fileno()).st_size >= LEAF_BYTES else LEAF_BYTES)
    size, leaves = 0, bytearray()
    while filled := _fill(file, buffer):
        leaves += leaf_digests(memoryview(buffer)[:filled])
        size += filled
    if size <= LEAF_BYTES:
        return bytes(leaves) or tree_digest(b"")
    return root_digest(leaves, size)


def _fill(file: IO[bytes], buffer: bytearray) -> int:
    """Read until the buffer is full or the file ends: leaves are whole but for the last."""
    view, filled = memoryview(buffer), 0
    while filled < len(buffer):
        count: int = file.readinto(view[filled:])  # type: ignore[attr-defined]  # typing.IO leaves readinto out
        if not count:
            break
        filled += count
    return filled


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """What changes with a file's content, once it is settled: size, times and inode."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _stamp(path: Path, status: os.stat_result) -> _Stamp:
    return os.path.abspath(path), *stamp_of(status)


def is_settled(status: os.stat_result) -> bool:
    """Whether a write to the file from now on must give it other times. Now, by the clock that stamps files."""
    now = os.memfd_create("now")
    try:
        return os.fstat(now).st_mtime_ns - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS
    finally:
        os.close(now)


def _keep(stamp: _Stamp, digest: bytes) -> None:
    if len(_digests) >= _MOST_REMEMBERED:
        _digests.clear()
    _digests[stamp] = digest


def _raise(problem: OSError) -> None:
    raise problem


def _is_executable(path: Path) -> bytes:
    return b"x" if path.stat().st_mode & stat.S_IXUSR else b""


def _begin(walker: Walker, name: bytes, value: File, base: type) -> None:
    """A subclass counts with its attributes, but for the path: it is content, too."""
    walker.begin(name, value)
    if type(value) is base:
        walker.out += b"="
    else:
        walker.tag(b"<", walker.class_token(type(value)))
        of_objects.state(walker, getattr(value, "__dict__", None))


@by_digest
def _file(walker: Walker, value: File) -> None:
    if not value.path.is_file():
        raise walker.refusal(
            value, f"there is no file {value.path}", "give the path of a file (gpucache.Dir for a directory)"
        )
    _begin(walker, b"File", value, File)
    walker.tag(b"", _is_executable(value.path), file_digest(value.path))


@by_digest
def _dir(walker: Walker, value: Dir) -> None:
    if not value.path.is_dir():
        raise walker.refusal(value, f"there is no directory {value.path}", "give the path of a directory")
    _begin(walker, b"Dir", value, Dir)
    for name, path in value.entries():
        raw = name.encode("utf-8", "surrogateescape")
        if path.is_symlink():
            walker.tag(b"s", raw, os.fsencode(os.readlink(path)))
        elif path.is_dir():
            walker.tag(b"d", raw)
        elif path.is_file():
            walker.tag(b"f", raw, _is_executable(path), file_digest(path))
        else:
            raise walker.refusal(value, f"{path} is neither a file nor a directory", "leave it out")


add_family(File, _file)
add_family(Dir, _dir)
