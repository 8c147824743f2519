"""The standard library's small values, and numpy's scalars, as tagged lists of plain ones, and back.

Made again by their own constructors from checked numbers and texts; no code of the value's choosing runs. Only exact
classes are kept: a subclass may mean something else. A value that would come back as another one (a time zone that is in no
database) raises Unfit and goes to pickle.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import pathlib
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

from gpucache.codec import dtype as element

TEXT, BYTES, INT = "S", "b", "i"
"""Tags that structure.py writes itself: a text that is not UTF-8, or is bulk; bytes that are bulk; an int over 64 bits."""

MAX_FRACTION_BITS = 2**20  # a fraction is reduced when it is made: quadratic, a second at a few million bits


class Unfit(Exception):  # not an error: the answer of a codec that leaves a value to the next
    """The value would not come back exactly."""


def int_bytes(value: int) -> bytes:
    """An int of any size: little-endian, signed. Linear, where decimal digits would be quadratic and limited to 4 300."""
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _int(value: int) -> int | list[Any]:
    return value if -(2**63) <= value < 2**64 else [INT, int_bytes(value)]


def _read_int(tree: Any) -> int:
    if type(tree) is int:
        return tree
    if tree[0] != INT:
        raise ValueError("not a number")
    return int.from_bytes(tree[1], "little", signed=True)


def _optional_int(tree: Any) -> int | None:
    return None if tree is None else _read_int(tree)


# ---------------------------------------------------------------- dates


def _zone(zone: dt.tzinfo | None) -> Any:
    if zone is None:
        return None
    if zone is dt.UTC:
        return True
    if type(zone) is dt.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # in pickle's use since 3.2
        return [offset.days, offset.seconds, offset.microseconds, *name]
    if type(zone) is zoneinfo.ZoneInfo and zone.key and _found(zone.key) is zone:
        return zone.key
    raise Unfit


def _found(key: str) -> zoneinfo.ZoneInfo | None:
    try:
        return zoneinfo.ZoneInfo(key)
    except (LookupError, ValueError, OSError):
        return None


def _read_zone(tree: Any) -> dt.tzinfo | None:
    if tree is None:
        return None
    if tree is True:
        return dt.UTC
    if type(tree) is str:
        try:
            return zoneinfo.ZoneInfo(tree)
        except (OSError, ImportError) as problem:
            raise ValueError(f"no time zone {tree!r}") from problem
    days, seconds, microseconds, *name = tree
    return dt.timezone(dt.timedelta(days, seconds, microseconds), *name)


def _datetime(value: dt.datetime) -> list[Any]:
    return ["D", *value.timetuple()[:6], value.microsecond, value.fold, _zone(value.tzinfo)]


def _read_datetime(tree: list[Any]) -> dt.datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = tree
    return dt.datetime(year, month, day, hour, minute, second, microsecond, _read_zone(zone), fold=fold)


def _time(value: dt.time) -> list[Any]:
    return ["h", value.hour, value.minute, value.second, value.microsecond, value.fold, _zone(value.tzinfo)]


def _read_time(tree: list[Any]) -> dt.time:
    hour, minute, second, microsecond, fold, zone = tree
    return dt.time(hour, minute, second, microsecond, _read_zone(zone), fold=fold)


# ---------------------------------------------------------------- numbers and identifiers


def _fraction(value: fractions.Fraction) -> list[Any]:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_FRACTION_BITS:
        raise Unfit
    return ["f", _int(value.numerator), _int(value.denominator)]


def _read_fraction(tree: list[Any]) -> fractions.Fraction:
    numerator, denominator = map(_read_int, tree)
    if max(numerator.bit_length(), denominator.bit_length()) > MAX_FRACTION_BITS:
        raise ValueError("larger than any that is written")
    return fractions.Fraction(numerator, denominator)


def _slice(value: slice) -> list[Any]:
    ends = (value.start, value.stop, value.step)
    if not all(end is None or type(end) is int for end in ends):
        raise Unfit
    return ["x", *(None if end is None else _int(end) for end in ends)]


# ---------------------------------------------------------------- paths

_PATHS = {kind.__name__: kind for kind in (type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath)}


def _path(value: pathlib.PurePath) -> list[Any]:
    return ["p", type(value).__name__, str(value).encode("utf-8", "surrogatepass")]


def _read_path(tree: list[Any]) -> pathlib.PurePath:
    name, text = tree
    return _PATHS[name](text.decode("utf-8", "surrogatepass"))


# ---------------------------------------------------------------- the tables

WRITERS: dict[type, Callable[[Any], list[Any]]] = {
    complex: lambda value: ["c", value.real, value.imag],
    decimal.Decimal: lambda value: ["e", str(value)],
    fractions.Fraction: _fraction,
    uuid.UUID: lambda value: ["u", value.bytes, value.is_safe.value],
    dt.date: lambda value: ["y", value.year, value.month, value.day],
    dt.datetime: _datetime,
    dt.time: _time,
    dt.timedelta: lambda value: ["T", value.days, value.seconds, value.microseconds],
    range: lambda value: ["r", _int(value.start), _int(value.stop), _int(value.step)],
    slice: _slice,
    type(...): lambda _: ["."],
    **dict.fromkeys(_PATHS.values(), _path),
}

READERS: dict[str, Callable[[list[Any]], Any]] = {
    INT: lambda tree: int.from_bytes(tree[0], "little", signed=True),
    "c": lambda tree: complex(tree[0], tree[1]),
    "e": lambda tree: decimal.Decimal(_checked(tree[0], str)),
    "f": _read_fraction,
    "u": lambda tree: uuid.UUID(bytes=_checked(tree[0], bytes), is_safe=uuid.SafeUUID(tree[1])),
    "y": lambda tree: dt.date(*tree),
    "D": _read_datetime,
    "h": _read_time,
    "T": lambda tree: dt.timedelta(*tree),
    "r": lambda tree: range(*map(_read_int, tree)),
    "x": lambda tree: slice(*map(_optional_int, tree)),
    ".": lambda _: ...,
    "p": _read_path,
}
"""Completed below with numpy's."""


