"""`gpucache bench`: what a hit, a new call and a warm worker cost on this machine, with this store's disk.

Beside other programs: `python -m benchmarks` in gpucache's repository. This is for "is it fast here?".
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpucache.cli.flows import json_option, store_option

if TYPE_CHECKING:
    import numpy as np

QUICK_S, FULL_S = 0.2, 1.0
"""What one line may take: enough for thousands of hits; the large arrays get three rounds in any case."""

_MIB = 2**20
_TASKS = '''"""The calls that `gpucache bench` makes."""

import gpucache as gpc


@gpc.task
def small(a, b, text):
    return a + b


@gpc.task
def array(values):
    return values + 1


@gpc.task(cache=False)
def nothing():
    return None
'''


@dataclass(frozen=True, slots=True)
class Figure:
    """What one thing took, s: the median of so many rounds, and the best."""

    name: str
    median_s: float
    best_s: float
    rounds: int


@click.command()
@click.option("--quick", is_flag=True, help="Less exact, and without the 100 MiB arrays.")
@store_option
@json_option
def command(quick: bool, store: str | None, as_json: bool) -> int:
    """Measure here what a hit, a new call and a warm worker cost, in a store of its own beside yours."""
    from gpucache.cli.output import duration, write, write_json, write_table
    from gpucache.config import Config
    from gpucache.ledger import machine_facts

    place = Config.from_env(store=store).store_path.parent
    with tempfile.TemporaryDirectory(prefix="gpucache-bench-", dir=place if place.is_dir() else None) as folder:
        figures = list(_figures(Path(folder), quick=quick))
    if as_json:
        found = [{"name": f.name, "median_s": f.median_s, "best_s": f.best_s, "rounds": f.rounds} for f in figures]
        write_json("bench", machine=machine_facts(), figures=found)
        return 0
    write_table(
        ("what", ">median", ">best", ">rounds"),
        [(f.name, duration(f.median_s), duration(f.best_s), f"{f.rounds:,}") for f in figures],
    )
    write()
    write("beside other programs: `python -m benchmarks` in gpucache's repository, and benchmarks/RESULTS.md there")
    return 0


def _figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    import numpy as np

    from gpucache.flows import init, shutdown
    from gpucache.flows.loading import load_file

    (folder / "gpucache_bench_calls.py").write_text(_TASKS)
    init(store=folder / "store", runtime="local", remote="", store_max_bytes=0)
    try:
        calls = load_file(folder / "gpucache_bench_calls.py")
        seconds = QUICK_S if quick else FULL_S
        yield _measured("hit of f(1, 2, 'abc')", seconds, lambda: calls.small(1, 2, "abc"))
        numbers = iter(range(10**9))
        yield _measured("new call of f(n, 2, 'abc')", seconds, lambda: calls.small(next(numbers) + 10, 2, "abc"))
        for mib in (1,) if quick else (1, 100):
            values = np.random.default_rng(0).normal(size=mib * _MIB // 8)
            yield from _array_figures(calls, values, f"{mib} MiB array, in and out", seconds)
        started = time.perf_counter()
        calls.nothing.submit().result()
        took = time.perf_counter() - started
        yield Figure("first call in a worker, its start included", took, took, 1)
        yield _measured("call in a warm worker", seconds, lambda: calls.nothing.submit().result())
    finally:
        shutdown(at_once=True)
        sys.modules.pop("gpucache_bench_calls", None)
        sys.path.remove(str(folder.resolve()))


def _array_figures(calls: Any, values: np.ndarray[Any, Any], name: str, seconds: float) -> Iterator[Figure]:
    """A new call: one element is another each time. A hit: the argument is hashed each time, the result is mapped."""

    def changed() -> None:
        values[0] += 1.0
        calls.array(values)

    yield _measured(f"new call, {name}", seconds, changed)
    yield _measured(f"hit, {name}", seconds, lambda: calls.array(values))


def _measured(name: str, seconds: float, call: Callable[[], object]) -> Figure:
    call()
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < until:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return Figure(name, statistics.median(taken), min(taken), len(taken))
