"""Numbers, strings, dates, containers of them and arrays within: exact types come back, and no code runs to make them.

"plain" is one scalar as msgpack. "struct" is a tree: msgpack's own types for what it keeps exactly, [tag, ...] lists for the
rest; arrays within become parts. What holds anything else is left to pickle as a whole.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import pathlib
import sys
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from gpucache.codec import array
from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import RecordCorrupt

PLAIN, STRUCT = "plain", "struct"
MAX_DEPTH = 150

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_PLAIN_TYPES = frozenset({type(None), bool, int, float, str, bytes})
_INT_RANGE = range(-(2**63), 2**64)


class _Unfit(Exception):
    """The value holds something that this codec can't keep exactly."""


def encode_plain(value: Any) -> Encoded | None:
    """One scalar, or None if it is none."""
    kind = type(value)
    if kind not in _PLAIN_TYPES or (kind is int and value not in _INT_RANGE):
        return None
    try:
        return Encoded(PLAIN, _encode(value))
    except UnicodeEncodeError:
        return None


def decode_plain(meta: bytes) -> Any:
    """The scalar."""
    return _unpacked(meta)


def encode(value: Any) -> Encoded | None:
    """A tree of values, or None if it holds anything that would not come back exactly."""
    parts: list[Any] = []
    try:
        return Encoded(STRUCT, _encode(_tree(value, parts, 0)), tuple(parts))
    except (_Unfit, UnicodeEncodeError):
        return None


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The tree of values.

    Raises:
        RecordCorrupt: Not what encode() wrote.
    """
    try:
        return _value(_unpacked(meta), open_part)
    except (TypeError, ValueError, IndexError, KeyError, ArithmeticError, RecursionError) as problem:
        raise RecordCorrupt(STRUCT, f"{type(problem).__name__}: {problem}") from problem


def _unpacked(meta: bytes) -> Any:
    try:
        return _decode(meta)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise RecordCorrupt(PLAIN, str(problem)) from problem


def _tree(value: Any, parts: list[Any], depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN_TYPES and (kind is not int or value in _INT_RANGE):
        return value
    if depth > MAX_DEPTH:
        raise _Unfit
    if kind in _SEQUENCES:
        return [_SEQUENCES[kind], *(_tree(item, parts, depth + 1) for item in value)]
    if kind is dict:
        flat = [_tree(item, parts, depth + 1) for pair in value.items() for item in pair]
        return ["d", *flat]
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if kind is numpy.ndarray and array.fits(value):
            return _array(value, parts)
        if isinstance(value, numpy.generic) and kind in numpy.sctypeDict.values() and not value.dtype.hasobject:
            return ["n", value.dtype.str, value.tobytes()] if value.dtype.names is None else _unfit()
    raise _Unfit


def _unfit() -> Any:
    raise _Unfit


def _array(value: Any, parts: list[Any]) -> list[Any]:
    form, data = array.parts_of(value)
    parts.append(data)
    return ["a", len(parts) - 1, form.dtype, form.shape, form.fortran]


_SEQUENCES: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "z"}
_PATHS: dict[type, str] = {
    kind: kind.__name__ for kind in (type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath)
}


def _datetime(value: dt.datetime) -> list[Any]:
    if value.tzinfo is not None and value.tzinfo is not dt.UTC:
        raise _Unfit
    return ["D", value.replace(tzinfo=None, fold=0).isoformat(), value.fold, value.tzinfo is not None]


_WRITERS: dict[type, Callable[[Any], Any]] = {
    int: lambda value: ["i", str(value) if abs(value) < 10**4000 else hex(value)],
    complex: lambda value: ["c", value.real, value.imag],
    bytearray: lambda value: ["B", bytes(value)],
    decimal.Decimal: lambda value: ["e", str(value)],
    fractions.Fraction: lambda value: ["f", str(value.numerator), str(value.denominator)],
    uuid.UUID: lambda value: ["u", value.bytes],
    dt.date: lambda value: ["y", value.isoformat()],
    dt.datetime: _datetime,
    dt.timedelta: lambda value: ["T", value.days, value.seconds, value.microseconds],
    range: lambda value: ["r", str(value.start), str(value.stop), str(value.step)],
    **{kind: lambda value, name=name: ["p", name, str(value)] for kind, name in _PATHS.items()},
}


def _value(tree: Any, open_part: OpenPart) -> Any:
    if type(tree) is not list:
        if type(tree) is dict:
            raise ValueError("a bare map")
        return tree
    return _READERS[tree[0]](tree[1:], open_part)


def _items(tree: list[Any], open_part: OpenPart) -> list[Any]:
    return [_value(item, open_part) for item in tree]


def _dict(tree: list[Any], open_part: OpenPart) -> dict[Any, Any]:
    flat = _items(tree, open_part)
    if len(flat) % 2:
        raise ValueError("a key without a value")
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _read_array(tree: list[Any], open_part: OpenPart) -> Any:
    index, dtype, shape, fortran = tree
    return array.from_parts(array.ArrayForm(dtype, tuple(shape), fortran), open_part(index, False))


def _read_scalar(tree: list[Any], _: OpenPart) -> Any:
    import numpy as np

    dtype = np.dtype(tree[0])
    if dtype.hasobject or dtype.itemsize != len(tree[1]):
        raise ValueError("not a scalar of this type")
    return np.frombuffer(tree[1], dtype=dtype)[0] if dtype.itemsize else dtype.type()


def _read_datetime(tree: list[Any], _: OpenPart) -> dt.datetime:
    text, fold, utc = tree
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=dt.UTC if utc else None)


def _read_path(tree: list[Any], _: OpenPart) -> Any:
    kinds = {name: kind for kind, name in _PATHS.items()}
    return kinds[tree[0]](tree[1])


_READERS: dict[str, Callable[[list[Any], OpenPart], Any]] = {
    "l": _items,
    "t": lambda tree, open_part: tuple(_items(tree, open_part)),
    "s": lambda tree, open_part: set(_items(tree, open_part)),
    "z": lambda tree, open_part: frozenset(_items(tree, open_part)),
    "d": _dict,
    "a": _read_array,
    "n": _read_scalar,
    "i": lambda tree, _: int(tree[0], 0),
    "c": lambda tree, _: complex(tree[0], tree[1]),
    "B": lambda tree, _: bytearray(tree[0]),
    "e": lambda tree, _: decimal.Decimal(tree[0]),
    "f": lambda tree, _: fractions.Fraction(int(tree[0]), int(tree[1])),
    "u": lambda tree, _: uuid.UUID(bytes=tree[0]),
    "y": lambda tree, _: dt.date.fromisoformat(tree[0]),
    "D": _read_datetime,
    "T": lambda tree, _: dt.timedelta(tree[0], tree[1], tree[2]),
    "r": lambda tree, _: range(int(tree[0]), int(tree[1]), int(tree[2])),
    "p": _read_path,
}
