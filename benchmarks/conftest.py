"""What every benchmark gets: a store of its own, a `contest` that names the row and the contestant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpucache as gpc


class Contest:
    """Times one contestant in one row of the table."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark

    def __call__(
        self,
        what: str,
        contestant: str,
        act: Callable[[], object],
        *,
        rounds: int = 0,
        calls: int = 1,
        setup: Callable[[], None] | None = None,
    ) -> None:
        """Time act; rounds=0 lets pytest-benchmark choose rounds and iterations; `calls` calls within one act."""
        self._benchmark.group = what
        self._benchmark.extra_info.update(contestant=contestant, calls=calls)
        if rounds:
            self._benchmark.pedantic(act, rounds=rounds, iterations=1, warmup_rounds=0 if setup else 1, setup=setup)
        else:
            self._benchmark(act)

    def told(self, what: str, contestant: str, seconds: float, **figures: float) -> None:
        """A row that was measured otherwise: the time of one, and figures that are no times."""
        self._benchmark.group = what
        self._benchmark.extra_info.update(contestant=contestant, calls=1, seconds=seconds, figures=figures)
        self._benchmark.pedantic(lambda: None, rounds=1, iterations=1)


@pytest.fixture
def contest(benchmark: Any) -> Contest:
    return Contest(benchmark)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A session of gpucache in this process, on a store of its own."""
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield tmp_path / "store"
    gpc.shutdown()
