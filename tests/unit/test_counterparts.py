"""What the calls of a run are compared with: their counterparts of earlier runs, never one another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpucache as gpc

BASE = 1
EDITED = ("constant test_counterparts.BASE 1 -> 5",)


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[None]:
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield
    gpc.shutdown()


def edit(monkeypatch: pytest.MonkeyPatch) -> None:
    """BASE is 5 instead of 1."""
    monkeypatch.setattr(sys.modules[__name__], "BASE", 5)


@gpc.task
def add(n: int) -> int:
    return n + BASE


@gpc.task
def scaled(n: int, by: int) -> int:
    return n * by


@gpc.task
def made(n: int) -> np.ndarray:
    return np.full(4, n + BASE)


@gpc.task
def total(row: np.ndarray) -> int:
    return int(row.sum())


@gpc.task(cache=False)
def told(value: int) -> int:
    return value


@gpc.flow
def sweep(count: int = 3) -> list[int]:
    return [add(n) for n in range(count)]


@gpc.flow
def submitted(by: int) -> list[int]:
    return [scaled.submit(n, by).result() for n in range(3)]


@gpc.flow
def two_steps() -> list[int]:
    return [told(total(made(n))) for n in range(3)]


def reasons(run: gpc.Run[list[int]], task: str) -> list[tuple[str, ...]]:
    return [call.reasons for call in run.calls if call.task == task]


def planned(plan: object, task: str) -> list[tuple[str, ...]]:
    return [tuple(map(str, call.reasons)) for call in plan.calls if call.task == task]  # type: ignore[attr-defined]


def test_an_edit_is_the_reason_of_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant was edited and no argument: a run says so of each call of the task, as its plan did."""
    sweep.run()
    edit(monkeypatch)
    plan, run = sweep.plan(), sweep.run()

    assert reasons(run, "add") == [EDITED] * 3
    assert reasons(run, "add") == planned(plan, "add")


def test_calls_of_a_first_run_are_not_compared_with_one_another() -> None:
    """None of them ran before, and the run says so of each, as its plan did."""
    plan, run = sweep.plan(), sweep.run()

    assert reasons(run, "add") == planned(plan, "add") == [("it never ran before",)] * 3


def test_a_long_sweep_is_compared_call_by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls than records are looked through: the counterpart is found by its place in the earlier run."""
    sweep.run(100)
    edit(monkeypatch)
    plan, run = sweep.plan(100), sweep.run(100)

    assert set(reasons(run, "add")) == {EDITED}
    assert reasons(run, "add") == planned(plan, "add")


def test_records_equally_near_give_way_to_the_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every argument is another one: each is compared with what stood in its place, as diff() does."""
    before = two_steps.run()
    edit(monkeypatch)
    run = two_steps.run()

    compared_with = [call.compared_with for call in run.calls if call.task == "total"]
    assert compared_with == [call.key for call in before.calls if call.task == "total"]


@pytest.mark.slow
def test_calls_in_workers_are_compared_with_those_of_earlier_runs(tmp_path: Path) -> None:
    """One argument changed, and it is the one that is named of each call."""
    gpc.init(store=tmp_path / "store", runtime="local")
    submitted.run(1)

    run = submitted.run(5)

    assert reasons(run, "scaled") == [("argument by 1 -> 5",)] * 3


def test_a_failed_run_hides_no_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that broke off early has no counterparts for later calls: those of the run before it stand in."""

    @gpc.flow(name="sweep")
    def broken() -> None:
        add(200)
        raise ValueError

    sweep.run(100)
    broken.run()
    edit(monkeypatch)
    run = sweep.run(100)

    assert set(reasons(run, "add")) == {EDITED}


def test_a_plan_tells_of_each_call_what_its_counterpart_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that run, that may run, and that are not cached: what each took in the last run, not the newest for all."""
    before = two_steps.run()
    took = {(call.task, nth): call.seconds for nth, call in enumerate(before.calls)}
    edit(monkeypatch)

    plan = two_steps.plan()

    assert {(call.task, nth): call.seconds for nth, call in enumerate(plan.calls)} == took


def test_a_plan_tells_what_a_hit_had_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last run hit: its calls took what they took when they ran."""
    ran = sweep.run()
    sweep.run()
    edit(monkeypatch)

    assert [call.seconds for call in sweep.plan().calls] == [call.seconds for call in ran.calls]
