"""Values that carry their digest: taken at their word as long as nobody can have changed them."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gpucache.digests import encode, remember, remembered, value_digest
from gpucache.store._mapping import Mapping

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


def mapped(nbytes: int = 24) -> np.ndarray[Any, Any]:
    """An array as the store hands them out: over a file's mapping."""
    descriptor = os.memfd_create("bytes")
    os.write(descriptor, bytes(range(nbytes)))
    memory = Mapping(descriptor, nbytes, False)
    os.close(descriptor)
    return np.ndarray((nbytes,), np.uint8, memory)


def test_a_view_of_all_of_a_remembered_array_is_not_hashed_again() -> None:
    """`a[:]`, `a.view()`, and the same shape by another way: the same bytes in the same order; `a` itself may be gone by then."""
    array = mapped()
    remember(array, WRONG)
    views = [array[:], array.view(), array.reshape(4, 6).reshape(24), np.asarray(array), array[:][...]]

    assert [value_digest(view) for view in views] == [WRONG] * 5
    assert encode([views[0]]).endswith(b"D" + WRONG)
    del array
    gc.collect()
    assert value_digest(views[0]) == WRONG


def test_another_view_is_hashed_once_and_known_by_its_form() -> None:
    """A slice made anew at each call; other bytes, another shape, dtype or order are other views."""
    array = mapped()
    remember(array, value_digest(array))
    first = value_digest(array[:10])

    assert first == value_digest(array[:10].copy()) == remembered(array[:10])
    others = [array[1:11], array[:9], array[:10].reshape(2, 5), array[:10].view(np.int8), array[:20:2], array[9::-1]]
    assert [remembered(other) for other in others] == [None] * len(others)
    assert [value_digest(other) for other in others] == [value_digest(other.copy()) for other in others]


def test_a_view_of_memory_that_can_be_written_is_hashed_each_time() -> None:
    """A lock that numpy itself can take off again is none."""
    array = mapped()
    remember(array, WRONG)
    copied = array.copy()
    copied.flags.writeable = False

    assert value_digest(copied[:]) != WRONG
    assert remembered(copied[:5]) is None


def test_views_beyond_the_most_that_are_kept_are_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of a memory is bounded, however many views of it are made."""
    import gpucache.digests.known as known

    monkeypatch.setattr(known, "VIEWS_MAX", 8)
    array = mapped()
    remember(array, value_digest(array))

    for end in range(1, 24):
        assert value_digest(array[:end]) == value_digest(array[:end].copy())

    assert 0 < len(known._views[array.base]) <= 8
