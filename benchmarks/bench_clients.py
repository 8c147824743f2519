"""How much do several processes get out of one store at the same time? In all, per second; what a core gives bounds it.

A row's time is the time that all of them together need for one: 4 processes that answer 400 000 hits per second take 2.5 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.clients import HITS_AN_ACT, Rate, rate
from benchmarks.conftest import Contest


def _contest(contest: Contest, what: str, contestant: str, measure: Callable[[], Rate], calls: int = 1) -> None:
    middle = sorted((measure() for _ in range(3)), key=lambda one: one.per_second)[1]
    contest.told(what, contestant, 1 / (middle.per_second * calls), cpu_s=middle.cpu_s / calls)


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("role", ["hits", "lookups", "diskcache hits"])
def test_reading(role: str, processes: int, contest: Contest, tmp_path: Path) -> None:
    """The same small call, or look-ups of 100 records in turn."""
    contestant = {"hits": "gpucache", "lookups": "gpucache, Store.lookup", "diskcache hits": "diskcache.memoize"}[role]
    what = f'hits of f(1, 2, "abc"), {processes} process{"es" * (processes > 1)}'
    _contest(contest, what, contestant, lambda: rate(role, tmp_path, processes=processes, seconds=1.5), HITS_AN_ACT)


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (1, 8), (4, 1), (4, 8)])
@pytest.mark.parametrize("role", ["durable writes", "relaxed writes", "diskcache writes", "fdatasync"])
def test_writing(role: str, processes: int, threads: int, contest: Contest, tmp_path: Path) -> None:
    """Each time another small record, acknowledged when it is as safe as it says. fdatasync of one page each is the raw part."""
    contestant = {
        "durable writes": "gpucache, durable",
        "relaxed writes": "gpucache",
        "diskcache writes": "diskcache, synchronous=FULL",
        "fdatasync": "fdatasync of one page, each its own file",
    }[role]
    what = f"records written, {processes} x {threads} writers"
    _contest(contest, what, contestant, lambda: rate(role, tmp_path, processes=processes, threads=threads, seconds=1.5))
