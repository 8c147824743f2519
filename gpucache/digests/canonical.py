"""The canonical encoding of a value: bytes that are equal exactly where values are the same.

Every token starts with a tag and carries its length or has a fixed one, so no two values share an encoding by running into each
other. Pickle is never the encoding: equal values pickle differently (memo, interning, order). Objects of other classes are taken
apart by __reduce_ex__ and their parts are walked: class, arguments, state by attribute name (of_objects.py).

This is the oracle, and the way for everything but built-in types: `_canonical.pyx` writes the same bytes for those, faster, and
comes back here for the rest. Tags: N T F i f c s b B t l d S Z are built-in types (of_builtins.py); D a value known by its
digest; R a registered class; Y code, as `symbols` tells it; O V G g M m objects and names (of_objects.py); X, with a name, all others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

from gpucache.digests import of_objects
from gpucache.digests._kernel import tree_digest
from gpucache.digests.encoders import Encoder, encoder_of, is_by_digest, registered
from gpucache.digests.known import note_view, remembered
from gpucache.digests.of_builtins import CONTAINERS, SCALARS
from gpucache.errors import NotIdentifiable

MAX_DEPTH = 250
"""Levels of nesting. A level of objects takes up to six of Python's 1000 frames, so those may be refused earlier."""

_MOST_STEPS = 20
"""Of a path in an error's text."""

_length = struct.Struct("<Q").pack


class Symbols(Protocol):
    """Who knows the identity of code: functions, classes, modules, tasks.

    One with an attribute `kinds`, a set, gets there the classes of all that is met and is not of a built-in type.
    """

    def token(self, obj: object) -> bytes | None:
        """The identity of a piece of code; None if obj is none, or not one that it answers for."""


Native = Callable[[object, Symbols | None, int], bytes]
"""Encodes a value of a built-in type: (value, symbols, depth at which it lies)."""


