"""The canonical encoding of a value: bytes that are equal exactly where values are the same.

Every token starts with a one-byte tag and carries its length or has a fixed one, so no two values share an encoding by
running into each other. Pickle is never the encoding: equal values pickle differently (memo, interning, order). Objects of
other classes are taken apart by __reduce_ex__ and their parts are walked: class, arguments, state by attribute name.

This is the oracle: `_canonical.pyx` writes the same bytes for the built-in types, faster, and comes back here for the rest.
"""

from __future__ import annotations

import copyreg
import pickle
import struct
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gpucache.digests._kernel import tree_digest
from gpucache.digests.known import remembered
from gpucache.errors import NotIdentifiable

MAX_DEPTH = 200
"""Levels of nesting: far below where Python's own recursion limit would turn an answer into a crash."""

PICKLE_PROTOCOL = 4
"""For __reduce_ex__: fixed, so that an encoding does not change with Python's default."""


class Symbols(Protocol):
    """Who knows the identity of code: functions, classes, modules, tasks."""

    def token(self, obj: object) -> bytes | None:
        """The identity of a piece of code; None if obj is none, or not one that it answers for."""


Encoder = Callable[["Walker", Any], None]
_encoders: dict[type, Encoder] = {}
_registered: dict[type, Callable[[Any], object]] = {}
_lazy: dict[str, str] = {
    "numpy": "gpucache.digests.of_numpy",
    "torch": "gpucache.digests.of_torch",
    "pandas": "gpucache.digests.of_pandas",
    "pyarrow": "gpucache.digests.of_arrow",
    "scipy": "gpucache.digests.of_scipy",
}
_loaded: set[str] = set()


def register_type(cls: type) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    """Say what identifies a value of a class of your own: `@register_type(Mesh) def parts(mesh): return mesh.vertices`.

    The function returns a value that is identifiable itself; the class's name and code count beside it. Subclasses need
    their own.
    """

    def register(parts: Callable[[Any], object]) -> Callable[[Any], object]:
        _registered[cls] = parts
        return parts

    return register


