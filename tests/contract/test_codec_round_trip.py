"""Every codec's contract: what goes in comes out, exactly, with the identity that it had."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from codec_support import ARRAYS, PICKLED, SAFE, read, round_trip, same

from gpucache import codec
from gpucache.digests import value_digest


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_value_comes_back_without_pickle(name: str) -> None:
    """Type, order and every bit; allow_pickle=False, so no code of its own ran."""
    value = SAFE[name]

    encoded = codec.encode(value)

    assert encoded.codec in ("plain", "struct")
    assert not encoded.pickled
    assert same(read(encoded, allow_pickle=False), value)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_without_pickle(name: str) -> None:
    """dtype (order of bytes, fields, alignment, titles), shape and elements; read-only; alone and in a list."""
    value = ARRAYS[name]

    encoded = codec.encode(value)
    alone, (within,) = read(encoded, allow_pickle=False), round_trip([value], allow_pickle=False)

    assert encoded.codec == "array"
    for back in (alone, within):
        assert same(back, value)
        assert back.dtype.fields == value.dtype.fields
        assert back.dtype.isalignedstruct == value.dtype.isalignedstruct
        assert not back.flags.writeable
        assert type(back[...]) is type(value[...])


@pytest.mark.parametrize("name", PICKLED)
def test_any_other_value_comes_back_by_pickle_and_is_marked(name: str) -> None:
    """What the safe codecs can't hold exactly is left to pickle as a whole, and says so."""
    value = PICKLED[name]

    encoded = codec.encode(value)

    assert (encoded.codec, encoded.pickled) == ("python", True)
    assert same(read(encoded), value)


@pytest.mark.parametrize("value", [*SAFE.values(), *ARRAYS.values(), *PICKLED.values()], ids=[*SAFE, *ARRAYS, *PICKLED])
def test_what_comes_back_has_the_identity_that_went_in(value: Any) -> None:
    """A stored result and the fresh one make the same keys downstream."""
    assert value_digest(round_trip(value)) == value_digest(value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_of_an_array_is_kept(order: Any) -> None:
    """A Fortran array comes back as one, so that what was fast on it stays fast."""
    back = round_trip(np.zeros((3, 4), order=order))

    assert back.flags.c_contiguous == (order == "C")
    assert back.flags.f_contiguous == (order == "F")


def test_times_in_a_zone_come_back_in_the_same_zone_object() -> None:
    """Arithmetic between two datetimes depends on whether their zones are one object."""
    import zoneinfo

    value = dt.datetime(2026, 3, 29, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))

    assert round_trip(value).tzinfo is value.tzinfo


def test_bits_of_a_nan_survive_in_every_place() -> None:
    """A NaN's payload is data: alone, in a list, as a complex part, in an array."""
    odd = SAFE["nan with a payload"]

    back = round_trip([odd, complex(odd, odd), np.array([odd]), np.float64(odd)])

    assert same(back, [odd, complex(odd, odd), np.array([odd]), np.float64(odd)])
