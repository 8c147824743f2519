"""How often does a call run out of learned memory, and how much is asked for in vain, beside declared and whole GPUs?

Simulated, with fixed seeds: `python -m benchmarks.bench_demand [RECORDED.csv]` writes results/simulated/demand.json and prints a table.
Synthetic families of peaks; "steps" has the shape that an allocator's pool gives: it grows by doubling. And recorded ones, of
eight functions (programs/record_peaks.py): tests/data/peaks_of_host.csv has peaks of *host* memory of real processes, each
function's calls in drawn orders, counted from the eleventh on because "declared" has seen ten; a file recorded on
a GPU goes in its place.

"declared" is what someone asks for who saw ten calls and takes twice the highest.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine
from gpucache.placement.learned import Observation, estimate

GIB, MIB = 2**30, 2**20
RECORDED = Path(__file__).parents[1] / "tests" / "data" / "peaks_of_host.csv"
RECORDED_DEVICE_BYTES = 8 * GIB
"""What recorded peaks are asked of; the largest of them is a quarter of it."""
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


def recorded(path: Path) -> dict[str, list[tuple[int, int]]]:
    """(input, peak) of each recorded call, by function, in the order recorded."""
    calls: dict[str, list[tuple[int, int]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            calls.setdefault(row["function"], []).append((int(row["input_bytes"]), int(row["peak_bytes"])))
    return calls


def in_another_order(calls: list[tuple[int, int]], seed: int) -> list[tuple[int, int]]:
    """The recorded order for seed 0."""
    order = list(calls)
    if seed:
        random.Random(seed).shuffle(order)
    return order


def learned(calls: list[tuple[int, int]], device_bytes: int) -> list[tuple[int, bool, int]]:
    """(asked, whether it ran out, used) of each call. One that ran out is repeated on the whole device."""
    seen: list[Observation] = []
    told = []
    for size, peak in calls:
        asked = estimate(seen, size, device_bytes).memory_bytes or device_bytes
        ran_out = peak > asked
        if ran_out:
            seen.append(Observation(size, asked, 0.0, ran_out=True))
        seen.append(Observation(size, peak, 1.0))
        told.append((asked + (device_bytes if ran_out else 0), ran_out, peak))
    return told


def declared(calls: list[tuple[int, int]], device_bytes: int) -> list[tuple[int, bool, int]]:
    """The same amount for each call."""
    asked = min(device_bytes, 2 * max(peak for _, peak in calls[:PILOT]))
    return [(asked, peak > asked, peak) for _, peak in calls]


def whole(calls: list[tuple[int, int]], device_bytes: int) -> list[tuple[int, bool, int]]:
    """A device each."""
    return [(device_bytes, False, peak) for _, peak in calls]


WAYS = (learned, declared, whole)


def tally(told: list[tuple[int, bool, int]]) -> Tally:
    """The sums. What is asked for a second try counts as asked."""
    asked, used = sum(one[0] for one in told), sum(one[2] for one in told)
    return Tally(
        round(100 * sum(one[1] for one in told) / len(told), 3),
        round((asked - used) / len(told) / GIB, 3),
        round(asked / used, 3),
    )


Series = list[list[tuple[int, int]]]


def compared(series: Series, device_bytes: int, first: int = 0) -> dict[str, Tally]:
    """Every way to ask, over the same calls from the first that counts."""
    return {way.__name__: tally([one for calls in series for one in way(calls, device_bytes)[first:]]) for way in WAYS}


def main(path: Path = RECORDED) -> None:
    """Run it, write the result, print the table."""
    rows = {
        family.__name__: compared([calls_of(family, seed) for seed in range(SEEDS)], DEVICE_BYTES)
        for family in FAMILIES
    }
    orders = {
        f"recorded: {name}": [in_another_order(calls, seed) for seed in range(SEEDS)]
        for name, calls in recorded(path).items()
    }
    rows |= {name: compared(series, RECORDED_DEVICE_BYTES, PILOT) for name, series in orders.items()}
    every = [calls for series in orders.values() for calls in series]
    rows["recorded: all"] = compared(every, RECORDED_DEVICE_BYTES, PILOT)
    rows["recorded: all, with the first ten calls"] = compared(every, RECORDED_DEVICE_BYTES)
    document = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "machine": machine(),
        "device_gib": DEVICE_BYTES // GIB,
        "recorded_device_gib": RECORDED_DEVICE_BYTES // GIB,
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
    main(*map(Path, sys.argv[1:2]))
