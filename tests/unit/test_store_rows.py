"""Rows' checks against xxhash alone, and look-ups that go the short way or leave it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from gpucache.store._rows import CHECK_BYTES, Getter, Kept, body_of, checked

NAME = b"records\0"


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=40), st.binary(max_size=3000))
def test_the_check_is_xxh3_of_all_three(name: bytes, key: bytes, body: bytes) -> None:
    """A row is XXH3-64 of name, key and body, and the body; and body_of() gives it back."""
    row = checked(name, key, body)

    assert row == xxhash.xxh3_64_digest(name + key + body) + body
    assert body_of(name, key, row) == body


@given(st.binary(max_size=2000), st.data())
def test_a_row_that_differs_in_a_bit_has_no_body(body: bytes, data: st.DataObject) -> None:
    """One flipped bit anywhere in the row, the key or the name of the database, and there is no body."""
    whole = bytearray(NAME + b"key" + checked(NAME, b"key", body))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    name, key, row = bytes(whole[: len(NAME)]), bytes(whole[len(NAME) : len(NAME) + 3]), bytes(whole[len(NAME) + 3 :])

    assert body_of(name, key, row) is None


@pytest.mark.parametrize("size", range(CHECK_BYTES))
def test_a_row_shorter_than_its_check_has_no_body(size: int) -> None:
    """Bytes that can't even hold a check are damaged, not read beyond their end."""
    assert body_of(NAME, b"key", bytes(size)) is None


class Slow:
    """The way for everything else: says so, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, key: bytes) -> bytes:
        self.asked.append(key)
        return b"slow"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    with lmdb.open(str(tmp_path), max_dbs=1, lib_version=0) as env:
        yield env, env.open_db(b"records")


def put(env: Any, database: Any, key: bytes, row: bytes) -> None:
    with env.begin(write=True) as writing:
        writing.put(key, row, db=database)


def test_what_is_there_and_right_is_found_without_the_slow_way(opened: tuple[Any, Any]) -> None:
    """A row, and that there is none, are answered at once."""
    slow = Slow()
    getter = Getter(NAME, slow)
    getter.set(opened[0].begin, opened[1])
    put(*opened, b"key", checked(NAME, b"key", b"body"))

    assert getter.get(b"key") == b"body"
    assert getter.get(b"other") is None
    assert slow.asked == []


@pytest.mark.parametrize(
    "row", [b"", b"short", checked(NAME, b"other", b"body"), checked(b"values\0", b"key", b"body")]
)
def test_a_damaged_row_is_left_to_the_slow_way(opened: tuple[Any, Any], row: bytes) -> None:
    """Rows that are empty, short, of another key, of another database."""
    slow = Slow()
    getter = Getter(NAME, slow)
    getter.set(opened[0].begin, opened[1])
    put(*opened, b"key", row)

    assert getter.get(b"key") == b"slow"
    assert slow.asked == [b"key"]


def test_where_nothing_is_open_or_lmdb_raises_it_is_left_to_the_slow_way(opened: tuple[Any, Any]) -> None:
    """Before set(), after set(None), with a key that LMDB refuses, and once the environment is closed."""
    slow = Slow()
    getter = Getter(NAME, slow)
    assert getter.get(b"1") == b"slow"
    getter.set(opened[0].begin, opened[1])
    assert getter.get(b"") == b"slow"
    opened[0].close()
    assert getter.get(b"4") == b"slow"
    getter.set(None, None)
    assert getter.get(b"5") == b"slow"

    assert slow.asked == [b"1", b"", b"4", b"5"]


@pytest.fixture(params=["LMDB", "a function"])
def rows(request: pytest.FixtureRequest, opened: tuple[Any, Any]) -> tuple[Any, Any]:
    """(put(key, body), the look-up)."""
    if request.param == "a function":
        known: dict[bytes, bytes] = {}
        return known.__setitem__, known.get
    getter = Getter(NAME, Slow())
    getter.set(opened[0].begin, opened[1])
    return lambda key, body: put(*opened, key, checked(NAME, key, body)), getter.get


def test_a_row_is_made_something_of_once(rows: tuple[Any, Any]) -> None:
    """As long as the row is the same; a row of equal length with other content is another."""
    made: list[bytes] = []

    def answer_of(row: bytes) -> tuple[tuple[bytes], bool]:
        made.append(row)
        return (row,), True

    kept = Kept(rows[1], answer_of, 10, 100)
    rows[0](b"key", b"one")
    assert [kept.get(b"key"), kept.get(b"key"), kept.get(b"none")] == [(b"one",), (b"one",), None]
    rows[0](b"key", b"two")
    assert [kept.get(b"key"), kept.get(b"key")] == [(b"two",), (b"two",)]
    kept.clear()
    assert kept.get(b"key") == (b"two",)

    assert made == [b"one", b"two", b"two"]


def test_what_is_not_lasting_or_too_long_is_made_each_time(rows: tuple[Any, Any]) -> None:
    """Neither what may be changed by whoever has it, nor what a long row gave, is handed out twice."""
    kept = Kept(rows[1], lambda row: ([row], not row.startswith(b"new")), 10, 100)
    for key, body in ((b"a", b"new"), (b"b", b"x" * 11), (b"c", b"same")):
        rows[0](key, body)

    assert kept.get(b"a") is not kept.get(b"a")
    assert kept.get(b"b") is not kept.get(b"b")
    assert kept.get(b"c") is kept.get(b"c")


def test_so_many_are_kept(rows: tuple[Any, Any]) -> None:
    """One more than the limit, and all are made again when they are asked for."""
    made: list[bytes] = []

    def answer_of(row: bytes) -> tuple[bytes, bool]:
        made.append(row)
        return row, True

    kept = Kept(rows[1], answer_of, 10, 3)
    for number in (0, 1, 2, 0, 1, 2, 3, 3, 0):
        rows[0](b"%d" % number, b"%d" % number)
        kept.get(b"%d" % number)

    assert made == [b"0", b"1", b"2", b"3", b"0"]


def test_a_kept_answer_goes_with_a_damaged_row(opened: tuple[Any, Any]) -> None:
    """Bytes that changed beneath what was made of them are not answered for."""
    getter = Getter(NAME, lambda key: None)
    getter.set(opened[0].begin, opened[1])
    kept = Kept(getter.get, lambda row: (row, True), 100, 100)
    put(*opened, b"key", checked(NAME, b"key", b"body"))
    assert kept.get(b"key") == b"body"

    put(*opened, b"key", checked(NAME, b"key", b"body")[:-1] + b"Y")

    assert kept.get(b"key") is None
