"""Files and directories as results: their content is stored, and they come back as paths to it, read-only.

Laying out and describing them is here; making them again needs a place on a disk, which the store has (decode_form says what to
make). A description is checked as it is read: no name leads out of the directory, none lies below a link or a file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from gpucache.codec.kinds import Encoded, FilePart, type_name
from gpucache.digests import Dir, File
from gpucache.errors import NotStorable, RecordCorrupt

NAME = "file"
NO_PART = -1  # in an Entry that is a link, or a directory without anything in it


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file of a directory, or the file itself: its relative name, its part, or where it points as a link.

    A directory has an entry if nothing is in it; the others follow from their files' names. Names that are not UTF-8 hold
    surrogates, as everywhere in Python's os.
    """

    name: str
    part: int
    executable: bool
    link: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory without anything in it."""
        return self.link is None and self.part == NO_PART


class FileForm(msgspec.Struct, frozen=True, array_like=True):
    """A file or a directory without its content."""

    is_dir: bool
    name: str
    entries: tuple[Entry, ...]


class _StoredEntry(msgspec.Struct, frozen=True, array_like=True):
    """An Entry with its names as the bytes that the file system has."""

    name: bytes
    part: int
    executable: bool
    link: bytes | None


class _StoredForm(msgspec.Struct, frozen=True, array_like=True):
    is_dir: bool
    name: bytes
    entries: tuple[_StoredEntry, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_StoredForm).decode


def encode(value: File) -> Encoded:
    """A File or a Dir.

    Raises:
        NotStorable: There is no such file, or the directory holds something that is neither file, link nor directory.
    """
    if type(value) is Dir:
        return _encode_dir(value)
    if type(value) is not File:
        raise NotStorable(type_name(value), "it is a subclass of gpucache.File", "return a plain gpucache.File or Dir")
    if not value.path.is_file():
        raise NotStorable("gpucache.File", f"there is no file {value.path}", "write it before you return it")
    name = os.fsencode(value.path.name)
    entry = _StoredEntry(name, 0, _is_executable(value.path), None)
    return Encoded(NAME, _encode(_StoredForm(False, name, (entry,))), (FilePart(value.path),))


def _encode_dir(value: Dir) -> Encoded:
    if not value.path.is_dir():
        raise NotStorable("gpucache.Dir", f"there is no directory {value.path}", "make it before you return it")
    entries: list[_StoredEntry] = []
    parts: list[FilePart] = []
    for relative, path in value.entries():
        name = os.fsencode(relative)
        if path.is_symlink():
            entries.append(_StoredEntry(name, NO_PART, False, os.fsencode(os.readlink(path))))
        elif path.is_file():
            entries.append(_StoredEntry(name, len(parts), _is_executable(path), None))
            parts.append(FilePart(path))
        elif path.is_dir():
            if not os.listdir(path):
                entries.append(_StoredEntry(name, NO_PART, False, None))
        else:
            raise NotStorable("gpucache.Dir", f"{path} is neither a file nor a link", "leave it out of the directory")
    top = os.fsencode(value.path.name or value.path.resolve().name)
    return Encoded(NAME, _encode(_StoredForm(True, top, tuple(entries))), tuple(parts))


def decode_form(meta: bytes) -> FileForm:
    """What to make: each entry's name is relative and stays within; its part, if it is a file, is a number from 0.

    Raises:
        RecordCorrupt: Not what encode() wrote, or names that would lead elsewhere.
    """
    try:
        form = _decode(meta)
    except (ValueError, RecursionError) as problem:  # msgspec's own, and text that is not UTF-8
        raise RecordCorrupt(NAME, str(problem)) from problem
    _check(form)
    entries = (
        Entry(
            os.fsdecode(entry.name),
            entry.part,
            entry.executable,
            None if entry.link is None else os.fsdecode(entry.link),
        )
        for entry in form.entries
    )
    return FileForm(form.is_dir, os.fsdecode(form.name), tuple(entries))


def _check(form: _StoredForm) -> None:
    """Refuse what could be made only outside the directory, or over another entry."""
    if b"/" in form.name or b"\0" in form.name or form.name == b"..":
        raise RecordCorrupt(NAME, f"{form.name!r} is no name of a file")
    if not form.is_dir and (len(form.entries) != 1 or form.entries[0].part < 0):
        raise RecordCorrupt(NAME, "a file has one content")
    names = {entry.name for entry in form.entries}
    if len(names) != len(form.entries):
        raise RecordCorrupt(NAME, "two entries have one name")
    for entry in form.entries:
        if not _stays_within(entry.name, names):
            raise RecordCorrupt(NAME, f"{entry.name!r} does not stay within the directory")
        is_link = entry.link is not None
        if entry.part < NO_PART or (is_link and entry.part >= 0) or b"\0" in (entry.link or b"") or entry.link == b"":
            raise RecordCorrupt(NAME, f"{entry.name!r} is neither a file, a link nor a directory")


def _stays_within(name: bytes, names: set[bytes]) -> bool:
    """Whether a name is relative, in normal form, and below no other entry (a link there could lead anywhere)."""
    steps = name.split(b"/")
    if any(step in (b"", b".", b"..") or b"\0" in step for step in steps):
        return False
    return not any(b"/".join(steps[:count]) in names for count in range(1, len(steps)))


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)
