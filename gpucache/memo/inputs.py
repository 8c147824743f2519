"""What a body read beside its arguments: files, directories' entries, environment variables, code that only data names.

The key K of a call says nothing of them, since what a body reads is known only after it ran. So the record of a body that read
something lies under a second key, made of K and the content of what was read; and under K lies a list of what such bodies read.
A hit needs one of these lists whose contents are, now, what a record was made with. A -> B -> A finds the first record again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from gpucache.digests import combine, file_digest, is_settled, stamp_of
from gpucache.errors import GpuCacheError, StoreUnusable
from gpucache.events import Degraded, hooks
from gpucache.fingerprint import Project, texts_from
from gpucache.memo.key import Parts
from gpucache.memo.questions import ASKED, ask
from gpucache.memo.variables import ALL, names_now, value_of
from gpucache.store import Record, Store

TABLE = "inputs"  # store/remote/receiving.py knows it, too, and the first four fields of an Input
KINDS = ("file", "listing", "module", "variable", *ASKED)
LISTS_AT_MOST = 16
"""Kept for one key: a body that reads another set of files each time would fill the store with them."""

PROJECT = "{project}/"
"""Begins the name of what lies in the project's directory: a moved project reads the same files."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|DSN|PRIVATE", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@")
"""In an address, as databases have it."""


class Input(msgspec.Struct, frozen=True, array_like=True):
    """Something that a body read.

    Attributes:
        kind: "file", "listing" (a directory's names), "module" (code that only data names, by its file), "variable", or one of ASKED
            (questions.py).
        name: A path, below PROJECT or as the body gave it; a variable's name.
        digest: Of its content as it was read.
        shown: The content for people.
        stamp: Size, times and inode of a file whose content can't change without changing them; None: read it again.
    """

    kind: str
    name: str
    digest: bytes
    shown: str
    stamp: tuple[int, int, int, int] | None = None


_project = Project()
_stat = os.stat  # as it is before anyone listens (asking.py)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[Input]]).decode


def look_at(kind: str, name: str, root: str) -> Input:
    """An input as it is now. What is not there, or can't be read, is an input as well: it may be there later."""
    if kind == "variable":
        return _variable(name)
    path = path_of(name, root)
    try:
        if kind in ASKED:
            return Input(kind, name, *ask(kind, path))
        if kind == "module":
            shown = f"{os.path.basename(path)}, or what it imports,"
            return Input(kind, name, combine(b"module", texts_from(path, _project).digest), shown)
        return _listing(name, path) if kind == "listing" else _file(name, path)
    except (OSError, GpuCacheError, ValueError) as problem:
        return Input(
            kind, name, combine(b"missing"), "missing" if isinstance(problem, FileNotFoundError) else "unreadable"
        )


def name_of(path: str, root: str) -> str:
    """The name of a path as an input."""
    plain = os.path.normpath(path)
    return PROJECT + plain[len(root) + 1 :] if root and plain.startswith(root + os.sep) else plain


def path_of(name: str, root: str) -> str:
    """The path that an input's name means here."""
    return os.path.join(root, name[len(PROJECT) :]) if name.startswith(PROJECT) else name


def key_with(key: bytes, inputs: Iterable[Input]) -> bytes:
    """The key of a record whose body read these."""
    parts = sorted(combine(one.kind.encode(), os.fsencode(one.name), one.digest) for one in inputs)
    return combine(b"inputs", key, *parts)


def lookup(store: Store, key: bytes, root: str = "") -> Record | None:
    """The record of a call: one that read nothing beside its arguments, or one whose inputs are now what they were.

    A store that can't be read just now (a failing disk) has none, and says so: the call runs.

    Args:
        root: The project's directory.
    """
    try:
        return _lookup(store, key, root)
    except StoreUnusable as problem:
        hooks.emit(Degraded("a result is not looked for", str(problem)))
        return None


