"""Python's built-in types, exactly: the oracle. `_canonical.pyx` writes the same bytes, faster.

Every token is a tag and a fixed number of bytes, or a tag, a length or count, and so much: none runs into the next.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpucache.digests.encoders import Encoder

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker

_length = struct.Struct("<Q").pack


def _nothing(out: bytearray, _: object) -> None:
    out += b"N"


def _bool(out: bytearray, value: bool) -> None:
    out += b"T" if value else b"F"


def _int(out: bytearray, value: int) -> None:
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    out += b"i" + _length(len(raw)) + raw


def _float(out: bytearray, value: float) -> None:
    out += b"f" + struct.pack("<d", value)


def _complex(out: bytearray, value: complex) -> None:
    out += b"c" + struct.pack("<dd", value.real, value.imag)


def _str(out: bytearray, value: str) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    out += b"s" + _length(len(raw)) + raw


def _bytes(out: bytearray, value: bytes) -> None:
    out += b"b" + _length(len(value)) + value


def _bytearray(out: bytearray, value: bytearray) -> None:
    out += b"B" + _length(len(value)) + value


def _sequence(tag: bytes) -> Encoder:
    def encode_sequence(walker: Walker, value: Any) -> None:
        walker.out += tag + _length(len(value))
        for index, item in enumerate(value):
            walker.child((index,), item)

    return encode_sequence


def _dict(walker: Walker, value: dict[Any, Any]) -> None:
    """In its order, which programs see."""
    walker.out += b"d" + _length(len(value))
    for key, item in value.items():
        walker.child((key,), key)
        walker.child((key,), item)


def set_items(walker: Walker, tag: bytes, items: Any) -> None:
    """Append the items of a set, sorted by their encodings: its own order depends on the hash seed."""
    outer, encoded = walker.out, []
    for item in items:
        walker.out = bytearray()
        walker.child("{...}", item)
        encoded.append(bytes(walker.out))
    walker.out = outer
    walker.out += tag + _length(len(encoded))
    for one in sorted(encoded):
        walker.out += _length(len(one)) + one


def _set(walker: Walker, value: set[Any]) -> None:
    set_items(walker, b"S", value)


def _frozenset(walker: Walker, value: frozenset[Any]) -> None:
    set_items(walker, b"Z", value)


SCALARS: dict[type, Callable[[bytearray, Any], None]] = {
    type(None): _nothing,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
}
CONTAINERS: dict[type, Encoder] = {
    tuple: _sequence(b"t"),
    list: _sequence(b"l"),
    dict: _dict,
    set: _set,
    frozenset: _frozenset,
}
