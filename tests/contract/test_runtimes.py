"""The same tasks inline, on local workers and on Ray: same values, same states, same errors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpucache as gpc
from gpucache.errors import NotStorable, RemoteTraceback
from gpucache.workers.context import current


@pytest.fixture(params=["inline", "local", pytest.param("ray", marks=pytest.mark.slow)], scope="module")
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    gpc.init(store=tmp_path_factory.mktemp("store"), runtime=request.param, max_workers=2)
    yield request.param
    gpc.shutdown()


@gpc.task
def numbers(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


@gpc.task
def scaled(array: np.ndarray, factor: float) -> np.ndarray:
    return array * factor


@gpc.task
def spread(array: np.ndarray) -> float:
    return float(array.std())


@gpc.task
def worst(values: list[float]) -> float:
    return max(values)


@gpc.task
def fails(x: int) -> int:
    raise LookupError(f"no {x}")


@gpc.resident
def table(size: int, *, device: str) -> dict[str, object]:
    return {"device": device, "rows": list(range(size))}


@gpc.task
def row(index: int) -> int:
    rows = table(100)["rows"]
    assert isinstance(rows, list)
    return int(rows[index])


def test_futures_are_arguments(runtime: str) -> None:
    """A chain of futures gives what direct calls give, and its second submission hits."""
    expected = spread(scaled(numbers(100_000, 1), 3.0))

    future = spread.submit(scaled.submit(numbers.submit(100_000, 1), 3.0))

    assert future.result(120) == expected
    assert future.state == gpc.State.HIT


def test_map_keeps_order_and_runs_equal_keys_once(runtime: str) -> None:
    """map() gives futures in order; equal calls are one."""
    factors = [1.0, 2.0, 1.0]
    arrays = [scaled.submit(numbers.submit(70_000, 2), factor) for factor in factors]

    futures = spread.map(arrays)
    values = [future.result(120) for future in futures]

    assert values[0] == values[2]
    assert values[1] == pytest.approx(2 * values[0])
    assert sorted(str(future.state) for future in arrays if future.state == "ran") == ["ran", "ran"]


def test_futures_within_containers(runtime: str) -> None:
    """A list of futures is an argument too."""
    futures = [spread.submit(numbers.submit(1000, seed)) for seed in range(3)]

    assert worst.submit(futures).result(120) == max(spread(numbers(1000, seed)) for seed in range(3))


def test_exceptions_arrive_whole(runtime: str) -> None:
    """Type and arguments are the task's own; the worker's traceback is the cause."""
    with pytest.raises(LookupError, match="no 7") as caught:
        fails.submit(7).result(120)

    if runtime != "inline":
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert "in fails" in str(caught.value.__cause__)
        assert "in execute" not in str(caught.value.__cause__)  # none of gpucache's own frames


def test_failed_input_skips_what_takes_it(runtime: str) -> None:
    """A call whose input failed raises the input's exception and never runs."""
    future = spread.submit(fails.submit(8))  # type: ignore[arg-type]  # a future stands for its value

    with pytest.raises(LookupError, match="no 8"):
        future.result(120)
    assert future.state == gpc.State.SKIPPED


def test_resident_is_loaded_in_the_worker(runtime: str) -> None:
    """A loader called in a task gives its value there."""
    assert [future.result(120) for future in row.map([1, 2, 3])] == [1, 2, 3]


@gpc.task(ignore=("gate",))
def held(x: int, gate: str) -> int:
    Path(gate).with_suffix(".begun").write_text("begun")
    Path(gate).read_text()
    return x


def test_a_future_says_when_it_runs(runtime: str, tmp_path: Path) -> None:
    """running() is true in a worker and not after; a call that runs is not cancelled, one that waits is."""
    if runtime == "inline":
        pytest.skip("a call has ended when submit() returns")
    for name in ("gate", "gate.begun"):
        os.mkfifo(tmp_path / name)
    future = held.submit(1, str(tmp_path / "gate"))
    waiting = row.submit(future)  # type: ignore[arg-type]  # a future stands for its value
    assert (tmp_path / "gate.begun").read_text() == "begun"

    assert (future.running(), future.done(), future.cancel()) == (True, False, False)
    assert (waiting.running(), waiting.cancel(), waiting.cancelled()) == (False, True, True)

    (tmp_path / "gate").write_text("go on")
    assert (future.result(60), future.running(), future.done()) == (1, False, True)


@gpc.task(workers=2, ignore=("place",))
def met(x: int, place: str) -> tuple[int, int, list[str]]:
    """Each member says that it is there, and waits for the other: they must run at the same time."""
    member = current()
    rank, size = (0, 1) if member is None else (member.rank, member.size)
    Path(place, f"rank {rank}").touch()
    until = time.monotonic() + 20
    while len(os.listdir(place)) < size:
        if time.monotonic() > until:
            raise TimeoutError(f"rank {rank} is alone")
        threading.Event().wait(0.01)
    if rank:
        return threading.Lock()  # type: ignore[return-value]  # what the others give is not asked for
    return x, rank, sorted(os.listdir(place))


def test_members_of_a_gang_run_together(runtime: str, tmp_path: Path) -> None:
    """They meet, rank 0's result is the call's, and it is a hit from then on."""
    (tmp_path / "first").mkdir()
    members = ["rank 0"] if runtime == "inline" else ["rank 0", "rank 1"]

    assert met.submit(1, str(tmp_path / "first")).result(60) == (1, 0, members)
    assert met(1, str(tmp_path / "nowhere")) == (1, 0, members)


def test_result_that_cannot_travel_is_an_error(runtime: str) -> None:
    """A worker can't hand back what can't be stored; the error says what and why."""

    @gpc.task
    def handle(x: int) -> object:
        import threading

        return threading.Lock()

    with pytest.raises(NotStorable, match="lock"):
        handle.submit(1).result(120)


def test_local_function_travels_by_value(runtime: str) -> None:
    """A closure that no module holds runs in a worker as it would here."""
    offset = 5

    @gpc.task
    def shift(x: int) -> int:
        return x + offset

    assert shift.submit(37).result(120) == 42


def test_uncached_result_is_an_argument(runtime: str) -> None:
    """A task that is not cached gives a future like any other; what is below it is keyed by its output."""
    always = numbers.with_(cache=False)

    first, second = (spread.submit(always.submit(5000, 9)) for _ in range(2))

    assert first.result(120) == second.result(120)
    assert {first.state, second.state} <= {gpc.State.RAN, gpc.State.HIT, gpc.State.JOINED}
