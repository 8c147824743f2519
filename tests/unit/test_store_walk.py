"""The walk over LMDB's file: what LMDB wrote is sound, what lmdb.verify calls wrong is found, no bytes crash it.

lmdb.verify (lmdb 3, in Python) is the oracle: a walker by LMDB's own binding, over every invariant of its pages.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucache.store._walk import problem_of, rows_of
from gpucache.store.environment import open_databases, open_environment

verify = pytest.importorskip("lmdb.verify", reason="lmdb 3 has the oracle").verify

PAGE = 4096
MUTATIONS = 1500
LEAK = "neither reachable nor"
"""What is only room lost: LMDB never looks at such a page, so neither does the walk."""

Write = Callable[[Any, dict[str, Any]], None]


def commit(env: Any, change: Callable[[Any], None]) -> None:
    with env.begin(write=True) as transaction:
        change(transaction)


def nothing(env: Any, databases: dict[str, Any]) -> None:
    """Only the databases' names."""


def rows(env: Any, databases: dict[str, Any], count: int = 3000) -> None:
    """Enough for three levels of pages, some rows on pages of their own."""
    numbers = random.Random(1)
    for start in range(0, count, 500):
        with env.begin(write=True) as transaction:
            for number in range(start, start + 500):
                key = numbers.randbytes(32) + b"k" * (number % 200)
                transaction.put(key, bytes(numbers.choice((5, 90, 400, 9000))), db=databases["records"])
                transaction.put(b"%06d" % number, b"", db=databases["parts"])


def rows_and_deletions(env: Any, databases: dict[str, Any], count: int = 3000) -> None:
    """Long lists of free pages, and a database that is empty again."""
    rows(env, databases, count)
    with env.begin(write=True) as transaction:
        keys = [key for key, _ in transaction.cursor(db=databases["records"])]
        for key in keys[::3]:
            transaction.delete(key, db=databases["records"])
    commit(env, lambda transaction: transaction.drop(databases["parts"], delete=False))
    commit(env, lambda transaction: transaction.put(b"the last", b"one", db=databases["used"]))


def index_of(folder: Path, write: Write) -> bytes:
    env = open_environment(folder)
    write(env, open_databases(env))
    env.close()
    return (folder / "data.mdb").read_bytes()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small one: the oracle is in Python."""
    return index_of(tmp_path_factory.mktemp("index"), partial(rows_and_deletions, count=500))


@pytest.mark.parametrize("write", [nothing, rows, rows_and_deletions])
def test_what_lmdb_writes_is_sound(tmp_path: Path, write: Write) -> None:
    """A sound index is never set aside."""
    data = index_of(tmp_path, write)

    assert problem_of(data, PAGE) is None
    assert verify(str(tmp_path)) == []


def test_no_file_yet_is_sound() -> None:
    """LMDB makes it."""
    assert problem_of(b"", PAGE) is None


def mutated(index: bytes, seed: int) -> bytes:
    """One field, or a few bits, of what stands before and between the rows' values: heads, bounds, pointers, nodes, lists."""
    numbers, data = random.Random(seed), bytearray(index)
    page = numbers.choice((0, 1, numbers.randrange(len(data) // PAGE)))
    for _ in range(numbers.choice((1, 1, 3))):
        at = page * PAGE + numbers.choice((numbers.randrange(16), 16 + numbers.randrange(160), numbers.randrange(PAGE)))
        how = numbers.randrange(3)
        if how == 0:
            data[at] ^= 1 << numbers.randrange(8)
        elif how == 1:
            data[at : at + 2] = numbers.choice((0, 1, 0xFFFF, numbers.randrange(2**16))).to_bytes(2, "little")
        else:
            data[at : at + 8] = data[(source := numbers.randrange(len(data) - 8)) : source + 8]
    return bytes(data[: len(index)])


def test_the_oracle_finds_nothing_that_the_walk_does_not(index: bytes, tmp_path: Path) -> None:
    """Whatever LMDB's own verifier calls wrong about a page that can be reached, the walk finds."""
    found = 0
    for seed in range(MUTATIONS):
        data = mutated(index, seed)
        (tmp_path / "data.mdb").write_bytes(data)
        try:
            wrong = [problem for problem in verify(str(tmp_path)) if LEAK not in problem]
        except Exception as problem:  # its own VerifyError; on some files also an error of Python's
            wrong = [repr(problem)]
        if wrong:
            found += 1
            assert problem_of(data, PAGE) is not None, (seed, wrong)
    assert found > MUTATIONS / 5


def test_all_rows_of_a_sound_file_are_read(index: bytes, tmp_path: Path) -> None:
    """As LMDB gives them, short and long ones, database by database."""
    (tmp_path / "data.mdb").write_bytes(index)
    env = open_environment(tmp_path)
    databases = open_databases(env)
    with env.begin() as transaction:
        expected = [
            (name.encode(), key, row)
            for name, database in sorted(databases.items())
            for key, row in transaction.cursor(db=database)
        ]
    env.close()

    assert list(rows_of(index, PAGE)) == expected
    assert len(expected) > 300


def test_a_damaged_page_costs_what_is_below_it_alone(index: bytes) -> None:
    """Each page in turn: what is read is a part of what was there, and from most files nearly all of it."""
    whole = set(rows_of(index, PAGE))
    lost = []
    for page in range(2, len(index) // PAGE):
        data = bytearray(index)
        data[page * PAGE : page * PAGE + 16] = bytes(16)
        rows = set(rows_of(data, PAGE))
        assert rows <= whole
        lost.append(len(whole) - len(rows))

    assert sorted(lost)[len(lost) * 9 // 10] < len(whole) / 10


def test_one_whole_head_is_enough(index: bytes) -> None:
    """Its rows are those of the commit before, at worst."""
    for head in (0, 1):
        data = bytearray(index)
        data[head * PAGE : head * PAGE + 200] = bytes(200)
        assert problem_of(data, PAGE) == "its head is damaged"
        assert len(list(rows_of(data, PAGE))) > 300


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3 * PAGE), st.integers(0, 5), st.integers(0, 2**64 - 1))
def test_hostile_bytes_do_not_crash_it(index: bytes, noise: bytes, page: int, number: int) -> None:
    """Whatever a file holds: it says what is wrong or that nothing is, and never reads beyond it."""
    data = bytearray(index)
    data[page * PAGE : page * PAGE + len(noise)] = noise
    data[16 + 120 : 16 + 128] = data[PAGE + 16 + 120 : PAGE + 16 + 128] = number.to_bytes(8, "little")

    problem_of(noise, PAGE)
    assert isinstance(problem_of(bytes(data), PAGE), str | None)
    assert all(len(key) <= 511 for _, key, _ in rows_of(data, PAGE))


@pytest.mark.parametrize("nbytes", [1, PAGE - 1, 2 * PAGE - 1])
def test_a_file_shorter_than_its_head_is_damaged(index: bytes, nbytes: int) -> None:
    """Each length that ends within the first two pages."""
    assert problem_of(index[:nbytes], PAGE) is not None


def test_a_file_cut_anywhere_is_damaged(index: bytes) -> None:
    """LMDB would be killed by SIGBUS at the first page that is missing."""
    lost = [cut for cut in range(2 * PAGE, len(index) - PAGE, 7 * PAGE) if problem_of(index[:cut], PAGE) is None]

    assert lost == []
