"""What the codec's tests share: a store in a dictionary's clothes, sameness that misses nothing, and values of every kind."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import struct
import uuid
import zoneinfo
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpucache import codec
from gpucache.codec import Encoded

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1


class Name(str):
    """A subclass of str: not a str to any codec but pickle."""

    __slots__ = ()


@dataclass
class Batch:
    items: list[int]
    data: Any = None


def stored(encoded: Encoded) -> list[bytes]:
    """The parts as they lie in a store."""
    return [bytes(memoryview(part).cast("B")) if memoryview(part).nbytes else b"" for part in encoded.parts]


def read(encoded: Encoded, *, allow_pickle: bool = True) -> Any:
    """What a store reads back: read-only parts, or private ones that can be written."""
    parts = stored(encoded)
    return codec.decode(
        encoded.codec,
        encoded.meta,
        lambda index, writable: bytearray(parts[index]) if writable else parts[index],
        allow_pickle=allow_pickle,
    )


def round_trip(value: Any, *, allow_pickle: bool = True) -> Any:
    """The value, laid out and read again."""
    return read(codec.encode(value), allow_pickle=allow_pickle)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in type, content, order, and in every bit of every number, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and sorted(map(_form, one)) == sorted(map(_form, other))
    if isinstance(one, np.ma.MaskedArray):
        return same(one.filled(), other.filled()) and same(np.ma.getmaskarray(one), np.ma.getmaskarray(other))
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    if isinstance(one, np.generic):
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    if isinstance(one, dt.datetime | dt.time):
        return (
            one.replace(tzinfo=None) == other.replace(tzinfo=None)
            and one.fold == other.fold
            and one.tzname() == other.tzname()
        )
    if isinstance(one, Batch):
        return same(vars(one), vars(other))
    if isinstance(one, decimal.Decimal):
        return str(one) == str(other)
    if hasattr(one, "equals"):  # pandas, pyarrow
        return bool(one.equals(other))
    return bool(one == other)


def _same_array(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.dtype.char != other.dtype.char or one.shape != other.shape:
        return False
    if one.dtype.hasobject:
        return all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    return bool(one.tobytes() == other.tobytes())


def _form(value: Any) -> str:
    """A text that is the same for the same members of sets, in whatever order they stand."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}{sorted(map(_form, value))}"
    if isinstance(value, tuple):
        return f"tuple{[_form(item) for item in value]}"
    return f"{type(value).__name__}:{value!r}"


SAFE: dict[str, Any] = {
    "none": None,
    "true": True,
    "one": 1,
    "one point nought": 1.0,
    "largest in msgpack": 2**64 - 1,
    "smallest in msgpack": -(2**63),
    "first beyond": 2**64,
    "first below": -(2**63) - 1,
    "two to the eighty": 2**80,
    "ten thousand digits": -(10**10_000),
    "minus nought": -0.0,
    "nan": math.nan,
    "nan with a payload": struct.unpack("<d", b"\x01\0\0\0\0\0\xf4\xff")[0],
    "text": "größe",
    "lone surrogate": "\ud800",
    "long text": "x" * 10_000,
    "long text with surrogates": "\udcff" * 10_000,
    "bytes": b"\0\xff",
    "long bytes": b"y" * 10_000,
    "bytearray": bytearray(b"abc"),
    "long bytearray": bytearray(10_000),
    "complex": complex(-0.0, math.nan),
    "ellipsis": ...,
    "slice": slice(None, 2**70, -1),
    "range": range(3, 2**70, 7),
    "date": dt.date(1, 1, 1),
    "datetime": dt.datetime(2026, 10, 25, 2, 30, fold=1),
    "datetime, utc": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "datetime, named offset": dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3.5), "here")),
    "datetime, offset": dt.datetime(2026, 1, 1, microsecond=1, tzinfo=dt.timezone(dt.timedelta(seconds=1))),
    "datetime, zone": dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "time": dt.time(23, 59, 59, 999_999, fold=1),
    "time, utc": dt.time(1, tzinfo=dt.UTC),
    "timedelta": dt.timedelta(-5, 3, 1),
    "decimal": decimal.Decimal("-0E-50"),
    "decimal, signalling nan": decimal.Decimal("sNaN123"),
    "fraction": fractions.Fraction(2**70, 3),
    "uuid": uuid.UUID(int=7),
    "path": pathlib.Path("a/b"),
    "posix path": pathlib.PurePosixPath("/a/\udcff"),
    "windows path": pathlib.PureWindowsPath("C:\\x"),
    "empty tuple": (),
    "tuple in list": [(1, [2])],
    "keys of many types": {1: "a", "1": "b", (1,): "c", None: "d", 2.5: "e", b"f": "f", frozenset({1}): "g"},
    "order of keys": {"b": 1, "a": 2},
    "sets": {1, "a", (1, frozenset({2}))},
    "frozenset of surrogates": frozenset({"\ud800"}),
    "long list": list(range(5000)),
    "long list of floats": [0.1] * 5000,
    "bools and ints": [True, 1, False, 0],
    "numpy scalars": [np.float32(1.5), np.int8(-1), np.bool_(True), np.complex64(1j), np.float16("nan")],
    "numpy long long": np.longlong(3),
    "numpy times": (np.datetime64("2026-01-01", "ns"), np.datetime64("NaT", "s"), np.timedelta64(3, "W")),
    "numpy texts": [np.str_("ab\0"), np.bytes_(b"x\0"), np.str_(""), np.str_("\ud800")],
    "arrays within": {"x": np.arange(3), "y": [np.zeros((2, 2), order="F"), np.array(1.5)]},
}
"""Values that come back without any pickle."""

