"""Flows: recorded runs, what they say, and how they are found again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpucache as gpc
from gpucache.errors import NoSuchRecord
from gpucache.flows import Verdict


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[None]:
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield
    gpc.shutdown()


@gpc.task
def load(size: int) -> np.ndarray:
    return np.arange(size, dtype=np.float64)


@gpc.task
def clip(array: np.ndarray, top: float) -> np.ndarray:
    return np.minimum(array, top)


@gpc.task
def mean(array: np.ndarray) -> float:
    return float(array.mean())


@gpc.flow
def pipeline(size: int = 10_000, top: float = 100.0) -> float:
    return mean(clip(load(size), top))


def states(run: gpc.Run[float]) -> dict[str, str]:
    return {call.task: str(call.state) for call in run.calls}


def test_run_records_what_ran_and_what_hit() -> None:
    """A cold run runs all, the same again hits all, and the saved seconds are told."""
    cold, warm = pipeline.run(), pipeline.run()

    assert states(cold) == {"load": "ran", "clip": "ran", "mean": "ran"}
    assert states(warm) == {"load": "hit", "clip": "hit", "mean": "hit"}
    assert cold.result() == warm.result()
    assert warm.saved_seconds > 0


def test_changed_argument_reruns_only_what_takes_it() -> None:
    """One argument changes: what is above it hits, and the reason names it with both values."""
    pipeline.run()

    run = pipeline.run(top=50.0)

    assert states(run) == {"load": "hit", "clip": "ran", "mean": "ran"}
    reasons = {call.task: call.reasons for call in run.calls}
    assert reasons["clip"] == ("argument top 100.0 -> 50.0",)


def test_equal_output_stops_the_rerun() -> None:
    """Early cutoff: a step that gives the same bytes as before makes everything below it hit."""
    pipeline.run(top=1e6)

    run = pipeline.run(top=1e7)

    assert states(run) == {"load": "hit", "clip": "ran", "mean": "hit"}


def test_run_is_found_again_by_id_prefix_and_last() -> None:
    """Any process with the store finds a run by its id, the start of it, or its place from the end."""
    first, second = pipeline.run(), pipeline.run(top=3.0)

    assert gpc.run(first.id).result() == first.result()
    assert gpc.run("@last").id == second.id
    assert gpc.run("@last~1").id == first.id
    assert [run.id for run in gpc.runs(flow="pipeline", since="7d")] == [second.id, first.id]
    assert gpc.run(second.id).params == {"size": 10_000, "top": 3.0}


def test_unknown_run_is_said() -> None:
    """The error names the run and how to list them."""
    with pytest.raises(NoSuchRecord, match="gpucache runs"):
        gpc.run("nope")


def test_failed_run_is_recorded_and_raises_its_own_exception() -> None:
    """run() gives a failed Run whose result() raises what the flow raised; the call that raised is marked."""

    @gpc.task
    def divide(a: int, b: int) -> float:
        return a / b

    @gpc.flow
    def broken(b: int) -> float:
        return divide(1, b)

    run = broken.run(0)

    assert run.status == "failed"
    assert run.error is not None
    assert "ZeroDivisionError" in run.error
    assert [str(call.state) for call in run.calls] == ["failed"]
    with pytest.raises(ZeroDivisionError):
        run.result()
    with pytest.raises(ZeroDivisionError):
        broken(0)


def test_plan_says_what_would_run_without_running() -> None:
    """Before, with another argument, and after: hits, runs, and what may run below it."""
    cold = pipeline.plan()
    pipeline.run()
    warm, other = pipeline.plan(), pipeline.plan(top=5.0)

    assert [call.verdict for call in cold.calls] == [Verdict.RUNS, Verdict.MAY_RUN, Verdict.MAY_RUN]
    assert warm.is_all_hit
    assert [str(call.verdict) for call in other.calls] == ["hits", "runs", "may run"]
    assert "argument top 100.0 -> 5.0" in str(other)
    assert len(gpc.runs()) == 1


def test_plan_ends_where_the_flow_looks_at_an_unknown_value() -> None:
    """A flow that branches on a result that is not known is planned up to there, and says so."""

    @gpc.flow
    def branching() -> float:
        array = load(11)
        return mean(array) if mean(array) > 3 else 0.0

    plan = branching.plan()

    assert plan.stopped_at == "mean"
    assert [call.task for call in plan.calls] == ["load", "mean"]


def test_unknown_tuple_unpacks_as_its_last_result_did() -> None:
    """A plan follows `a, b = split(...)` where an earlier result tells how many there are."""

    @gpc.task
    def split(array: np.ndarray, at: int) -> tuple[int, int]:
        return at, len(array) - at

    @gpc.flow
    def splitting(at: int) -> int:
        head, tail = split(load(12), at)
        return head * tail

    splitting.run(3)

    plan = splitting.plan(4)

    assert plan.stopped_at == "split"
    assert [str(call.verdict) for call in plan.calls] == ["hits", "runs"]


def test_diff_names_what_differs() -> None:
    """Two runs are compared call by call, down to the argument."""
    first, second = pipeline.run(), pipeline.run(top=7.0)

    differences = {difference.task: str(difference) for difference in first.diff(second)}

    assert set(differences) == {"clip", "mean"}
    assert "argument top 100.0 -> 7.0" in differences["clip"]
    assert first.diff(first) == ()


def test_replay_gives_the_same() -> None:
    """A replayed run hits and differs in nothing."""
    run = pipeline.run(top=9.0)

    again = run.replay()

    assert again.id != run.id
    assert run.diff(again) == ()


@gpc.flow
def gathering(first: int, /, *more: int, scale: int = 1, **named: int) -> int:
    return int(mean(load((first + sum(more)) * scale + sum(named.values()))))


def test_replay_and_check_take_every_kind_of_argument() -> None:
    """Positional-only ones, `*args` and `**kwargs` come back as what they were."""
    run = gathering.run(1, 2, 3, scale=10, more_of_it=5)

    again, checked = run.replay(), run.check()

    assert (run.result(), again.result()) == (32, 32)
    assert (again.params, run.diff(again)) == (run.params, ())
    assert len(checked.calls) == 2


def test_replay_of_a_flow_that_takes_other_arguments_now_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what it takes; nothing runs."""
    run = gathering.run(1, 2)

    @gpc.flow(name="gathering")
    def other(second: int) -> int:
        raise AssertionError("it runs")

    monkeypatch.setitem(globals(), "gathering", other)

    with pytest.raises(NoSuchRecord, match="takes others now"):
        run.replay()


