"""Which files are named by a call's arguments and by the code that it reaches: native code may open them unseen.

A text names a file if there is one; so does a text below a directory that another text names (`DATA / "raw" / "x.parquet"`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from gpucache.digests import File
from gpucache.fingerprint.path_texts import LONGEST

_TEXTS_AT_MOST = 1000
_LOOKS_AT_MOST = 2000  # about 1 µs each, when a body runs
_DIRECTORIES_AT_MOST = 32
_SOURCE = (".py", ".pyc", ".pyi", ".so")
"""Code counts by what it does."""


def files_named(arguments: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Files that are there, named by arguments alone, or by texts alone or below one another."""
    found = dict.fromkeys(text for text in arguments if _looks_like_a_path(text) and os.path.isfile(text))
    names = list(dict.fromkeys(texts))
    directories = [""]
    looks = 0
    for directory in directories:
        for text in names:
            looks += 1
            if looks > _LOOKS_AT_MOST:
                return list(found)
            if text.startswith((".", os.sep)) and directory:
                continue
            path = os.path.join(directory, text)
            if _has_suffix(text) and os.path.isfile(path):
                found[path] = None
            elif text not in (".", "..") and len(directories) < _DIRECTORIES_AT_MOST and os.path.isdir(path):
                directories.append(path)
    return list(found)


def database_files(name: str) -> Iterator[str]:
    """The files of the database that sqlite3.connect() opens: its own, and what was not brought into that yet."""
    path = unquote(name[5:].partition("?")[0]) if name.startswith("file:") else name
    path = path.removeprefix("//localhost").removeprefix("//")
    yield path
    yield from (path + suffix for suffix in ("-wal", "-journal") if os.path.isfile(path + suffix))


def texts_in(values: Iterable[object]) -> list[str]:
    """Texts and paths among values and within their builtin containers; files given as gpucache.File are content already."""
    found: dict[str, None] = {}
    for value in _flat(values, 3):
        text = text_of(value)
        if text and not isinstance(value, File):
            found[text] = None
        if len(found) >= _TEXTS_AT_MOST:
            break
    return list(found)


def given_files(values: Iterable[object]) -> frozenset[str]:
    """Paths of the files and directories that are given as content."""
    return frozenset(os.path.abspath(value.path) for value in _flat(values, 8) if isinstance(value, File))


def text_of(value: object) -> str | None:
    """A text, or a path as one; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | os.PathLike):
        try:
            return os.fsdecode(value)
        except (TypeError, ValueError, UnicodeError):
            return None
    return None


def is_source(path: str) -> bool:
    """Whether this is a file of code, by its name."""
    return path.endswith(_SOURCE)


def _flat(values: Iterable[object], depth: int) -> Iterator[object]:
    for value in values:
        if type(value) in (list, tuple, set, frozenset) and depth:
            yield from _flat(value, depth - 1)  # type: ignore[arg-type]  # a container, by its type
        elif type(value) is dict and depth:
            yield from _flat(value.values(), depth - 1)
        else:
            yield value


def _looks_like_a_path(text: str) -> bool:
    return len(text) <= 16 * LONGEST and text.isprintable() and (os.sep in text or _has_suffix(text))


def _has_suffix(text: str) -> bool:
    return 1 < len(os.path.splitext(text)[1]) <= 12 and not is_source(text)
