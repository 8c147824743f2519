"""How often does a call run out of learned memory, and how much is asked for in vain, beside declared and whole GPUs?

Simulated, with fixed seeds: `python -m benchmarks.bench_demand` writes results/simulated/demand.json and prints a table. The families
of peaks are synthetic; "steps" has the shape that recorded peaks of an allocator have: a model's share, and a pool that
grows by doubling. "declared" is what someone asks for who saw ten calls and takes twice the highest.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine
from gpucache.placement.learned import Observation, estimate

GIB, MIB = 2**30, 2**20
DEVICE_BYTES = 141 * GIB
CALLS, SEEDS, PILOT = 400, 10, 10


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one way to ask, over all calls of a family."""

    out_of_memory_percent: float
    wasted_gib_per_call: float
    memory_asked_per_used: float


def constant(draw: random.Random, _: int) -> float:
    """A model, whatever the input."""
    return 6 * GIB * draw.uniform(0.97, 1.03)


def linear(draw: random.Random, size: int) -> float:
    """A model and so many bytes for each of the input's."""
    return 2 * GIB + 40 * size * draw.uniform(0.9, 1.1)


def quadratic(draw: random.Random, size: int) -> float:
    """Attention over all of the input."""
    return 1 * GIB + (size / MIB) ** 2 * 0.8 * MIB * draw.uniform(0.95, 1.05)


def steps(draw: random.Random, size: int) -> float:
    """A pool that grows by doubling."""
    pool = 512 * MIB
    while pool < 20 * size * draw.uniform(0.95, 1.05):
        pool *= 2
    return 3 * GIB + pool


def heavy_tail(draw: random.Random, _: int) -> float:
    """One call in a hundred takes far more, and no size tells which."""
    return 4 * GIB * (draw.uniform(2, 6) if draw.random() < 0.01 else draw.uniform(0.9, 1.1))


FAMILIES = (constant, linear, quadratic, steps, heavy_tail)


def calls_of(family: Callable[[random.Random, int], float], seed: int) -> list[tuple[int, int]]:
    """(input, peak) of each call."""
    draw = random.Random(f"{family.__name__} {seed}")
    sizes = [int(min(256 * MIB, 16 * MIB * draw.lognormvariate(0, 1))) for _ in range(CALLS)]
    return [(size, min(DEVICE_BYTES, int(family(draw, size)))) for size in sizes]


def learned(calls: list[tuple[int, int]]) -> list[tuple[int, bool, int]]:
    """(asked, whether it ran out, used) of each call. One that ran out is repeated on the whole device."""
    seen: list[Observation] = []
    told = []
    for size, peak in calls:
        asked = estimate(seen, size, DEVICE_BYTES).memory_bytes or DEVICE_BYTES
        ran_out = peak > asked
        if ran_out:
            seen.append(Observation(size, asked, 0.0, ran_out=True))
        seen.append(Observation(size, peak, 1.0))
        told.append((asked + (DEVICE_BYTES if ran_out else 0), ran_out, peak))
    return told


def declared(calls: list[tuple[int, int]]) -> list[tuple[int, bool, int]]:
    """The same amount for each call."""
    asked = min(DEVICE_BYTES, 2 * max(peak for _, peak in calls[:PILOT]))
    return [(asked, peak > asked, peak) for _, peak in calls]


def whole(calls: list[tuple[int, int]]) -> list[tuple[int, bool, int]]:
    """A device each."""
    return [(DEVICE_BYTES, False, peak) for _, peak in calls]


WAYS = (learned, declared, whole)


def tally(told: list[tuple[int, bool, int]]) -> Tally:
    """The sums. What is asked for a second try counts as asked."""
    asked, used = sum(one[0] for one in told), sum(one[2] for one in told)
    return Tally(
        round(100 * sum(one[1] for one in told) / len(told), 3),
        round((asked - used) / len(told) / GIB, 3),
        round(asked / used, 3),
    )


def main() -> None:
    """Run it, write the result, print the table."""
    rows = {
        family.__name__: {
            way.__name__: tally([one for seed in range(SEEDS) for one in way(calls_of(family, seed))]) for way in WAYS
        }
        for family in FAMILIES
    }
    document = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "machine": machine(),
        "device_gib": DEVICE_BYTES // GIB,
        "calls": CALLS,
        "seeds": SEEDS,
        "families": {
            family: {way: {name: getattr(found, name) for name in Tally.__slots__} for way, found in ways.items()}
            for family, ways in rows.items()
        },
    }
    (Path(__file__).parent / "results" / "simulated" / "demand.json").write_text(json.dumps(document, indent=2) + "\n")
    print("| peaks | way | out of memory, % | wasted, GiB per call | asked / used |\n|---|---|--:|--:|--:|")
    for family, ways in rows.items():
        for way, found in ways.items():
            print(
                f"| {family} | {way} | {found.out_of_memory_percent:.2f} | {found.wasted_gib_per_call:.2f} "
                f"| {found.memory_asked_per_used:.2f} |"
            )


if __name__ == "__main__":
    main()
