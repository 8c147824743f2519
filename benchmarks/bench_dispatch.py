"""What does it cost to have a no-op run by another process that is warm? Nothing is cached; two workers each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import gpucache as gpc
from benchmarks.conftest import Contest

WORKERS = 2
BURST = 500  # calls in flight at once, as a map over that many items has


@gpc.task(cache=False)
def idle() -> None:
    """Do nothing, elsewhere."""


def nothing() -> None:
    """Do nothing, elsewhere."""


Submit = Callable[[int], object]
"""Have so many no-ops run, all submitted before the first result is waited for."""


@contextlib.contextmanager
def _gpucache(runtime: str, folder: Path) -> Iterator[Submit]:
    gpc.init(store=folder / "store", runtime=runtime, max_workers=WORKERS)
    try:
        yield lambda calls: [future.result() for future in [idle.submit() for _ in range(calls)]]
    finally:
        gpc.shutdown()


@contextlib.contextmanager
def _gpucache_executor(folder: Path) -> Iterator[Submit]:
    gpc.init(store=folder / "store", runtime="local", max_workers=WORKERS)
    try:
        with gpc.Executor(max_workers=WORKERS) as pool:
            yield lambda calls: [future.result() for future in [pool.submit(nothing) for _ in range(calls)]]
    finally:
        gpc.shutdown()


@contextlib.contextmanager
def _ray(*, actors: bool) -> Iterator[Submit]:
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray

    ray.init(address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        if actors:

            class Idler:
                def nothing(self) -> None:
                    """Do nothing, elsewhere."""

            idlers = [ray.remote(Idler).remote() for _ in range(WORKERS)]
            yield lambda calls: ray.get([idlers[index % WORKERS].nothing.remote() for index in range(calls)])
        else:
            remote = ray.remote(nothing)
            yield lambda calls: ray.get([remote.remote() for _ in range(calls)])
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _pool() -> Iterator[Submit]:
    with ProcessPoolExecutor(WORKERS) as pool:
        yield lambda calls: [future.result() for future in [pool.submit(nothing) for _ in range(calls)]]


CONTESTANTS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Submit]]] = {
    # Ray on its own comes first: a Ray with another token in this process would not be let in afterwards.
    "Ray task": lambda _: _ray(actors=False),
    "Ray actor call": lambda _: _ray(actors=True),
    "ProcessPoolExecutor": lambda _: _pool(),
    "gpucache, local worker": lambda folder: _gpucache("local", folder),
    "gpucache, worker on Ray": lambda folder: _gpucache("ray", folder),
    "gpucache.Executor": _gpucache_executor,
}


@pytest.fixture(scope="module", params=CONTESTANTS)
def warm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Submit]]:
    """A contestant's name and workers, started, used once, and shared by both tests; one contestant at a time."""
    with CONTESTANTS[request.param](tmp_path_factory.mktemp("dispatch")) as submit:
        submit(BURST)
        yield request.param, submit


def test_one_after_another(warm: tuple[str, Submit], contest: Contest) -> None:
    """Latency: each no-op is waited for before the next is submitted."""
    contestant, submit = warm

    contest("submit to result, one after another", contestant, lambda: submit(1), rounds=300)


def test_burst(warm: tuple[str, Submit], contest: Contest) -> None:
    """Throughput: a call's share of a burst."""
    contestant, submit = warm

    what = f"submit to result, {BURST} in flight, per call"
    contest(what, contestant, lambda: submit(BURST), rounds=5, calls=BURST)
