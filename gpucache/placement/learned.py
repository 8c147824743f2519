"""What the next call of a function will need, from what its calls took before. Pure: no clock, no store.

An upper quantile of the peaks that inputs of like size took, each grown to the size of this input, and a margin on top.
Peaks grow with a power of the size: the largest that was seen between sizes that lie apart, and the size itself where none
was. The answer is rounded up to an eighth of an octave: a warm worker belongs to one amount, so amounts must be few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

ENOUGH = 3
"""Fewer observations say nothing about the next call."""

KEPT = 128
"""Observations that are looked at: the last ones, so that a function that was edited is learned anew."""

QUANTILE = 0.98
MARGIN = 0.10
MARGIN_MIN_BYTES = 64 * 2**20
LIKE = 2.0
"""Sizes within this factor are alike."""

SMALL_BYTES = 64 * 2**10
"""Smaller inputs are all alike: what they take is a model's, and a name twice as long does not take twice as much."""

GROWTH_MAX = 3.0
"""The steepest power believed: beyond it two noisy readings would claim the device for ever."""

FORGIVEN_AFTER = 32
"""An out-of-memory counts until so many calls of like size went well after it."""

_STEPS = 8


@dataclass(frozen=True, slots=True)
class Observation:
    """A call that ended.

    Attributes:
        input_bytes: The size of its arguments.
        peak_bytes: Device memory it took at most; where it ran out of memory, what it was given.
        seconds: What its body took.
        ran_out: It ran out of memory.
    """

    input_bytes: int
    peak_bytes: int
    seconds: float
    ran_out: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the next call would ask for.

    Attributes:
        memory_bytes: Device memory; None: the whole device.
        seconds: The median of calls of like size; None where there are none.
        why: In a sentence.
    """

    memory_bytes: int | None
    seconds: float | None
    why: str


def estimate(seen: Sequence[Observation], input_bytes: int, device_bytes: int) -> Estimate:
    """The demand of a call.

    Args:
        seen: Calls of the same function, oldest first.
        input_bytes: The size of this call's arguments.
        device_bytes: What the largest device has: no more is ever asked for.
    """
    seen = [replace(one, input_bytes=max(one.input_bytes, SMALL_BYTES)) for one in seen[-KEPT:]]
    input_bytes = max(input_bytes, SMALL_BYTES)
    well = [one for one in seen if not one.ran_out]
    if len(well) < ENOUGH:
        return Estimate(None, None, f"{len(well)} calls were measured, and {ENOUGH} are needed: the whole device")
    like = [one for one in well if _alike(one.input_bytes, input_bytes)]
    sizes = "of like size"
    if len(like) < ENOUGH:
        sizes = "of the sizes nearest to it"
        like = sorted(well, key=lambda one: _distance(one.input_bytes, input_bytes))[:ENOUGH]
    power = growth(well)
    high_bytes = _quantile([_grown(one, input_bytes, power) for one in like])
    wanted_bytes = high_bytes + max(MARGIN_MIN_BYTES, math.ceil(high_bytes * MARGIN))
    why = (
        f"{len(like)} calls {sizes} took {max(one.peak_bytes for one in like):,} bytes at most, which is {high_bytes:,} grown to "
        f"this size (to the power {power:.2f}); the rest is margin"
    )
    raised_bytes = _raised(seen, input_bytes)
    if raised_bytes > wanted_bytes:
        wanted_bytes = raised_bytes
        why = f"a call ran out of memory with {raised_bytes // 2:,} bytes: twice that"
    seconds = sorted(one.seconds for one in like)[len(like) // 2]
    return Estimate(min(rounded_up(wanted_bytes), device_bytes), seconds, why)


def growth(well: Sequence[Observation]) -> float:
    """The power of the input's size that peaks grow with: the largest between two sizes that are not alike; 1 if all are."""
    highest: dict[int, Observation] = {}  # by octave of the size
    for one in well:
        octave = one.input_bytes.bit_length()
        if octave not in highest or one.peak_bytes > highest[octave].peak_bytes:
            highest[octave] = one
    ordered = sorted(highest.values(), key=lambda one: one.input_bytes)
    powers = [
        math.log(max(large.peak_bytes, 1) / max(small.peak_bytes, 1)) / math.log(large.input_bytes / small.input_bytes)
        for place, small in enumerate(ordered)
        for large in ordered[place + 1 :]
        if large.input_bytes >= LIKE * small.input_bytes
    ]
    return min(max(0.0, *powers), GROWTH_MAX) if powers else 1.0


def rounded_up(nbytes: int) -> int:
    """The next of eight amounts per octave."""
    step = max(1, (1 << max(0, nbytes.bit_length() - 1)) // _STEPS)
    return -(-nbytes // step) * step


def _grown(one: Observation, input_bytes: int, power: float) -> int:
    """Its peak for an input of another size; no less than it was, because a smaller input need not take less."""
    if input_bytes <= one.input_bytes:
        return one.peak_bytes
    try:
        return math.ceil(one.peak_bytes * math.pow(input_bytes / one.input_bytes, power))
    except OverflowError:
        return 1 << 63  # more than any device has


def _raised(seen: Sequence[Observation], input_bytes: int) -> int:
    """Twice what calls of like or lesser size ran out of, unless enough have gone well since."""
    raised_bytes = went_well = 0
    for one in reversed(seen):
        if one.ran_out and went_well < FORGIVEN_AFTER:
            if one.input_bytes <= input_bytes or _alike(one.input_bytes, input_bytes):
                raised_bytes = max(raised_bytes, 2 * one.peak_bytes)
        elif not one.ran_out and _alike(one.input_bytes, input_bytes):
            went_well += 1
    return raised_bytes


def _quantile(peaks: Sequence[int]) -> int:
    """By nearest rank: with fewer than 50 it is the largest."""
    return sorted(peaks)[math.ceil(QUANTILE * len(peaks)) - 1]


def _alike(one_bytes: int, other_bytes: int) -> bool:
    return max(one_bytes, other_bytes) <= LIKE * min(one_bytes, other_bytes)


def _distance(one_bytes: int, other_bytes: int) -> float:
    return abs(math.log(one_bytes / other_bytes))
