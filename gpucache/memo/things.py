"""What a call may read beside its arguments: a file by its path, a directory's listing, an environment variable.

A thing has a name that means the same tomorrow, in another process and in a project that was moved: a path below the
project's root is kept from there, a relative one as the task gave it, and read from the current directory, as the task would.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from gpucache.digests import combine, file_digest
from gpucache.errors import NotIdentifiable

What = Literal["file", "listing", "variable"]

PROJECT = "{project}"
"""Stands for the project's root at the beginning of a path."""

ABSENT = combine(b"absent")
UNREADABLE = combine(b"unreadable")


class Thing(NamedTuple):
    """One thing that a call read. `name` is a path as named_path() gives it, or a variable's name."""

    what: What
    name: str

    @property
    def component(self) -> str:
        """Its name among the parts of a key."""
        return f"{self.what}:{self.name}"


def thing_of(component: str) -> Thing | None:
    """The thing that a component of a key's parts is, or None if it is none."""
    what, _, name = component.partition(":")
    match what:
        case "file" | "listing" | "variable":
            return Thing(what, name)
    return None


def named_path(path: str, root: str) -> str:
    """A path's name: from the project's root on where it lies there, else as it is."""
    if root and path.startswith(root + os.sep):
        return PROJECT + path[len(root) :]
    return path


def path_of(name: str, root: str) -> str:
    """The path that a name stands for now."""
    return root + name[len(PROJECT) :] if name.startswith(PROJECT) else name


def content(thing: Thing, root: str) -> bytes:
    """What a thing holds now, as 16 bytes. A file that is not there, or can't be read, holds that."""
    if thing.what == "variable":
        value = os.environ.get(thing.name)
        return ABSENT if value is None else combine(b"variable", os.fsencode(value))
    path = path_of(thing.name, root)
    try:
        if thing.what == "listing":
            return combine(b"listing", *(os.fsencode(name) for name in sorted(os.listdir(path))))
        return file_digest(Path(path)) if stat.S_ISREG(os.stat(path).st_mode) else UNREADABLE  # a pipe would block
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except (OSError, NotIdentifiable):
        return UNREADABLE


def contents(things: Iterable[Thing], root: str) -> dict[Thing, bytes]:
    """What each holds now, in the order of their names."""
    return {thing: content(thing, root) for thing in sorted(set(things))}
