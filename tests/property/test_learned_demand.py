"""The learned demand of a call, whatever was seen before. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.placement.learned import ENOUGH, FORGIVEN_AFTER, MARGIN_MIN_BYTES, Observation, estimate, rounded_up

GIB = 2**30
DEVICE = 141 * GIB

sizes = st.integers(0, 2**45)
observations = st.builds(Observation, sizes, st.integers(0, DEVICE), st.floats(0, 1e6), st.booleans())
good = st.builds(Observation, sizes, st.integers(0, DEVICE), st.floats(0, 1e6))


@given(st.lists(observations, max_size=200), sizes, st.integers(1, DEVICE))
def test_never_more_than_the_device(seen: list[Observation], size: int, device_bytes: int) -> None:
    """Whatever was seen, what is asked for is there on the largest device."""
    asked = estimate(seen, size, device_bytes).memory_bytes

    assert asked is None or 0 < asked <= device_bytes


@given(st.lists(good, min_size=ENOUGH, max_size=49), st.data())
def test_what_was_seen_fits_again(seen: list[Observation], data: st.DataObject) -> None:
    """A call of a size that was seen gets what calls of that size took, and the margin."""
    again = data.draw(st.sampled_from(seen))

    asked = estimate(seen, again.input_bytes, DEVICE).memory_bytes

    assert asked is not None
    assert asked >= min(DEVICE, again.peak_bytes + MARGIN_MIN_BYTES)


@given(st.lists(observations.filter(lambda one: not one.ran_out), max_size=ENOUGH - 1), sizes)
def test_the_whole_device_until_enough_is_known(seen: list[Observation], size: int) -> None:
    """Fewer than three calls say nothing."""
    assert estimate(seen, size, DEVICE).memory_bytes is None


@given(st.lists(good, min_size=ENOUGH, max_size=60), st.integers(1, DEVICE), sizes)
def test_out_of_memory_raises_to_twice(seen: list[Observation], given_bytes: int, size: int) -> None:
    """After a call ran out of what it was given, the next of its size asks for twice that at least."""
    failed = Observation(size, given_bytes, 0.0, ran_out=True)

    asked = estimate([*seen, failed], size, DEVICE).memory_bytes

    assert asked is not None
    assert asked >= min(DEVICE, 2 * given_bytes)


@given(st.lists(good, min_size=ENOUGH, max_size=100), sizes)
def test_the_same_history_gives_the_same_demand(seen: list[Observation], size: int) -> None:
    """Nothing but the arguments counts."""
    assert estimate(seen, size, DEVICE) == estimate(list(seen), size, DEVICE)


def test_an_out_of_memory_is_forgiven_when_enough_went_well() -> None:
    """It does not claim the device for ever."""
    failed = Observation(100, 8 * GIB, 0.0, ran_out=True)
    well = [Observation(100, GIB, 1.0)] * FORGIVEN_AFTER

    assert estimate([failed, *well[1:]], 100, DEVICE).memory_bytes == 16 * GIB
    assert (estimate([failed, *well], 100, DEVICE).memory_bytes or 0) < 2 * GIB


@pytest.mark.parametrize(("power", "low", "high"), [(0, 1.0, 1.3), (1, 4.0, 5.0), (2, 16.0, 20.0)])
def test_grows_with_size_as_was_seen(power: int, low: float, high: float) -> None:
    """Constant, linear and quadratic peaks are followed to an input four times the largest that was seen."""
    seen = [Observation(2**n, GIB * 2 ** (power * (n - 24)), 1.0) for n in range(20, 25)]

    asked = estimate(seen, 2**26, DEVICE).memory_bytes

    assert asked is not None
    assert low * GIB <= asked <= high * GIB


@given(st.integers(1, 2**50))
def test_amounts_are_few(nbytes: int) -> None:
    """Rounding adds an eighth at most, and gives a few amounts, so that warm workers are found again."""
    up = rounded_up(nbytes)

    assert nbytes <= up <= nbytes * 9 / 8
    assert rounded_up(up) == up