def _lookup(store: Store, key: bytes, root: str) -> Record | None:
    record = store.lookup(key)
    if record is not None:
        return record
    for now in lists_now(store, key, root):
        record = store.lookup(key_with(key, now))
        if record is not None:
            return record
    return None


def lists_now(store: Store, key: bytes, root: str) -> Iterator[list[Input]]:
    """What bodies of this key read, newest first, each input as it is now."""
    seen: dict[tuple[str, str], Input] = {}
    for known in _lists(store, key):
        now = []
        for one in known:
            place = one.kind, one.name
            if place not in seen:
                seen[place] = one if _is_untouched(one, root) else look_at(*place, root)
            now.append(seen[place])
        yield now


def remember(store: Store, key: bytes, inputs: Iterable[Input]) -> bytes:
    """Note under a call's key what its body read; return the key for its record."""
    fresh = sorted(inputs, key=lambda one: (one.kind, one.name))
    names = _names(fresh)
    others = [known for known in _lists(store, key) if _names(known) != names]
    store.table_put(TABLE, key, _encode([fresh, *others][:LISTS_AT_MOST]))
    if store.is_shared:
        store.to_send(key)
    return key_with(key, fresh)


def forget(store: Store, key: bytes, root: str) -> bool:
    """Drop a call's record, and what its bodies read; whether there was one."""
    found = [store.forget(key_with(key, now)) for now in lists_now(store, key, root)]
    found += [store.table_delete(TABLE, key), store.forget(key)]
    return any(found)


def parts_of_inputs(inputs: Iterable[Input]) -> dict[str, tuple[bytes, str]]:
    """Inputs as components of a record's parts."""
    return {f"{one.kind}:{one.name}": (one.digest, one.shown) for one in inputs}


def inputs_of_parts(parts: Parts) -> list[Input]:
    """The inputs among a record's parts, as they were read."""
    found = []
    for component, (digest, shown) in parts.items():
        kind, _, name = component.partition(":")
        if kind in KINDS:
            found.append(Input(kind, name, digest, shown))
    return found


def without_inputs(parts: Parts) -> Mapping[str, tuple[bytes, str]]:
    """Parts without those of inputs."""
    return {name: part for name, part in parts.items() if name.partition(":")[0] not in KINDS}


def _lists(store: Store, key: bytes) -> list[list[Input]]:
    row = store.table_get(TABLE, key)
    try:
        return [] if row is None else _decode(row)
    except msgspec.MsgspecError:
        return []


def _names(inputs: Iterable[Input]) -> set[tuple[str, str]]:
    return {(one.kind, one.name) for one in inputs}


def _is_untouched(one: Input, root: str) -> bool:
    if one.stamp is None:
        return False
    try:
        return stamp_of(_stat(path_of(one.name, root))) == one.stamp
    except OSError:
        return False


def _variable(name: str) -> Input:
    if name == ALL:
        names = names_now()
        return Input("variable", name, combine(b"names", *map(os.fsencode, names)), " ".join(names))
    value = value_of(name)
    if value is None:
        return Input("variable", name, combine(b"unset"), "unset")
    shown = "<not shown>" if _SECRET.search(name) or _PASSWORD.search(value) else repr(value)
    return Input("variable", name, combine(b"value", os.fsencode(value)), shown)


def _file(name: str, path: str) -> Input:
    status = _stat(path)
    if stat.S_ISDIR(status.st_mode):
        return _listing(name, path)
    stamp = stamp_of(status) if is_settled(status) else None
    return Input("file", name, combine(b"content", file_digest(Path(path))), f"{status.st_size:,} bytes", stamp)


def _listing(name: str, path: str) -> Input:
    with os.scandir(path) as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in entries)
    fields = [os.fsencode(entry) + (b"/" if is_dir else b"") for entry, is_dir in names]
    return Input("listing", name, combine(b"names", *fields), f"{len(names):,} entries")