ARRAYS: dict[str, Any] = {
    "one axis": np.arange(5),
    "no axis": np.array(2.5),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "no elements": np.zeros((3, 0, 2)),
    "no elements, fortran": np.zeros((0, 3), order="F"),
    "big-endian": np.arange(3, dtype=">i4"),
    "big-endian long long": np.arange(3, dtype=">q"),
    "long long": np.arange(3, dtype=np.longlong),
    "unsigned long long": np.arange(3, dtype=np.ulonglong),
    "bool": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
    "long complex": np.zeros(3, np.clongdouble),
    "texts": np.array(["a", "bcd", ""]),
    "byte strings": np.array([b"a\0b", b""]),
    "raw": np.frombuffer(b"abcdef", "V3"),
    "times": np.array(["2026-01-01", "NaT"], "M8[25s]"),
    "durations": np.arange(3).astype("m8[us]"),
    "durations, generic": np.arange(3).astype("m8"),
    "no fields": np.zeros(3, np.dtype([])),
    "fields": np.array([(1, 2.5, b"x")], [("a", "<i2"), ("b", ">f8"), ("c", "S3")]),
    "aligned fields": np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "fields that overlap": np.zeros(2, {"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]}),
    "fields with gaps": np.zeros(2, {"names": ["a"], "formats": ["i4"], "offsets": [8], "itemsize": 32}),
    "titles, shapes, fields in fields": np.zeros(
        2, [(("title", "a"), "i4", (2, 3)), ("b", [("x", ">f4"), ("y", "M8[s]")])]
    ),
    "not contiguous": np.arange(16).reshape(4, 4)[::2, 1:],
    "backwards": np.arange(5)[::-1],
    "broadcast": np.broadcast_to(np.int8(1), (3, 3)),
    "axes in another order": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "read-only": np.frombuffer(b"abcd", np.uint8),
    "64 axes": np.zeros((1,) * 64),
}

PICKLED: dict[str, Any] = {
    "namedtuple": Point(1, [2]),
    "enum": Colour.RED,
    "dataclass": Batch([1], np.arange(2000.0)),
    "subclass of str": Name("x"),
    "ordered dict": OrderedDict(b=1, a=2),
    "counter": Counter("aab"),
    "one of them within": [1, {"a": (Point(1, 2),)}],
    "objects": np.array([1, "a", None, (2,)], dtype=object),
    "new strings": np.array(["a", "long " * 20], dtype=np.dtypes.StringDType()),
    "masked": np.ma.array([1, 2, 3], mask=[False, True, False]),
    "dtype with metadata": np.zeros(2, np.dtype("f8", metadata={"unit": "m"})),
    "record": np.zeros(1, [("a", "i4")])[0],
    "record array": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "class": int,
    "dtype": np.dtype("f4"),
    "zone": zoneinfo.ZoneInfo("Europe/Berlin"),
}
"""Values that only pickle keeps."""
