"""Files and directories as results: their content is stored, and they come back as paths to it, read-only."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from gpucache.codec.kinds import Encoded, FilePart
from gpucache.digests import Dir, File
from gpucache.errors import NotStorable

NAME = "file"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file of a directory, or the file itself: its relative name, its part, or where it points as a link."""

    name: str
    part: int
    executable: bool
    link: str | None = None


class FileForm(msgspec.Struct, frozen=True, array_like=True):
    """A file or a directory without its content."""

    is_dir: bool
    name: str
    entries: tuple[Entry, ...]


_encode = msgspec.msgpack.Encoder().encode
decode_form = msgspec.msgpack.Decoder(FileForm).decode


def encode(value: File) -> Encoded:
    """A File or a Dir.

    Raises:
        NotStorable: There is no such file.
    """
    if isinstance(value, Dir):
        return _encode_dir(value)
    if not value.path.is_file():
        raise NotStorable("gpucache.File", f"there is no file {value.path}", "write it before you return it")
    entry = Entry(value.path.name, 0, _is_executable(value.path))
    return Encoded(NAME, _encode(FileForm(False, value.path.name, (entry,))), (FilePart(value.path),))


def _encode_dir(value: Dir) -> Encoded:
    if not value.path.is_dir():
        raise NotStorable("gpucache.Dir", f"there is no directory {value.path}", "make it before you return it")
    entries: list[Entry] = []
    parts: list[Any] = []
    for name, path in value.files():
        if path.is_symlink():
            entries.append(Entry(name, -1, False, os.readlink(path)))
        else:
            entries.append(Entry(name, len(parts), _is_executable(path)))
            parts.append(FilePart(path))
    return Encoded(NAME, _encode(FileForm(True, value.path.name, tuple(entries))), tuple(parts))


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)