def test_runs_of_a_flow_are_listed_by_it_or_by_its_name() -> None:
    """runs(flow=...) takes the flow, too."""
    run = gathering.run(1)

    assert [found.id for found in gpc.runs(gathering)] == [found.id for found in gpc.runs("gathering")] == [run.id]


def test_flow_in_a_flow_is_part_of_its_run() -> None:
    """A nested flow makes no run of its own; its calls are in the outer one's."""

    @gpc.flow
    def outer() -> float:
        return pipeline(100, 10.0) + 1

    run = outer.run()

    assert len(gpc.runs()) == 1
    assert [call.task for call in run.calls] == ["load", "clip", "mean"]


def test_submitted_run_outlives_its_caller(tmp_path: Path) -> None:
    """submit() runs the flow in a process of its own; its Run is found by id and gives the value."""
    file = tmp_path / "nightly.py"
    file.write_text(
        "import gpucache as gpc\n\n"
        "@gpc.task\ndef add(a: int, b: int) -> int:\n    return a + b\n\n"
        "@gpc.flow\ndef nightly(a: int) -> int:\n    return add(a, 2)\n"
    )
    from gpucache.flows.loading import load_flow

    run = load_flow(str(file), "nightly", "nightly").submit(40)

    assert gpc.run(run.id).wait(60) == "done"
    assert gpc.run(run.id).result() == 42


@gpc.task
def add_in_place(array: np.ndarray) -> np.ndarray:
    array += 1
    return array


@gpc.task(cpus=1, env=gpc.Env(env_vars={"ELSEWHERE": "1"}))
def add_in_place_elsewhere(array: np.ndarray) -> np.ndarray:
    array[0] = 1
    return array


@gpc.task
async def add_in_place_later(array: np.ndarray) -> np.ndarray:
    array += 1
    return array


def write_here(array: np.ndarray) -> None:
    array += 1


async def add_later(array: np.ndarray) -> None:
    await add_in_place_later(array)


@pytest.mark.parametrize("runtime", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_who_writes_into_a_result_is_told_what_to_do(runtime: str, tmp_path: Path) -> None:
    """In a flow's line, a task's body, an async one's and a worker's: numpy's error has a note, once, and stays itself."""
    gpc.init(store=tmp_path / "store", runtime=runtime)

    for write in (write_here, add_in_place, add_in_place_elsewhere, lambda array: asyncio.run(add_later(array))):

        @gpc.flow
        def writing() -> None:
            write(load(10_000))  # noqa: B023  # called in this turn of the loop

        run = writing.run()
        problem = run.exception()

        assert isinstance(problem, ValueError)
        assert problem.__notes__ == ["arrays from gpucache's store are read-only: x = x + 1, or x.copy()"]
        assert run.error is not None
        assert run.error.endswith("is read-only")
        assert str(run.traceback).count("x.copy()") >= 1
    with pytest.raises(ValueError, match="is read-only") as raised:
        np.frombuffer(b"12345678")[:] = 1
    assert not hasattr(raised.value, "__notes__")