class Walker:
    """One encoding in the making."""

    __slots__ = ("_open", "depth", "out", "path", "symbols")

    def __init__(self, symbols: Symbols | None = None, name: str = "") -> None:
        self.symbols = symbols
        self.out = bytearray()
        self.path: list[Any] = [name]
        self.depth = 0
        self._open: set[int] = set()

    def value(self, value: object) -> None:
        """Append the encoding of one value."""
        kind = type(value)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            scalar(self.out, value)
            return
        if self.depth >= MAX_DEPTH:
            raise self.refusal(value, f"it lies deeper than {MAX_DEPTH} levels", "flatten it, or register its type")
        if id(value) in self._open:
            raise self.refusal(value, "it contains itself", "pass a value without cycles, or register its type")
        self._open.add(id(value))
        self.depth += 1
        try:
            self._structure(kind, value)
        finally:
            self.depth -= 1
            self._open.discard(id(value))

    def child(self, step: object, value: object) -> None:
        """Append a part of the current value; `step` leads to it in an error's path: a text, or (key,) for an item."""
        self.path.append(step)
        self.value(value)
        self.path.pop()

    def tag(self, tag: bytes, *fields: bytes) -> None:
        """Append a tag and length-prefixed fields."""
        self.out += tag
        for field in fields:
            self.out += struct.pack("<Q", len(field))
            self.out += field

    def nested_digest(self, digest: bytes) -> None:
        """Append a value that is known by its digest alone."""
        self.out += b"D"
        self.out += digest

    def refusal(self, value: object, why: str, remedy: str) -> NotIdentifiable:
        """The error for a value that has no identity."""
        kind = type(value)
        return NotIdentifiable(self.path_text(), f"{kind.__module__}.{kind.__qualname__}", why, remedy)

    def path_text(self) -> str:
        """How to get to the current value, as one would write it in Python."""
        return "".join(step if isinstance(step, str) else f"[{_brief(step[0])}]" for step in self.path)

    def class_token(self, cls: type) -> bytes:
        """The identity of a class: what `symbols` says, else its name."""
        token = None if self.symbols is None else self.symbols.token(cls)
        return b"=" + token if token is not None else f"{cls.__module__}.{cls.__qualname__}".encode()

    def _structure(self, kind: type, value: Any) -> None:
        container = _CONTAINERS.get(kind)
        if container is not None:
            container(self, value)
            return
        encoder = encoder_of(kind)
        if encoder is None:
            self._object(value)
        elif self.depth > 1 and encoder in _BY_DIGEST:
            known = remembered(value)
            self.nested_digest(value_digest(value, symbols=self.symbols, name=self.path_text()) if known is None else known)
        else:
            encoder(self, value)

    def _object(self, value: Any) -> None:
        kind = type(value)
        parts = _registered.get(kind)
        if parts is not None:
            self.tag(b"R", self.class_token(kind))
            self.child("", parts(value))
            return
        token = None if self.symbols is None else self.symbols.token(value)
        if token is not None:
            self.tag(b"Y", token)
        elif isinstance(value, type | types.FunctionType | types.ModuleType | types.BuiltinFunctionType):
            self._by_name(value)
        else:
            self._reduced(value)

    def _by_name(self, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self.tag(b"M", value.__name__.encode())
            return
        owner = getattr(value, "__self__", None)
        if isinstance(value, types.BuiltinFunctionType) and not isinstance(owner, types.ModuleType | None):
            self.tag(b"m", value.__name__.encode())
            self.child(".__self__", owner)
            return
        module, qualname = value.__module__ or "builtins", value.__qualname__
        if not isinstance(value, type) and ("<" in qualname or module == "__main__"):
            raise self.refusal(value, "it is a function without a name of its own", "pass it to a task, or name its parts")
        self.tag(b"G", module.encode(), qualname.encode())

    def _reduced(self, value: Any) -> None:
        try:
            reducer = copyreg.dispatch_table.get(type(value))
            reduced: Any = value.__reduce_ex__(PICKLE_PROTOCOL) if reducer is None else reducer(value)
        except Exception as refusal:
            raise self.refusal(
                value, str(refusal) or type(refusal).__name__, "pass what it is made from, or register its type"
            ) from refusal
        if isinstance(reduced, str):
            module = getattr(value, "__module__", None) or pickle.whichmodule(value, reduced)  # type: ignore[attr-defined]
            self.tag(b"g", str(module).encode(), reduced.encode())
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        self.tag(b"O", self.class_token(type(value)))
        self.child("", make)
        self.child("", tuple(arguments))
        self._state(state)
        self._stream(b"I", items)
        self._stream(b"P", pairs)

    def _state(self, state: object) -> None:
        """Attributes by name: the order in which they were set is not part of what an object is."""
        if type(state) is dict and all(type(name) is str for name in state):
            self.out += b"{" + struct.pack("<Q", len(state))
            for name in sorted(state):
                self.tag(b"k", name.encode("utf-8", "surrogatepass"))
                self.child(f".{name}", state[name])
        elif type(state) is tuple and len(state) == 2 and type(state[1]) is dict:
            self.out += b"2"
            self._state(state[0])
            self._state(state[1])
        else:
            self.out += b"("
            self.child("", state)

    def _stream(self, tag: bytes, items: Iterable[Any] | None) -> None:
        listed = [] if items is None else list(items)
        self.out += tag + struct.pack("<Q", len(listed))
        for index, item in enumerate(listed):
            self.child((index,), item)


def encode(value: object, *, symbols: Symbols | None = None, name: str = "") -> bytes:
    """The canonical encoding of a value, in Python: the oracle.

    Raises:
        NotIdentifiable: It, or something within it, has no identity; the error's path starts with `name`.
    """
    walker = Walker(symbols, name)
    try:
        walker.value(value)
    except RecursionError:
        raise walker.refusal(value, "it is nested too deeply for Python's stack", "flatten it") from None
    return bytes(walker.out)


def value_digest(value: object, *, symbols: Symbols | None = None, name: str = "") -> bytes:
    """The identity of a value: 16 bytes. A value out of the store is not hashed again."""
    known = remembered(value)
    return tree_digest(encode(value, symbols=symbols, name=name)) if known is None else known


def encoder_of(kind: type) -> Encoder | None:
    """The encoder of a library's class, looked for along its bases; None: the class is taken apart by its own reduce."""
    found = _encoders.get(kind)
    if found is None and kind not in _registered:
        for base in kind.__mro__:
            library = base.__module__.partition(".")[0]
            if library in _lazy and library not in _loaded and library in sys.modules:
                _loaded.add(library)
                _encoders.update(__import__(_lazy[library], fromlist=["encoders"]).encoders())
                return encoder_of(kind)
    return found


def by_digest(encoder: Encoder) -> Encoder:
    """Mark an encoder whose values stand within containers by their digest alone (so that a known one is not walked)."""
    _BY_DIGEST.add(encoder)
    return encoder


def add_encoder(kind: type, encoder: Encoder) -> None:
    """Let values of exactly this class be encoded so."""
    _encoders[kind] = encoder


_BY_DIGEST: set[Encoder] = set()


def _brief(key: object) -> str:
    try:
        return repr(key)[:80]
    except Exception:  # a user's __repr__ may do anything; the error that is being made is the one to raise
        return f"<{type(key).__qualname__}>"


def _int(out: bytearray, value: int) -> None:
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    out += b"i" + struct.pack("<Q", len(raw)) + raw


def _str(out: bytearray, value: str) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    out += b"s" + struct.pack("<Q", len(raw)) + raw


def _bytes(out: bytearray, value: bytes) -> None:
    out += b"b" + struct.pack("<Q", len(value)) + value


def _bool(out: bytearray, value: bool) -> None:  # noqa: FBT001  # the value that is encoded, not a switch
    out += b"T" if value else b"F"


def _float(out: bytearray, value: float) -> None:
    out += b"f" + struct.pack("<d", value)


def _complex(out: bytearray, value: complex) -> None:
    out += b"c" + struct.pack("<dd", value.real, value.imag)


def _nothing(out: bytearray, _: object) -> None:
    out += b"N"


def _bytearray(out: bytearray, value: bytearray) -> None:
    out += b"B" + struct.pack("<Q", len(value)) + value


def _sequence(tag: bytes) -> Encoder:
    def encode_sequence(walker: Walker, value: Any) -> None:
        walker.out += tag + struct.pack("<Q", len(value))
        for index, item in enumerate(value):
            walker.child((index,), item)

    return encode_sequence


def _dict(walker: Walker, value: dict[Any, Any]) -> None:
    walker.out += b"d" + struct.pack("<Q", len(value))
    for key, item in value.items():
        walker.child((key,), key)
        walker.child((key,), item)


def _set(tag: bytes) -> Encoder:
    def encode_set(walker: Walker, value: Any) -> None:
        outer, items = walker.out, []
        for item in value:
            walker.out = bytearray()
            walker.child("{...}", item)
            items.append(bytes(walker.out))
        walker.out = outer
        walker.out += tag + struct.pack("<Q", len(items))
        for encoded in sorted(items):
            walker.tag(b"", encoded)

    return encode_set


_SCALARS: dict[type, Callable[[bytearray, Any], None]] = {
    type(None): _nothing,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
}
_CONTAINERS: dict[type, Encoder] = {
    tuple: _sequence(b"t"),
    list: _sequence(b"l"),
    dict: _dict,
    set: _set(b"S"),
    frozenset: _set(b"Z"),
}
