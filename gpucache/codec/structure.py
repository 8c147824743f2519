"""Plain scalars, and containers of them, of arrays, tensors and tables: exact types come back, and no code runs to make them.

"plain" is one scalar as msgpack. "struct" is a tree: scalars as msgpack has them, everything else as a list [tag, ...]. Bulk
(arrays, tensors, Arrow data, long texts and bytes, and the tree itself where it is long) becomes parts. What is shared stays
shared: a container or an array that is met again is written as the number of its first appearance, so the two stay one object
and nothing is laid out twice. What holds anything else, or itself, is left to pickle as a whole.

Sharing is not kept within keys and members of sets: those are immutable, and hashing a few bytes of hostile back references
could take for ever.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from gpucache.codec import array, arrow, scalars, tensor
from gpucache.codec.kinds import BULK_FROM_BYTES, Encoded, OpenPart, type_name
from gpucache.codec.scalars import Unfit
from gpucache.digests import File
from gpucache.errors import NotStorable, RecordCorrupt

PLAIN, STRUCT = "plain", "struct"
MAX_DEPTH = 150
"""Levels that are written: each costs two of Python's thousand frames, in the reader of an already deep caller too."""
_AGAIN, _ARRAY, _TENSOR, _ARROW, _DICT = "=", "a", "t", "w", "d"

NO_SCALARS = object()

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_PLAIN_TYPES = frozenset({type(None), bool, int, float, str, bytes})
_FLAT_TYPES = frozenset({type(None), bool, float})
_SEQUENCES: dict[type, str] = {list: "l", tuple: "q", set: "s", frozenset: "z"}
_MAKERS: dict[str, type] = {tag: kind for kind, tag in _SEQUENCES.items()}
_SETS = ("s", "z")
_TUPLE = _SEQUENCES[tuple]


def encode_plain(value: Any) -> Encoded | None:
    """One scalar, or None if it is none, or has a size or a content that msgpack does not take."""
    kind = type(value)
    if kind not in _PLAIN_TYPES:
        return None
    if (kind is str or kind is bytes) and len(value) >= BULK_FROM_BYTES:
        return None
    try:
        return Encoded(PLAIN, _encode(value))
    except (UnicodeEncodeError, OverflowError):  # lone surrogates; an int over 64 bits
        return None


def decode_plain(meta: bytes) -> Any:
    """The scalar.

    Raises:
        RecordCorrupt: It is none.
    """
    value = _unpacked(meta, PLAIN)
    if type(value) not in _PLAIN_TYPES:
        raise RecordCorrupt(PLAIN, f"a {type(value).__name__} is no scalar")
    return value


def encode(value: Any) -> Encoded | None:
    """A tree of values, or None if it holds anything that would not come back exactly.

    Raises:
        NotStorable: It holds a gpucache.File, whose content would stay behind, or a tensor with a grad_fn.
    """
    try:
        writer = _Writer(any_text=False)
        return writer.encoded(value)
    except UnicodeEncodeError:  # some text within is not UTF-8: rare, so looked for only now
        return _Writer(any_text=True).encoded(value)


def decode(meta: bytes, open_part: OpenPart, *, trusted: bool) -> Any:
    """The tree of values. `trusted`: as for arrow.decode().

    Raises:
        RecordCorrupt: Not what encode() wrote.
    """
    tree = _unpacked(meta, STRUCT)
    if type(tree) is int:
        tree = _unpacked(open_part(tree, False), STRUCT) if tree >= 0 else None
    if type(tree) is not list:
        raise RecordCorrupt(STRUCT, "no tree of values")
    if tree and tree[0] == _TUPLE and _PLAIN_TYPES.issuperset(map(type, tree)):
        return tuple(tree[1:])  # what most functions give that give more than a number
    try:
        return _Reader(open_part, trusted=trusted).value(tree)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as problem:
        raise RecordCorrupt(STRUCT, f"{type(problem).__name__}: {problem}") from problem


