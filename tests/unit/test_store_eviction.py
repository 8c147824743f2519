"""What goes first when room is short."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.store.eviction import TICK_S, Candidate, pause_s, victims
from gpucache.store.record import BlobRow

NOW, HOUR, WEEK = 1.8e9, 3600.0, 7 * 86400.0


def blob(name: str, *, nbytes: int = 100, seconds: float = 1.0, age_s: float = 0.0, uses: int = 1) -> Candidate:
    row = BlobRow(name, nbytes, (0, 0, 0), "")
    return Candidate(name.encode(), row, nbytes, seconds, NOW - age_s, uses)


def order(*candidates: Candidate) -> list[str]:
    """In which they go."""
    return [gone.row.name for gone in victims(candidates, 10**18, now=NOW)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (blob("cheap", seconds=0.1), blob("dear", seconds=10)),
        (blob("large", nbytes=1000), blob("small", nbytes=10)),
        (blob("old", age_s=30 * HOUR), blob("new", age_s=HOUR)),
        (blob("once", age_s=HOUR), blob("often", age_s=HOUR, uses=9)),
        (blob("old, dear", age_s=100 * HOUR, seconds=1.5), blob("new, cheap", age_s=HOUR, seconds=1)),
        (blob("new, cheap", age_s=HOUR, seconds=0.001), blob("old, dear", age_s=100 * HOUR, seconds=10)),
        (blob("dear", age_s=HOUR, seconds=1e9), blob("can't be had again", age_s=WEEK, seconds=float("inf"))),
        (blob("put long ago", age_s=WEEK, seconds=float("inf")), blob("put", age_s=HOUR, seconds=float("inf"))),
    ],
    ids=lambda one: one.row.name,
)
def test_what_saves_less_for_its_bytes_and_its_age_goes_first(first: Candidate, then: Candidate) -> None:
    """Cost, size, age and uses each decide where the others are equal; what nothing can give again goes last."""
    assert order(first, then) == order(then, first) == [first.row.name, then.row.name]


def test_who_runs_weekly_keeps_what_was_dear_last_week() -> None:
    """Between runs that are weeks apart a result of the last run is fresh: cost decides, not that it is a week old."""
    weekly = [blob(f"week {week}", age_s=week * WEEK) for week in range(4)]

    gone = order(*weekly, blob("cheap, now", seconds=0.2), blob("dear, last week", age_s=WEEK, seconds=1))

    assert gone.index("cheap, now") < gone.index("dear, last week")


def test_who_runs_hourly_gives_up_what_is_a_week_old() -> None:
    """Between runs that are an hour apart the same week is an age."""
    hourly = [blob(f"hour {hour}", age_s=hour * HOUR) for hour in range(4)]

    gone = order(*hourly, blob("cheap, now", seconds=0.2), blob("dear, last week", age_s=WEEK, seconds=1))

    assert gone.index("dear, last week") < gone.index("cheap, now")


def test_the_pause_is_between_the_last_uses_and_no_shorter_than_notes_are() -> None:
    """Uses of one run count as one; without any there is no error."""
    assert pause_s([]) == TICK_S
    assert pause_s([blob("a"), blob("b", age_s=1.0)]) == TICK_S
    assert pause_s([blob(str(week), age_s=week * WEEK) for week in range(9)]) == pytest.approx(WEEK, rel=0.01)


candidates = st.lists(
    st.builds(
        blob,
        st.uuids().map(str),
        nbytes=st.integers(0, 10**9),
        seconds=st.floats(0, 1e6) | st.just(float("inf")),
        age_s=st.floats(-1e6, 1e9),
        uses=st.integers(1, 2**32 - 1),
    ),
    max_size=30,
)


@given(candidates, st.integers(-10, 10**10), st.randoms(use_true_random=False))
def test_enough_goes_and_no_more(found: list[Candidate], excess_bytes: int, chance: random.Random) -> None:
    """At least so many bytes where there are so many; without the last one it would be too few; the order given is nothing."""
    gone = victims(found, excess_bytes, now=NOW)
    freed = [one.nbytes for one in gone]

    assert sum(freed) >= min(excess_bytes, sum(one.nbytes for one in found))
    assert not gone or sum(freed[:-1]) < excess_bytes
    assert victims(chance.sample(found, len(found)), excess_bytes, now=NOW) == gone


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(allow_nan=True, allow_infinity=True),
            st.integers(0),
        )
    )
)
def test_rows_that_say_anything_are_no_error(rows: list[tuple[float, float, int]]) -> None:
    """A row that someone forged may hold any number: everything can still go."""
    found = [
        Candidate(bytes([n % 256]), BlobRow("", size, (0, 0, 0), ""), size, seconds, at)
        for n, (seconds, at, size) in enumerate(rows)
    ]

    assert len(victims(found, 10**400, now=NOW)) == len(found)
