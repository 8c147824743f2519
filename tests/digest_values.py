"""Values of every kind that gpucache identifies, by name; each is made anew at each call, and no two are the same value.

Run as a script it prints the digest of each as JSON: for processes with other hash seeds.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import json
import math
import operator
import pathlib
import re
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Text(enum.StrEnum):
    RED = "1"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: int
    right: int


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int


class OtherPoint(Point):
    pass


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a, self.b = a, b


class MyInt(int):
    pass


class MyStr(str):  # noqa: SLOT000  # with attributes of its own, which count
    pass


class MyList(list):
    pass


class MyDict(dict):
    pass


class MySet(set):
    pass


class MyFrozenset(frozenset):
    pass


class MyTuple(tuple):  # noqa: SLOT001  # as above
    pass


class MyFloat(float):
    pass


class MyBytes(bytes):
    pass


class MyDecimal(decimal.Decimal):
    pass


class MyDatetime(dt.datetime):
    pass


class MyCounter(collections.Counter):
    pass


class Kelvin(np.ndarray):
    pass


class MyFrame(pd.DataFrame):
    _metadata = ["unit"]

    @property
    def _constructor(self) -> type:
        return MyFrame


class Calls:
    def first(self) -> None: ...
    def second(self) -> None: ...


def with_attribute(value: Any, **attributes: object) -> Any:
    """The value, with attributes set on it."""
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


def nan(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def eight_deep(leaf: object) -> object:
    for _ in range(8):
        leaf = [leaf]
    return leaf


def structured(second: str = "b") -> Any:
    return np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), (second, "f8")])


def masked(under: int = 9, **options: object) -> Any:
    return np.ma.MaskedArray([1, under, 3], mask=[False, True, False], **options)


BUILTIN: dict[str, Callable[[], object]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "1": lambda: 1,
    "-1": lambda: -1,
    "127": lambda: 127,
    "128": lambda: 128,
    "-128": lambda: -128,
    "-129": lambda: -129,
    "255": lambda: 255,
    "256": lambda: 256,
    "2**63-1": lambda: 2**63 - 1,
    "2**63": lambda: 2**63,
    "-2**63": lambda: -(2**63),
    "-2**63-1": lambda: -(2**63) - 1,
    "2**80": lambda: 2**80,
    "0.0": lambda: 0.0,
    "-0.0": lambda: -0.0,
    "1.0": lambda: 1.0,
    "inf": lambda: math.inf,
    "nan": lambda: nan(0x7FF8000000000000),
    "nan of other bits": lambda: nan(0x7FF8000000000001),
    "negative nan": lambda: nan(0xFFF8000000000000),
    "0j": lambda: 0j,
    "-0j": lambda: complex(0.0, -0.0),
    "1j": lambda: 1j,
    "1+0j": lambda: 1 + 0j,
    "text 1": lambda: "1",
    "text True": lambda: "True",
    "empty text": lambda: "",
    "a": lambda: "a",
    "nul": lambda: "\0",
    "é": lambda: "é",
    "e and accent": lambda: "e\u0301",
    "lone surrogate": lambda: "\ud800",
    "bytes a": lambda: b"a",
    "no bytes": lambda: b"",
    "bytearray a": lambda: bytearray(b"a"),
    "()": lambda: (),
    "[]": list,
    "{}": dict,
    "set()": set,
    "frozenset()": frozenset,
    "(1,)": lambda: (1,),
    "[1]": lambda: [1],
    "{1}": lambda: {1},
    "frozenset 1": lambda: frozenset([1]),
    "[(1,)]": lambda: [(1,)],
    "([1],)": lambda: ([1],),
    "(1, 2)": lambda: (1, 2),
    "(2, 1)": lambda: (2, 1),
    "((1, 2), 3)": lambda: ((1, 2), 3),
    "(1, (2, 3))": lambda: (1, (2, 3)),
    "(1, 2, 3)": lambda: (1, 2, 3),
    "ab, c": lambda: ("ab", "c"),
    "a, bc": lambda: ("a", "bc"),
    "{1: 2}": lambda: {1: 2},
    "{'1': 2}": lambda: {"1": 2},
    "{1: 2, 3: 4}": lambda: {1: 2, 3: 4},
    "{3: 4, 1: 2}": lambda: {3: 4, 1: 2},
    "{True: 2}": lambda: {True: 2},
    "texts": lambda: {"a", "b", "c", "d"},
    "sets in a set": lambda: {frozenset("ab"), frozenset("cd")},
    "eight deep": lambda: eight_deep(1),
    "eight deep, other": lambda: eight_deep(2),
    "many": lambda: list(range(1000)),
    "long text": lambda: "x" * 100_000,
}
STANDARD: dict[str, Callable[[], object]] = {
    "Ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "date": lambda: dt.date(2026, 11, 23),
    "datetime": lambda: dt.datetime(2026, 11, 23),
    "datetime, fold": lambda: dt.datetime(2026, 11, 23, fold=1),
    "datetime, UTC": lambda: dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
    "datetime, zone": lambda: dt.datetime(2026, 11, 23, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "time": lambda: dt.time(1, 2),
    "timedelta": lambda: dt.timedelta(1),
    "Decimal 1.0": lambda: decimal.Decimal("1.0"),
    "Decimal 1.00": lambda: decimal.Decimal("1.00"),
    "Decimal sNaN": lambda: decimal.Decimal("sNaN"),
    "Fraction": lambda: fractions.Fraction(1, 3),
    "UUID": lambda: uuid.UUID(int=1),
    "range 3": lambda: range(3),
    "range 0 3 2": lambda: range(0, 3, 2),
    "range 0 4 2": lambda: range(0, 4, 2),
    "slice": lambda: slice(1, None, 2),
    "Path a": lambda: pathlib.Path("a"),
    "PurePosixPath a": lambda: pathlib.PurePosixPath("a"),
    "PureWindowsPath a": lambda: pathlib.PureWindowsPath("a"),
    "Colour.RED": lambda: Colour.RED,
    "Colour.GREEN": lambda: Colour.GREEN,
    "Text.RED": lambda: Text.RED,
    "Rights.READ": lambda: Rights.READ,
    "Rights, both": lambda: Rights.READ | Rights.WRITE,
    "Rights, none": lambda: Rights(0),
    "OrderedDict": lambda: collections.OrderedDict(a=1, b=2),
    "OrderedDict, other order": lambda: collections.OrderedDict(b=2, a=1),
    "defaultdict int": lambda: collections.defaultdict(int, {1: 2}),
    "defaultdict list": lambda: collections.defaultdict(list, {1: 2}),
    "Counter": lambda: collections.Counter("aab"),
    "deque": lambda: collections.deque([1, 2]),
    "deque, bounded": lambda: collections.deque([1, 2], maxlen=5),
    "mapping proxy": lambda: types.MappingProxyType({1: 2}),
    "memoryview": lambda: memoryview(b"ab"),
    "memoryview, signed": lambda: memoryview(b"ab").cast("b"),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=1, b=2),
    "pattern": lambda: re.compile("a"),
    "pattern, flags": lambda: re.compile("a", re.IGNORECASE),
    "address": lambda: ipaddress.ip_address("127.0.0.1"),
    "partial": lambda: functools.partial(operator.add, 1),
    "partial, other": lambda: functools.partial(operator.sub, 1),
    "itemgetter": lambda: operator.itemgetter(1),
    "len": lambda: len,
    "math.sin": lambda: math.sin,
    "list[int]": lambda: list[int],
    "int | None": lambda: int | None,
    "class int": lambda: int,
    "class Point": lambda: Point,
    "function": lambda: with_attribute,
    "method": lambda: Calls().first,
    "method, other": lambda: Calls().second,
    "method of another object": lambda: types.MethodType(with_attribute, Calls()),
    "unbound": lambda: Calls.first,
    "str.upper": lambda: str.upper,
    "bound upper": lambda: "x".upper,
    "append": lambda: [1].append,
    "module": lambda: math,
    "exception": lambda: ValueError("a"),
    "exception with a note": lambda: with_attribute(ValueError("a"), note=1),
}
OBJECTS: dict[str, Callable[[], object]] = {
    "Pair": lambda: Pair(1, 2),
    "Point": lambda: Point(1, 2),
    "Point, more": lambda: with_attribute(Point(1, 2), z=3),
    "OtherPoint": lambda: OtherPoint(1, 2),
    "Point of floats": lambda: Point(1.0, 2),  # type: ignore[arg-type]
    "Frozen": lambda: Frozen(1),
    "Slotted": lambda: Slotted(1, 2),
    "Slotted, swapped": lambda: Slotted(2, 1),
    "Calls": Calls,
    "MyInt": lambda: MyInt(1),
    "MyInt, hidden": lambda: with_attribute(MyInt(1), unit="m"),
    "MyInt, hidden, other": lambda: with_attribute(MyInt(1), unit="s"),
    "MyFloat": lambda: MyFloat(1),
    "MyStr": lambda: MyStr("a"),
    "MyStr, hidden": lambda: with_attribute(MyStr("a"), unit="m"),
    "MyBytes": lambda: MyBytes(b"a"),
    "MyList": lambda: MyList([1]),
    "MyList, hidden": lambda: with_attribute(MyList([1]), unit="m"),
    "MyDict": lambda: MyDict({1: 2}),
    "MyDict, hidden": lambda: with_attribute(MyDict({1: 2}), unit="m"),
    "MyTuple": lambda: MyTuple((1,)),
    "MySet": lambda: MySet("abcd"),
    "MySet, hidden": lambda: with_attribute(MySet("abcd"), unit="m"),
    "MyFrozenset": lambda: MyFrozenset("abcd"),
    "MyDecimal": lambda: MyDecimal("1.0"),
    "MyDatetime": lambda: MyDatetime(2026, 11, 23),
    "MyCounter": lambda: MyCounter("aab"),
    "in a list": lambda: [Point(1, 2), Point(1, 2)],
}
# What Python's own pickle forgets of them: they differ here, and don't survive a pickle.
FORGOTTEN: dict[str, Callable[[], object]] = {
    "MyDecimal, hidden": lambda: with_attribute(MyDecimal("1.0"), unit="m"),
    "MyDatetime, hidden": lambda: with_attribute(MyDatetime(2026, 11, 23), unit="m"),
    "MyCounter, hidden": lambda: with_attribute(MyCounter("aab"), unit="m"),
    "masked, hard": lambda: masked(hard_mask=True),
    "Kelvin, hidden": lambda: with_attribute(np.zeros(2).view(Kelvin), unit="K"),
    "Kelvin, hidden, other": lambda: with_attribute(np.zeros(2).view(Kelvin), unit="mK"),
}
NUMPY: dict[str, Callable[[], object]] = {
    "zeros": lambda: np.zeros(4),
    "minus zeros": lambda: -np.zeros(4),
    "zeros, big-endian": lambda: np.zeros(4, ">f8"),
    "zeros of ints": lambda: np.zeros(4, "i8"),
    "zeros of uints": lambda: np.zeros(4, "u8"),
    "zeros, half": lambda: np.zeros(8, "f4"),
    "zeros 2x2": lambda: np.zeros((2, 2)),
    "zeros 4x1": lambda: np.zeros((4, 1)),
    "zeros 0x3": lambda: np.zeros((0, 3)),
    "zeros 3x0": lambda: np.zeros((3, 0)),
    "zero-dimensional": lambda: np.array(0.0),
    "scalar": lambda: np.float64(0.0),
    "scalar f4": lambda: np.float32(0.0),
    "scalar i8": lambda: np.int64(0),
    "scalar bool": lambda: np.bool_(False),
    "scalar text": lambda: np.str_("a"),
    "scalar date": lambda: np.datetime64("2026-11-23"),
    "scalar date, ns": lambda: np.datetime64("2026-11-23", "ns"),
    "long double": lambda: np.longdouble("0.1"),
    "long doubles": lambda: np.arange(3, dtype=np.longdouble),
    "complex long doubles": lambda: np.arange(3, dtype=np.clongdouble),
    "bools": lambda: np.array([True, False]),
    "texts": lambda: np.array(["a", "b"]),
    "texts, wider": lambda: np.array(["a", "b"], "U2"),
    "byte texts": lambda: np.array([b"a", b"b"]),
    "new texts": lambda: np.array(["a", "b"], dtype=np.dtypes.StringDType()),
    "new texts, missing": lambda: np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)),
    "dates, s": lambda: np.zeros(2, "M8[s]"),
    "dates, 25s": lambda: np.zeros(2, "M8[25s]"),
    "times": lambda: np.zeros(2, "m8[s]"),
    "raw": lambda: np.zeros(2, "V8"),
    "objects": lambda: np.array([1, "a"], dtype=object),
    "objects, other": lambda: np.array([1.0, "a"], dtype=object),
    "structured": structured,
    "structured, renamed": lambda: structured("c"),
    "structured, records": lambda: structured().view(np.recarray),
    "structured, padded": lambda: np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "structured, packed": lambda: np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")])),
    "structured, objects": lambda: np.array([(1, [2])], dtype=[("a", "i4"), ("b", "O")]),
    "structured, subarray": lambda: np.zeros(2, [("a", "i4", (2, 3))]),
    "structured, titled": lambda: np.zeros(2, [(("title", "a"), "i4")]),
    "structured, plain": lambda: np.zeros(2, [("a", "i4")]),
    "void scalar": lambda: structured()[0],
    "metadata": lambda: np.zeros(2, np.dtype("u1", metadata={"enum": {"a": 0}})),
    "metadata, other": lambda: np.zeros(2, np.dtype("u1", metadata={"enum": {"b": 0}})),
    "no metadata": lambda: np.zeros(2, "u1"),
    "masked": masked,
    "masked, other under": lambda: masked(8),
    "masked, other fill": lambda: masked(fill_value=7),
    "Kelvin": lambda: np.zeros(2).view(Kelvin),
    "zeros 2": lambda: np.zeros(2),
    "matrix": lambda: np.zeros((2, 2)).view(np.matrix),
    "dtype f8": lambda: np.dtype("f8"),
    "dtype >f8": lambda: np.dtype(">f8"),
    "dtype structured": lambda: structured().dtype,
    "class float64": lambda: np.float64,
    "ufunc": lambda: np.add,
    "generator": lambda: np.random.default_rng(1),
    "generator, later": lambda: (rng := np.random.default_rng(1), rng.random())[0],
    "in a list": lambda: [np.zeros(4)],
    "in a tuple": lambda: (np.zeros(4),),
    "large": lambda: np.arange(100_000.0),
}
ARROW_NUMBERS = [1, None, 3]
ARROW: dict[str, Callable[[], object]] = {
    "int64": lambda: pa.array(ARROW_NUMBERS),
    "int32": lambda: pa.array(ARROW_NUMBERS, pa.int32()),
    "int64, chunked": lambda: pa.chunked_array([ARROW_NUMBERS]),
    "int64, no null": lambda: pa.array([1, 0, 3]),
    "doubles": lambda: pa.array([1.0, None, 3.0]),
    "texts": lambda: pa.array(["a", None, "bc"]),
    "texts, large": lambda: pa.array(["a", None, "bc"], pa.large_string()),
    "texts, view": lambda: pa.array(["a", None, "bc"], pa.string_view()),
    "texts, moved": lambda: pa.array(["ab", None, "c"]),
    "bytes": lambda: pa.array([b"a", None, b"bc"]),
    "bytes of one width": lambda: pa.array([b"a", None, b"b"], pa.binary(1)),
    "bools": lambda: pa.array([True, None, False]),
    "nulls": lambda: pa.nulls(3),
    "dictionary": lambda: pa.array(["a", None, "bc"]).dictionary_encode(),
    "runs": lambda: pa.array(["a", None, "bc"], pa.run_end_encoded(pa.int32(), pa.string())),
    "lists": lambda: pa.array([[1], None, [2, 3]]),
    "lists, otherwise": lambda: pa.array([[1, 2], None, [3]]),
    "lists, empty": lambda: pa.array([[1], [], [2, 3]]),
    "lists of two": lambda: pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2)),
    "views of lists": lambda: pa.array([[1], None, [2, 3]], pa.list_view(pa.int64())),
    "maps": lambda: pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "structs": lambda: pa.array([{"a": 1, "b": None}, None]),
    "structs, named otherwise": lambda: pa.array([{"a": 1, "c": None}, None]),
    "decimals": lambda: pa.array([decimal.Decimal("1.0")]),
    "times": lambda: pa.array([1], pa.timestamp("ns")),
    "times, UTC": lambda: pa.array([1], pa.timestamp("ns", "UTC")),
    "union": lambda: pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
    "uuids": lambda: pa.array([b"a" * 16], pa.uuid()),
    "table": lambda: pa.table({"a": [1, 2], "b": ["x", "y"]}),
    "table, renamed": lambda: pa.table({"a": [1, 2], "c": ["x", "y"]}),
    "table, other order": lambda: pa.table({"b": ["x", "y"], "a": [1, 2]}),
    "table with metadata": lambda: pa.table({"a": [1, 2], "b": ["x", "y"]}).replace_schema_metadata({"k": "v"}),
    "table without columns": lambda: pa.table({}),
    "batch": lambda: pa.record_batch({"a": [1, 2], "b": ["x", "y"]}),
    "scalar": lambda: pa.scalar(1),
    "scalar, null": lambda: pa.scalar(None, pa.int64()),
    "type": pa.int64,
    "type, two fields": lambda: pa.struct([("a", pa.int32()), ("b", pa.int32())]),
    "type, one field of a sly name": lambda: pa.struct([("a: int32, b", pa.int32())]),
    "field": lambda: pa.field("a", pa.int64()),
    "field, not null": lambda: pa.field("a", pa.int64(), nullable=False),
    "field with metadata": lambda: pa.field("a", pa.int64(), metadata={"k": "v"}),
    "schema": lambda: pa.schema([("a", pa.int64())]),
    "in a list": lambda: [pa.array(ARROW_NUMBERS)],
}
PANDAS: dict[str, Callable[[], object]] = {
    "frame": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "frame, renamed": lambda: pd.DataFrame({"a": [1, 2], "c": ["x", None]}),
    "frame, other order": lambda: pd.DataFrame({"b": ["x", None], "a": [1, 2]}),
    "frame, other index": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[1, 2]),
    "frame, attrs": lambda: with_attribute(pd.DataFrame({"a": [1, 2], "b": ["x", None]}), attrs={"k": 1}),
    "frame, named index": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}).rename_axis("i"),
    "frame, named columns": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}).rename_axis(columns="i"),
    "frame of floats": lambda: pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}),
    "frame, no duplicates": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}).set_flags(
        allows_duplicate_labels=False
    ),
    "MyFrame": lambda: with_attribute(MyFrame({"a": [1, 2], "b": ["x", None]}), unit="m"),
    "MyFrame, other": lambda: with_attribute(MyFrame({"a": [1, 2], "b": ["x", None]}), unit="s"),
    "series": lambda: pd.Series([1, 2]),
    "series, named": lambda: pd.Series([1, 2], name="a"),
    "series, nullable": lambda: pd.Series([1, None], dtype="Int64"),
    "series, arrow": lambda: pd.Series([1, None], dtype="int64[pyarrow]"),
    "series of nan": lambda: pd.Series([1, None]),
    "series of texts": lambda: pd.Series(["a", None]),
    "series of texts, NA": lambda: pd.Series(["a", None], dtype="string"),
    "series of texts, python": lambda: pd.Series(["a", None], dtype="string[python]"),
    "series of objects": lambda: pd.Series(["a", None], dtype=object),
    "series of lists": lambda: pd.Series([["a"], [1]]),
    "categories": lambda: pd.Series(["a", "b"], dtype="category"),
    "categories, other order": lambda: pd.Series(pd.Categorical(["a", "b"], ["b", "a"])),
    "categories, ordered": lambda: pd.Series(pd.Categorical(["a", "b"], ordered=True)),
    "categories, one unused": lambda: pd.Series(pd.Categorical(["a", "b"], ["a", "b", "c"])),
    "times": lambda: pd.Series(pd.to_datetime(["2026-11-23"])),
    "times, UTC": lambda: pd.Series(pd.to_datetime(["2026-11-23"], utc=True)),
    "times, other unit": lambda: pd.Series(pd.to_datetime(["2026-11-23"])).astype("datetime64[ms]"),
    "timedeltas": lambda: pd.Series(pd.to_timedelta([1], unit="s")),
    "periods": lambda: pd.Series(pd.period_range("2026", periods=2, freq="M")),
    "intervals": lambda: pd.Series(pd.interval_range(0, 2)),
    "intervals, closed left": lambda: pd.Series(pd.interval_range(0, 2, closed="left")),
    "sparse": lambda: pd.Series(pd.arrays.SparseArray([0, 0, 1])),
    "sparse, other fill": lambda: pd.Series(pd.arrays.SparseArray([0, 0, 1], fill_value=1)),
    "range index": lambda: pd.RangeIndex(2),
    "index": lambda: pd.Index([0, 1]),
    "index, named": lambda: pd.Index([0, 1], name="a"),
    "date index": lambda: pd.date_range("2026", periods=2),
    "date index without freq": lambda: pd.DatetimeIndex(["2026-01-01", "2026-01-02"]),
    "multi index": lambda: pd.MultiIndex.from_product([[1, 2], ["a"]]),
    "multi index, named": lambda: pd.MultiIndex.from_product([[1, 2], ["a"]], names=["x", None]),
    "array": lambda: pd.array([1, 2]),
    "Timestamp": lambda: pd.Timestamp("2026"),
    "Timedelta": lambda: pd.Timedelta(1),
    "Period": lambda: pd.Period("2026"),
    "Interval": lambda: pd.Interval(0, 1),
    "NaT": lambda: pd.NaT,
    "NA": lambda: pd.NA,
    "dtype": lambda: pd.CategoricalDtype(["a"]),
}
SCIPY: dict[str, Callable[[], object]] = {
    f"{kind}_{form}": functools.partial(getattr(scipy.sparse, f"{kind}_{form}"), np.eye(2))
    for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    for form in ("matrix", "array")
} | {
    "csr of ints": lambda: scipy.sparse.csr_array(np.eye(2, dtype=int)),
    "csr 2x3": lambda: scipy.sparse.csr_array(np.eye(2, 3)),
    "csr, explicit zero": lambda: scipy.sparse.csr_array(([1.0, 1.0, 0.0], ([0, 1, 0], [0, 1, 1])), shape=(2, 2)),
}
GROUPS = {
    "builtin": BUILTIN,
    "standard": STANDARD,
    "objects": OBJECTS,
    "forgotten": FORGOTTEN,
    "numpy": NUMPY,
    "arrow": ARROW,
    "pandas": PANDAS,
    "scipy": SCIPY,
}
VALUES = {f"{group}: {name}": make for group, table in GROUPS.items() for name, make in table.items()}
PICKLED = {
    name: make
    for name, make in VALUES.items()
    if not name.startswith("forgotten")
    and name
    not in {
        "standard: mapping proxy",  # pickle refuses these
        "standard: memoryview",
        "standard: memoryview, signed",
        "standard: module",
        "standard: method of another object",  # and makes another of this
    }
}


def digests() -> dict[str, str]:
    """The digest of each value, in hex."""
    from gpucache.digests import value_digest

    return {name: value_digest(make(), name=name).hex() for name, make in VALUES.items()}


if __name__ == "__main__":
    import digest_values  # under its own name: the classes of `__main__` are not those of the table

    print(json.dumps(digest_values.digests()))
