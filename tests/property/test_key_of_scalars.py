"""The key of a call with plain arguments, made in one step, is the key that is made part by part."""

from __future__ import annotations

import enum

from hypothesis import given
from hypothesis import strategies as st

from gpucache.digests import key_of_scalars, value_digest
from gpucache.memo import key_of

SCALARS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(st.characters(codec=None)),
    st.binary(),
    st.text(min_size=2000),
)


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


@given(st.binary(max_size=64), st.lists(SCALARS, max_size=6), st.data())
def test_one_step_or_many(header: bytes, values: list[object], data: st.DataObject) -> None:
    """For any scalars, and any choice of those that count."""
    counted = tuple(sorted(data.draw(st.sets(st.integers(0, len(values) - 1))))) if values else ()

    assert key_of_scalars(header, tuple(values), counted) == key_of(
        header, [value_digest(values[index]) for index in counted]
    )


@given(
    st.lists(SCALARS, max_size=3),
    st.sampled_from([[1], (1,), {}, 1j, Color.RED, Text("a"), object(), int, len, bytearray(b"a")]),
)
def test_what_is_no_scalar_is_left_to_others(values: list[object], other: object) -> None:
    """Containers, subclasses, code: None, so that they are looked into."""
    given_values = (*values, other)

    assert key_of_scalars(b"header", given_values, tuple(range(len(given_values)))) is None
