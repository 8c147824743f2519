"""Values that carry their digest: taken at their word as long as nobody can have changed them."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gpucache.digests import encode, remember, remembered, value_digest

WRONG = b"not its own digest"[:16]


def locked(data: bytes = bytes(range(24)), dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """As the store gives arrays out: over memory that can't be written."""
    return np.frombuffer(data, dtype)


def test_a_remembered_array_is_not_hashed_again() -> None:
    """At the top and within containers, the digest that it carries is the one that counts."""
    array = locked()

    assert remember(array, WRONG)

    assert value_digest(array) == remembered(array) == WRONG
    assert encode([array]).endswith(b"D" + WRONG)


def test_the_digest_remembered_is_the_digest_found() -> None:
    """Whether an array came out of the store or was computed changes nothing above it."""
    array = locked()
    alone, within = value_digest(array), value_digest({"x": [array]})

    remember(array, alone)

    assert (value_digest(array), value_digest({"x": [array]})) == (alone, within)


def owner() -> Any:
    made = np.zeros(3)
    made.flags.writeable = False
    return made


REFUSED = {
    "one that can be written": lambda: np.zeros(3),
    "one that can be made writable": owner,
    "a view of one that can be written": lambda: np.frombuffer(bytearray(24)),
    "objects": lambda: np.array([[1]], dtype=object),
    "records of objects": lambda: np.zeros(1, [("a", "O")]),
    "a list": lambda: [1],
    "a text": lambda: "a",
    "Arrow over memory that can be written": lambda: pa.Array.from_buffers(
        pa.uint8(), 4, [None, pa.py_buffer(bytearray(4))]
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_change_is_not_remembered(what: str) -> None:
    """A stale digest is a wrong answer."""
    value = REFUSED[what]()

    assert not remember(value, WRONG)
    assert remembered(value) is None


def test_an_array_changed_in_place_is_hashed_again() -> None:
    """numpy lets dtype and shape be set on an array, memory being the same."""
    for attribute, new in (("shape", (4, 6)), ("dtype", np.dtype("u2"))):
        array = locked()
        remember(array, WRONG)
        with pytest.warns() if attribute == "nothing" else _quiet():
            setattr(array, attribute, new)
        assert remembered(array) is None


def _quiet() -> Any:
    import warnings

    context = warnings.catch_warnings()
    context.__enter__()
    warnings.simplefilter("ignore")
    context.__exit__(None, None, None)
    return warnings.catch_warnings(action="ignore")


def test_a_view_is_not_the_array() -> None:
    """Only the very object is remembered."""
    array = locked()
    remember(array, WRONG)

    assert remembered(array[1:]) is None
    assert remembered(array.view()) is None


def test_a_dead_array_is_forgotten() -> None:
    """A new object at the old address is a stranger."""
    from gpucache.digests import known

    array = locked()
    remember(array, WRONG)
    before = len(known._known)

    del array
    gc.collect()

    assert len(known._known) == before - 1


def test_arrow_values_are_remembered_as_sealed() -> None:
    """Arrow has no call that changes a value, and these buffers belong to bytes."""
    sealed = pa.Array.from_buffers(pa.uint8(), 4, [None, pa.py_buffer(b"abcd")])

    assert remember(sealed, WRONG)
    assert value_digest(sealed) == WRONG