def _checked(item: Any, kind: type) -> Any:
    """An item of exactly this type: bytearray(10**12) would be an allocation, not a value."""
    if type(item) is not kind:
        raise ValueError(f"{kind.__name__} expected")
    return item


def numpy_scalar(value: Any) -> list[Any] | None:
    """A numpy scalar: its element type and its bytes; None if value is none, or would not come back as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return None
    if type(value) is numpy.str_:
        return ["N", value.encode("utf-8", "surrogatepass")]
    if type(value) is numpy.bytes_:
        return ["N", [bytes(value)]]
    if value.dtype.kind not in "biufcmM":
        return None
    described = element.describe(value.dtype)
    if described is None:
        return None
    tree = [described, value.tobytes()]
    back = read_numpy(tree)
    return ["n", *tree] if type(back) is type(value) and back.tobytes() == tree[1] else None


def read_numpy(tree: list[Any]) -> Any:
    """The numpy scalar."""
    import numpy as np

    described, raw = tree
    dtype = element.restore(_checked(described, str))
    if type(raw) is not bytes or len(raw) != dtype.itemsize:
        raise ValueError("not a scalar of this type")
    return np.ndarray((), dtype, raw)[()]


def _read_numpy_text(tree: list[Any]) -> Any:
    """A numpy string, made from Python's: as an element of an array it would lose NULs at its end."""
    import numpy as np

    if type(tree[0]) is bytes:
        return np.str_(tree[0].decode("utf-8", "surrogatepass"))
    return np.bytes_(_checked(tree[0][0], bytes))


READERS |= {"n": read_numpy, "N": _read_numpy_text}