class Walker:
    """One encoding in the making.

    Attributes:
        out: What was written so far.
        depth: How many values are open.
        path: How to get to the current value: texts, or (key,) for an item.
    """

    __slots__ = ("_kinds", "_native", "_open", "depth", "out", "path", "symbols")

    def __init__(
        self, symbols: Symbols | None = None, name: str = "", native: Native | None = None, depth: int = 0
    ) -> None:
        self.symbols = symbols
        self.out = bytearray()
        self.path: list[Any] = [name]
        self.depth = depth
        self._kinds: set[type] | None = getattr(symbols, "kinds", None)
        self._native = native
        self._open: set[int] = set()

    def value(self, value: object) -> None:
        """Append the encoding of one value."""
        kind = type(value)
        is_builtin = kind in SCALARS or kind in CONTAINERS
        if is_builtin and self._native is not None:
            self.out += self._native(value, self.symbols, self.depth)
        elif kind in SCALARS:
            SCALARS[kind](self.out, value)
        else:
            self._guarded(kind, value)

    def child(self, step: object, value: object) -> None:
        """Append a part of the current value; `step` leads to it in an error's path: a text, or (key,) for an item."""
        self.path.append(step)
        self.value(value)
        self.path.pop()

    def tag(self, tag: bytes, *fields: bytes) -> None:
        """Append a tag and length-prefixed fields. A tag always has the same number of fields."""
        self.out += tag
        for field in fields:
            self.out += _length(len(field))
            self.out += field

    def begin(self, name: bytes, value: object, base: type | None = None) -> None:
        """Begin a value that has an encoder of its own: its name, and where it is of a subclass, which, and its attributes."""
        self.tag(b"X", name)
        kind = type(value)
        if base is None or kind is base:
            self.out += b"="
        else:
            self.tag(b"<", self.class_token(kind))
            of_objects.state(self, _attributes(value))

    def class_token(self, cls: type) -> bytes:
        """The identity of a class: what `symbols` says, else its name, which must lead to it."""
        token = self.code_token(cls)
        return b"=" + token if token is not None else b"." + of_objects.name_of(self, cls)

    def code_token(self, value: object) -> bytes | None:
        """What `symbols` says of a value; None if it is no code. A refusal of what the code reads says where the code lies."""
        if self.symbols is None:
            return None
        try:
            return self.symbols.token(value)
        except NotIdentifiable as refusal:
            way = self.path_text()
            if not way or refusal.path.startswith(way):
                raise
            raise NotIdentifiable(
                f"{way} -> {refusal.path}", refusal.type_name, refusal.why, refusal.remedy
            ) from refusal

    def refusal(self, value: object, why: str, remedy: str) -> NotIdentifiable:
        """The error for a value that has no identity."""
        kind = type(value)
        return NotIdentifiable(self.path_text(), f"{kind.__module__}.{kind.__qualname__}", why, remedy)

    def path_text(self) -> str:
        """How to get to the current value, as one would write it in Python; of a long way, its beginning and its end."""
        # From a pair of key and value, the next step is to one of the two; nobody would write it.
        whole = [
            step for step, last in zip(self.path, ("", *self.path), strict=False) if last[1:] != (of_objects.PAIR,)
        ]
        steps = [step if isinstance(step, str) else f"[{_brief(step[0])}]" for step in whole]
        if len(steps) > _MOST_STEPS:
            steps[_MOST_STEPS // 2 : -_MOST_STEPS // 2] = ["..."]
        return "".join(steps)

    def _guarded(self, kind: type, value: object) -> None:
        if id(value) in self._open:
            raise self.refusal(value, "it contains itself", "pass a value without cycles, or register its type")
        if self.depth >= MAX_DEPTH:
            raise self.refusal(value, f"it lies deeper than {MAX_DEPTH} levels", "flatten it, or register its type")
        self._open.add(id(value))
        self.depth += 1
        if kind in CONTAINERS:
            CONTAINERS[kind](self, value)
        else:
            self._other(kind, value)
        self.depth -= 1
        self._open.discard(id(value))

    def _other(self, kind: type, value: Any) -> None:
        if self._kinds is not None:
            self._kinds.add(kind)
        parts = registered(kind)
        if parts is not None:
            self.tag(b"R", self.class_token(kind))
            self.child("", parts(value))
            return
        encoder = encoder_of(kind)
        if encoder is None:
            of_objects.encode_object(self, value)
        elif self.depth > 1 and is_by_digest(encoder):
            self._digested(encoder, value)
        else:
            encoder(self, value)

    def _digested(self, encoder: Encoder, value: Any) -> None:
        """Append a value as its digest: what value_digest() gives for it alone."""
        digest = remembered(value)
        if digest is None:
            outer, self.out = self.out, bytearray()
            encoder(self, value)
            digest = tree_digest(self.out)
            self.out = outer
            note_view(value, digest)
        self.out += b"D" + digest


def encode(value: object, *, symbols: Symbols | None = None, name: str = "") -> bytes:
    """The canonical encoding of a value, in Python alone.

    Raises:
        NotIdentifiable: It, or something within it, has no identity; the error's path starts with `name`.
    """
    walker = Walker(symbols, name)
    try:
        walker.value(value)
    except RecursionError:
        why = "it is nested too deeply for Python's stack"
        raise walker.refusal(value, why, "flatten it, or register its type") from None
    return bytes(walker.out)


def value_digest(value: object, *, symbols: Symbols | None = None, name: str = "") -> bytes:
    """The identity of a value, in Python alone: 16 bytes. A value out of the store is not hashed again."""
    known = remembered(value)
    return tree_digest(encode(value, symbols=symbols, name=name)) if known is None else known


def encode_other(value: object, symbols: Symbols | None, depth: int, native: Native) -> bytes:
    """What the kernel in Cython appends for a value that is not of a built-in type and lies at this depth."""
    walker = Walker(symbols, "", native, depth)
    walker.value(value)
    return bytes(walker.out)


def _attributes(value: object) -> object:
    """What an instance of a subclass has beside its base: its __dict__ and slots; None where there is nothing."""
    found = object.__getstate__(value)
    return found or None


def _brief(key: object) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001  # a user's __repr__ may do anything; the error that is being made is the one to raise
        return f"<{type(key).__qualname__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."
