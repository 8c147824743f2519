"""Any sequence of requests against any policy of what stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.residence.policies import BlendedFrequency, DecayedFrequency, LeastRecentlyUsed, Policy
from gpucache.residence.replay import Request, cold_starts_in_order, fewest_cold_starts, replay_in_time

ITEMS = st.lists(st.integers(0, 9), max_size=120)
PLACES = st.integers(1, 6)
MAKERS: list[Callable[[], Policy]] = [LeastRecentlyUsed, DecayedFrequency, BlendedFrequency]


@pytest.mark.parametrize("make", MAKERS)
@given(items=ITEMS, places=PLACES)
def test_between_the_optimum_and_all(make: Callable[[], Policy], items: list[int], places: int) -> None:
    """No policy beats the one that knows the future; none loads less than each item once, or more than every time."""
    found = cold_starts_in_order(items, places, make())

    assert len(set(items)) <= fewest_cold_starts(items, places) <= found <= len(items)
    assert found == cold_starts_in_order(items, places, make())
    if places >= len(set(items)):
        assert found == len(set(items))


@given(items=ITEMS)
def test_the_blend_is_a_mixture(items: list[int]) -> None:
    """Weights and likelihoods are probabilities; an item that was never asked for has none."""
    policy = BlendedFrequency()
    for item in items:
        policy.asked(item)

    assert sum(policy.weights) == pytest.approx(1)
    assert min(policy.weights) > 0
    if items:
        assert sum(policy.likelihood(item) for item in set(items)) == pytest.approx(1)
    assert policy.likelihood("unknown") == 0
    assert policy.victim([*dict.fromkeys(items), "unknown"]) == "unknown"


@given(items=st.lists(st.integers(0, 50), min_size=1, max_size=200), limit=st.integers(1, 10))
def test_what_is_remembered_is_bounded(items: list[int], limit: int) -> None:
    """However many items come by, those that were asked for last are known, and no more than the limit."""
    policy = BlendedFrequency(remembered_max=limit)
    for item in items:
        policy.asked(item)

    latest = [*dict.fromkeys(reversed(items))]
    assert all(policy.likelihood(item) > 0 for item in latest[:limit])
    assert all(policy.likelihood(item) == 0 for item in latest[limit:])


@pytest.mark.parametrize("make", MAKERS)
@given(
    gaps=st.lists(st.tuples(st.floats(0, 50), st.integers(0, 5), st.floats(0, 40)), max_size=60),
    workers=PLACES,
    patience_s=st.sampled_from([0.0, 30.0, 60.0]),
)
def test_every_request_is_served_once(
    make: Callable[[], Policy], gaps: list[tuple[float, int, float]], workers: int, patience_s: float
) -> None:
    """In recorded time: everyone gets a worker, once; each model costs a cold start at least once, a request at most one."""
    at_s, requests = 0.0, []
    for gap_s, item, run_s in gaps:
        at_s += gap_s
        requests.append(Request(at_s, item, run_s))

    found = replay_in_time(requests, workers, make(), load_s=20.0, wait_max_s=patience_s)

    assert len(found.waits_s) == len(requests)
    assert len({request.item for request in requests}) <= found.cold_starts <= len(requests)
    assert min(found.waits_s, default=0.0) >= 0
