"""The rules that the store's own is compared with do what their authors say, on sequences with known answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy")

from benchmarks.evictors import (
    Access,
    Evictor,
    GreedyDualSizeFrequency,
    LeastRecentlyUsed,
    Ours,
    S3Fifo,
    least_recomputed_s,
    replay,
)


def looks(items: str, *, nbytes: dict[str, int] | None = None, seconds: dict[str, float] | None = None) -> list[Access]:
    """One look for each letter, a second apart; of one byte and one second where nothing else is said."""
    return [
        Access(float(at), item, (nbytes or {}).get(item, 1), (seconds or {}).get(item, 1.0))
        for at, item in enumerate(items)
    ]


def test_lru_gives_up_what_was_not_used_longest() -> None:
    """Of two places the third goes to what was used before the other."""
    assert replay(looks("abac"), 2, LeastRecentlyUsed()).misses == 3
    assert replay(looks("abaca"), 2, LeastRecentlyUsed()).misses == 3
    assert replay(looks("abacb"), 2, LeastRecentlyUsed()).misses == 4


def test_gdsf_keeps_what_is_dear_for_its_bytes_until_its_clock_has_passed_it() -> None:
    """d is worth three of the others: it outlives them until L has grown by as much."""
    seconds = {"d": 3.5}
    assert replay(looks("dabd", seconds=seconds), 2, GreedyDualSizeFrequency()).misses == 3
    assert replay(looks("dabcefghijkd", seconds=seconds), 2, GreedyDualSizeFrequency()).misses == 12


def test_s3_fifo_lets_what_is_used_once_pass() -> None:
    """A scan goes through the small queue; what was used twice more is in the main one, and stays."""
    assert replay(looks("aaa" + "bcdefghijklmnop" + "a"), 10, S3Fifo(10)).misses == 16
    assert replay(looks("a" + "bcdefghijklmnop" + "a"), 10, S3Fifo(10)).misses == 17


def test_s3_fifo_takes_what_comes_back_from_the_ghosts_into_the_main_queue() -> None:
    """a is given up, comes back while its name is remembered, and then outlives another scan."""
    kept = looks("bbbcccddd" + "a" + "efghijk" + "a" + "lmnopqrs" + "a")

    assert replay(kept, 10, S3Fifo(10)).misses < len({look.item for look in kept}) + 2


def test_the_least_is_what_the_future_gives() -> None:
    """Of a and b, with one place: the dear one is kept; and where both fit, nothing is computed twice."""
    trace = looks("abab", seconds={"a": 5.0})

    assert least_recomputed_s(trace, 1) == pytest.approx(5 + 1 + 1)
    assert least_recomputed_s(trace, 2) == pytest.approx(6)
    assert least_recomputed_s(looks("abc"), 1) == pytest.approx(3)


@given(
    st.text("abcdefg", min_size=1, max_size=40),
    st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 4)),
    st.dictionaries(st.sampled_from("abcdefg"), st.floats(0.01, 100)),
    st.integers(4, 12),
)
def test_no_rule_beats_the_least_and_none_keeps_too_much(
    items: str, nbytes: dict[str, int], seconds: dict[str, float], limit: int
) -> None:
    """Whatever the looks: each rule misses what is new, computes at least the bound, and frees what it is asked to."""
    trace = looks(items, nbytes=nbytes, seconds=seconds)
    least_s = least_recomputed_s(trace, limit)
    rules: tuple[Evictor, ...] = (Ours(), LeastRecentlyUsed(), GreedyDualSizeFrequency(), S3Fifo(limit))
    for rule in rules:
        found = replay(trace, limit, rule)
        assert found.misses >= len(set(items))
        assert found.recomputed_s >= least_s - 1e-6
