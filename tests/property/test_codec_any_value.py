"""Whatever a value is made of, it comes back the same: type, order and every bit, with the identity that it had."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
from codec_support import round_trip, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gpucache import codec
from gpucache.digests import value_digest

ZONES = (
    st.none()
    | st.just(dt.UTC)
    | st.sampled_from([zoneinfo.ZoneInfo("Europe/Berlin"), dt.timezone(dt.timedelta(hours=2))])
)
HASHABLE_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters()),  # surrogates too
    st.binary(),
    st.dates(),
    st.datetimes(timezones=ZONES, allow_imaginary=True),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
)
DTYPES = (
    npst.scalar_dtypes() | npst.array_dtypes() | npst.unicode_string_dtypes(endianness="?") | npst.byte_string_dtypes()
)
ARRAYS = npst.arrays(DTYPES, npst.array_shapes(min_dims=0, min_side=0, max_side=4))
KEYS = st.recursive(
    HASHABLE_SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
VALUES = st.recursive(
    HASHABLE_SCALARS | ARRAYS | st.binary().map(bytearray) | npst.scalar_dtypes().flatmap(npst.from_dtype),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(KEYS, inner),
        st.sets(KEYS),
        st.frozensets(KEYS),
        inner.map(lambda value: [value, value]),
    ),
)


@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    """Same in type, content and order."""
    assert same(round_trip(value), value)


@given(VALUES)
def test_no_value_of_plain_kinds_needs_pickle(value: Any) -> None:
    """What is made of scalars, containers and arrays can be read where pickle is not trusted."""
    assert same(round_trip(value, allow_pickle=False), value)


@given(VALUES)
def test_the_identity_is_kept(value: Any) -> None:
    """A stored value and the fresh one make the same keys."""
    assert value_digest(round_trip(value)) == value_digest(value)


@given(VALUES)
def test_laying_out_is_a_function_of_the_value(value: Any) -> None:
    """Twice the same bytes, so that the same result is the same blob."""
    one, two = codec.encode(value), codec.encode(value)

    assert (one.codec, one.meta) == (two.codec, two.meta)
    assert [bytes(memoryview(part).cast("B")) if memoryview(part).nbytes else b"" for part in one.parts] == [
        bytes(memoryview(part).cast("B")) if memoryview(part).nbytes else b"" for part in two.parts
    ]


@given(ARRAYS, st.data())
def test_any_view_of_an_array_comes_back(array: np.ndarray[Any, Any], data: st.DataObject) -> None:
    """Slices, reversed axes and transpositions: values count, strides don't."""
    view = array[data.draw(npst.basic_indices(array.shape, allow_ellipsis=True))] if array.ndim else array
    view = np.asarray(view).T

    back = round_trip(view, allow_pickle=False)

    assert same(back, view)
    assert not back.flags.writeable
