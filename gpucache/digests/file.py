"""Files and directories as values: identified by what is in them, not by where they lie.

The digest of a file is remembered by path, size, times and inode: a file that was touched, replaced or written is read again.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gpucache.digests._kernel import tree_digest
from gpucache.digests.canonical import Walker, add_encoder, by_digest
from gpucache.errors import NotIdentifiable

_digests: dict[tuple[str, int, int, int, int], bytes] = {}


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
        """Every entry that is not a directory, as (name relative to the directory, path), sorted. Links are not followed."""
        for folder, folders, names in os.walk(self.path, followlinks=False):
            folders.sort()
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in sorted([*names, *links]):
                path = Path(folder) / name
                yield path.relative_to(self.path).as_posix(), path


def file_digest(path: Path) -> bytes:
    """The tree digest of a file's bytes.

    Raises:
        OSError: It can't be read.
        NotIdentifiable: It changed while it was read, twice.
    """
    for _ in range(2):
        with path.open("rb") as file:
            before = _stamp(path, os.fstat(file.fileno()))
            known = _digests.get(before)
            if known is not None:
                return known
            digest = _digest_of(file)
            if _stamp(path, os.stat(path)) == before:
                _digests[before] = digest
                return digest
    raise NotIdentifiable(str(path), "file", "it changes while it is read", "wait until it is written, or copy it")


def _digest_of(file: IO[bytes]) -> bytes:
    if os.fstat(file.fileno()).st_size == 0:
        return tree_digest(file.read())
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return tree_digest(content)


def _stamp(path: Path, status: os.stat_result) -> tuple[str, int, int, int, int]:
    return os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _is_executable(path: Path) -> bytes:
    return b"x" if path.stat().st_mode & stat.S_IXUSR else b""


@by_digest
def _file(walker: Walker, value: File) -> None:
    if not value.path.is_file():
        raise walker.refusal(value, f"there is no file {value.path}", "give the path of a file (gpucache.Dir for a directory)")
    walker.tag(b"L", _is_executable(value.path), file_digest(value.path))


@by_digest
def _dir(walker: Walker, value: Dir) -> None:
    if not value.path.is_dir():
        raise walker.refusal(value, f"there is no directory {value.path}", "give the path of a directory")
    entries = list(value.files())
    walker.tag(b"J", str(len(entries)).encode())
    for name, path in entries:
        if path.is_symlink():
            walker.tag(b"j", name.encode("utf-8", "surrogateescape"), b"", os.fsencode(os.readlink(path)))
        elif path.is_file():
            walker.tag(b"l", name.encode("utf-8", "surrogateescape"), _is_executable(path), file_digest(path))
        else:
            raise walker.refusal(value, f"{path} is neither a file nor a directory", "leave it out")


add_encoder(File, _file)
add_encoder(Dir, _dir)