def decode_scalars(codec: str, meta: bytes) -> Any:
    """A value that can't be changed by who gets it, a scalar or a tuple of them, in the shortest way; NO_SCALARS for any other.

    For a value without parts. What is damaged is NO_SCALARS, too: decode() says what is wrong with it.
    """
    try:
        value = _decode(meta)
    except (ValueError, RecursionError):
        return NO_SCALARS
    if codec == STRUCT:
        if type(value) is not list or not value or value[0] != _TUPLE or not _PLAIN_TYPES.issuperset(map(type, value)):
            return NO_SCALARS
        del value[0]
        return tuple(value)
    return value if codec == PLAIN and type(value) in _PLAIN_TYPES else NO_SCALARS


def _unpacked(data: Any, codec: str) -> Any:
    try:
        return _decode(data)
    except (ValueError, RecursionError) as problem:  # msgspec's own errors are ValueErrors
        raise RecordCorrupt(codec, str(problem)) from problem


class _Writer:
    """One tree in the making."""

    __slots__ = ("any_text", "open", "parts", "seen", "storages")

    def __init__(self, *, any_text: bool) -> None:
        self.any_text = any_text  # whether texts may hold lone surrogates
        self.parts: list[Any] = []
        self.seen: dict[int, int] = {}  # id of what was written -> its number
        self.open: set[int] = set()  # ids of the containers around the current value
        self.storages: set[int] = set()

    def encoded(self, value: Any) -> Encoded | None:
        try:
            tree = _encode(self.tree(value, 0, hashed=False))
        except (Unfit, OverflowError):
            return None
        if len(tree) < BULK_FROM_BYTES:
            return Encoded(STRUCT, tree, tuple(self.parts))
        return Encoded(STRUCT, _encode(len(self.parts)), (*self.parts, tree))

    def tree(self, value: Any, depth: int, *, hashed: bool) -> Any:
        kind = type(value)
        if kind in _PLAIN_TYPES:
            return self.scalar(kind, value)
        writer = scalars.WRITERS.get(kind)
        if writer is not None and kind is not bytearray:
            return writer(value)
        if kind in _SEQUENCES or kind is dict or kind is bytearray:
            return self.container(kind, value, depth, hashed)
        found = scalars.numpy_scalar(value)
        return self.bulk(value) if found is None else found

    def scalar(self, kind: type, value: Any) -> Any:
        if kind is int:
            return value if -(2**63) <= value < 2**64 else [scalars.INT, scalars.int_bytes(value)]
        if kind is bytes and len(value) >= BULK_FROM_BYTES:
            return [scalars.BYTES, self.part(value)]
        if kind is str and (self.any_text or len(value) >= BULK_FROM_BYTES):
            raw = value.encode("utf-8", "surrogatepass")
            return [scalars.TEXT, raw if len(raw) < BULK_FROM_BYTES else self.part(raw)]
        return value

    def container(self, kind: type, value: Any, depth: int, hashed: bool) -> list[Any]:
        address = id(value)
        if not hashed and address in self.seen:
            return [_AGAIN, self.seen[address]]
        if depth > MAX_DEPTH or address in self.open:
            raise Unfit
        self.open.add(address)
        written = self.content(kind, value, depth + 1, hashed)
        self.open.discard(address)
        if not hashed:
            self.seen[address] = len(self.seen)
        return written

    def content(self, kind: type, value: Any, depth: int, hashed: bool) -> list[Any]:
        if kind is bytearray:
            return ["B", bytes(value) if len(value) < BULK_FROM_BYTES else self.part(bytes(value))]
        if kind is dict:
            flat: list[Any] = [_DICT]
            for key, item in value.items():
                flat.append(self.tree(key, depth, hashed=True))
                flat.append(self.tree(item, depth, hashed=False))
            return flat
        tag = _SEQUENCES[kind]
        if _FLAT_TYPES.issuperset(map(type, value)):
            return [tag, *value]
        within = hashed or tag in _SETS
        return [tag, *[self.tree(item, depth, hashed=within) for item in value]]

    def bulk(self, value: Any) -> list[Any]:
        """An array, a tensor or Arrow data."""
        library = type(value).__module__.partition(".")[0]
        if library == "numpy":
            return self.numbered(value, _ARRAY, None if id(value) in self.seen else array.parts_of(value))
        if library == "torch" and "torch" in sys.modules:
            return self.numbered(value, _TENSOR, self.lone_tensor(value))
        if library == "pyarrow":
            return self.numbered(value, _ARROW, self.arrow_data(value))
        if isinstance(value, File):
            raise NotStorable(
                type_name(value),
                "within another value only its path would be kept, not its content",
                "return the File or the Dir itself, or one Dir with all of them",
            )
        raise Unfit

    def numbered(self, value: Any, tag: str, found: tuple[Any, Any] | None) -> list[Any]:
        if id(value) in self.seen:
            return [_AGAIN, self.seen[id(value)]]
        if found is None:
            raise Unfit
        self.seen[id(value)] = len(self.seen)
        form, data = found
        return [tag, self.part(data), form if tag == _ARROW else msgspec.structs.astuple(form)]

    def lone_tensor(self, value: Any) -> tuple[Any, Any] | None:
        """A tensor's form and bytes, if no other tensor here shares its memory: writing to one would show in the other."""
        found = None if id(value) in self.seen else tensor.parts_of(value)
        if found is not None:
            address = tensor.storage_address(value)
            if address and address in self.storages:
                raise Unfit
            self.storages.add(address)
        return found

    def arrow_data(self, value: Any) -> tuple[bytes, Any] | None:
        found = None if id(value) in self.seen else arrow.encode(value)
        return None if found is None else (found.meta, found.parts[0])

    def part(self, data: Any) -> int:
        self.parts.append(data)
        return len(self.parts) - 1


