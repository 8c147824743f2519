"""Properties of digests over drawn values: equal exactly where values are the same, here and in a fresh process."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import pickle
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from digest_values import Colour, Frozen, MyDict, MyInt, MyList, MySet, MyStr, Pair, Point, Slotted
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gpucache.digests import canonical, encode, tree_digest, tree_digest_reference, value_digest

INTS = st.integers() | st.sampled_from([0, -1, 127, 128, 255, 256, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64])
TEXTS = st.text(st.characters()) | st.text("ab\0\ud800", max_size=3)
FLOATS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]) | st.floats()
HASHABLE_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    INTS,
    FLOATS,
    st.complex_numbers(),
    TEXTS,
    st.binary(max_size=20),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.sampled_from([Colour.RED, Colour.GREEN, int, Point, len, ...]),
    INTS.map(MyInt),
    st.text("ab", max_size=3).map(MyStr),
    INTS.map(Frozen),
)
SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = npst.arrays(npst.scalar_dtypes() | npst.array_dtypes(max_size=3), SHAPES)
NATIVE_DTYPES = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="="),
    npst.unsigned_integer_dtypes(endianness="="),
    npst.floating_dtypes(endianness="="),
    npst.complex_number_dtypes(endianness="="),
    npst.datetime64_dtypes(endianness="="),
    npst.timedelta64_dtypes(endianness="="),
    npst.unicode_string_dtypes(endianness="="),
    npst.byte_string_dtypes(endianness="="),
)
NATIVE_ARRAYS = npst.arrays(NATIVE_DTYPES | npst.array_dtypes(NATIVE_DTYPES, max_size=3), SHAPES)
"""numpy pickles arrays of the other byte order as arrays of this one: other arrays, whose tobytes() differ."""
HASHABLE = st.recursive(
    HASHABLE_LEAVES,
    lambda inner: (
        st.tuples(inner) | st.tuples(inner, inner) | st.frozensets(inner, max_size=4) | st.builds(Pair, inner, inner)
    ),
    max_leaves=6,
)


def values_with(arrays: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of every kind, one within the other."""
    return st.recursive(
        HASHABLE | arrays | st.binary(max_size=10).map(bytearray),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(HASHABLE, inner, max_size=4),
            st.sets(HASHABLE, max_size=4),
            st.builds(Point, inner, inner),
            st.builds(Slotted, inner, inner),
            st.lists(inner, max_size=3).map(MyList),
            st.dictionaries(HASHABLE, inner, max_size=3).map(MyDict),
            st.sets(HASHABLE, max_size=4).map(MySet),
        ),
        max_leaves=12,
    )


VALUES = values_with(ARRAYS)
NATIVE_VALUES = values_with(NATIVE_ARRAYS)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, by another way than ours: type by type, bit by bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        rest = list(other)
        for item in one:
            found = next((place for place, there in enumerate(rest) if same(item, there)), None)
            if found is None:
                return False
            del rest[found]
        return not rest
    if isinstance(one, Point):
        return same((one.x, one.y), (other.x, other.y))
    if isinstance(one, Slotted):
        return same((one.a, one.b), (other.a, other.b))
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, dt.datetime):
        return one == other and one.fold == other.fold
    if isinstance(one, Frozen):
        return same(one.x, other.x)
    return bool(one == other)


@given(VALUES)
def test_the_kernel_writes_what_the_oracle_writes(value: object) -> None:
    """Cython == Python, byte for byte."""
    assert encode(value) == canonical.encode(value)
    assert value_digest(value) == canonical.value_digest(value) == tree_digest(encode(value))


@given(NATIVE_VALUES)
def test_a_value_that_was_away_is_the_same(value: object) -> None:
    """digest(x) == digest(round trip of x)."""
    assert value_digest(pickle.loads(pickle.dumps(value, protocol=5))) == value_digest(value)


@settings(max_examples=300)
@given(VALUES, VALUES)
def test_equal_digests_are_equal_values(one: object, other: object) -> None:
    """And different digests are different values: nothing else counts."""
    assert (value_digest(one) == value_digest(other)) == same(one, other)


@settings(max_examples=300)
@given(st.lists(HASHABLE_LEAVES, max_size=3), st.lists(HASHABLE_LEAVES, max_size=3))
def test_no_encoding_begins_another(one: list[object], other: list[object]) -> None:
    """So what stands beside a value can't be read as part of it."""
    for first, second in (
        (one, other),
        (tuple(one), tuple(other)),
        (Point(one), Point(other)),
        (MyList(one), MyList(other)),
    ):
        if not same(first, second):
            assert not encode(first).startswith(encode(second))


@given(
    npst.arrays(npst.scalar_dtypes(), (3, 4)), st.sampled_from(["F", "strided", "reversed", "read-only", "unaligned"])
)
def test_how_an_array_lies_does_not_count(array: np.ndarray[Any, Any], how: str) -> None:
    """Memory order, strides, alignment and flags are not elements."""
    if how == "F":
        other = np.asfortranarray(array)
    elif how == "strided":
        other = np.repeat(array, 2, axis=1)[:, ::2]
    elif how == "reversed":
        other = array[::-1].copy()[::-1]
    elif how == "read-only":
        other = np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
    else:
        raw = np.empty(array.nbytes + 1, np.uint8)
        raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
        other = np.ndarray(array.shape, array.dtype, raw.data, offset=1)

    assert value_digest(other) == value_digest(array)


@given(npst.arrays(np.uint8, st.integers(1, 300)), st.data())
def test_every_bit_of_an_array_counts(array: np.ndarray[Any, Any], data: st.DataObject) -> None:
    """Wherever it is."""
    other = array.copy()
    other[data.draw(st.integers(0, len(array) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    assert value_digest(other) != value_digest(array)


@settings(max_examples=30)
@given(st.integers(0, 400_000), st.integers(1, 9), st.integers(0, 2**32))
def test_threads_change_nothing(size: int, threads: int, seed: int) -> None:
    """One thread, many threads and the reference give one digest."""
    data = np.random.default_rng(seed).bytes(size)

    assert tree_digest(data, threads=threads) == tree_digest(data) == tree_digest_reference(data)


SCRIPT = """
import json, pickle, sys
from gpucache.digests import value_digest
print(json.dumps([value_digest(value).hex() for value in pickle.load(sys.stdin.buffer)]))
"""


@pytest.mark.slow
@settings(max_examples=3, phases=[Phase.generate])  # a process per example: no shrinking
@given(st.lists(NATIVE_VALUES, min_size=60, max_size=60))
def test_a_fresh_process_finds_the_same_digests(values: list[object]) -> None:
    """digest(x) == digest(round trip of x), there, under another hash seed."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=pickle.dumps(values), env=environment, capture_output=True, check=True
    )

    assert json.loads(done.stdout) == [value_digest(value).hex() for value in values]