class _Reader:
    """One tree being read. Numbers what it makes as the writer did: when it is complete."""

    __slots__ = ("made", "open_part", "trusted")

    def __init__(self, open_part: OpenPart, *, trusted: bool) -> None:
        self.open_part = open_part
        self.trusted = trusted
        self.made: list[Any] = []

    def value(self, tree: Any, *, hashed: bool = False) -> Any:
        if type(tree) is not list:
            if type(tree) not in _PLAIN_TYPES:
                raise ValueError(f"a bare {type(tree).__name__}")
            return tree
        tag = tree[0]
        if tag in _MAKERS:
            value = self.sequence(tag, tree, hashed)
        elif tag == _DICT:
            value = self.dictionary(tree)
        elif tag == _AGAIN:
            if hashed:
                raise ValueError("a back reference in a key")
            return self.made[_index(tree[1])]
        elif tag == "B":
            value = bytearray(self.raw(tree[1]))
        elif tag in (_ARRAY, _TENSOR, _ARROW):
            value = self.bulk(tag, tree)
        elif tag == scalars.BYTES:
            return bytes(self.raw(tree[1]))
        elif tag == scalars.TEXT:
            return str(self.raw(tree[1]), "utf-8", "surrogatepass")
        else:
            return scalars.READERS[tag](tree[1:])
        if not hashed:
            self.made.append(value)
        return value

    def sequence(self, tag: str, tree: list[Any], hashed: bool) -> Any:
        within = hashed or tag in _SETS
        items = tree[1:]
        if not _PLAIN_TYPES.issuperset(map(type, items)):
            items = [self.value(item, hashed=within) for item in items]
        return items if tag == "l" else _MAKERS[tag](items)

    def dictionary(self, tree: list[Any]) -> dict[Any, Any]:
        if len(tree) % 2 == 0:
            raise ValueError("a key without a value")
        flat = iter(tree[1:])
        return {self.value(key, hashed=True): self.value(item) for key, item in zip(flat, flat, strict=True)}

    def bulk(self, tag: str, tree: list[Any]) -> Any:
        index, form = tree[1:]
        if tag == _ARRAY:
            return array.from_parts(msgspec.convert(form, array.ArrayForm), self.open_part(_index(index), False))
        if tag == _ARROW:
            return arrow.decode(form, lambda _, writable: self.open_part(_index(index), writable), trusted=self.trusted)
        return tensor.from_parts(msgspec.convert(form, tensor.TensorForm), self.open_part(_index(index), True))

    def raw(self, where: Any) -> Any:
        """Bytes that stand in the tree, or are the part of this number."""
        return where if type(where) is bytes else self.open_part(_index(where), False)


def _index(number: Any) -> int:
    """A number of a part or of a value: Python would count a negative one from the end."""
    if type(number) is not int or number < 0:
        raise ValueError("no such number")
    return number
