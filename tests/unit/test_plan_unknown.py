"""What a plan does where the flow's own lines look at a result that is not known: it ends there, whoever does the looking."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpucache as gpc
from gpucache.flows import Plan


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[None]:
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield
    gpc.shutdown()


@gpc.task
def matrix(size: int) -> np.ndarray:
    return np.eye(size)


@gpc.task
def total(values: Any) -> float:
    return float(np.sum(values))


def plan_of(look: Callable[[Any], object]) -> Plan:
    """The plan of a flow that calls matrix(), looks at its result so, and calls total()."""

    @gpc.flow
    def looking() -> float:
        found = matrix(3)
        look(found)
        return total(found)

    return looking.plan()


def matched(value: Any) -> str:
    match value:
        case [_, *_]:
            return "rows"
        case _:
            return "something else"


LOOKS: dict[str, Callable[[Any], object]] = {
    "np.trace": np.trace,
    "np.diag": np.diag,
    "np.sqrt": np.sqrt,
    "np.unique": np.unique,
    "np.asarray": np.asarray,
    "np.asarray of a list": lambda x: np.asarray([x], float),
    "np.array of object": lambda x: np.array([x], dtype=object),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.stack": lambda x: np.stack([x, x]),
    "np.float32": np.float32,
    "np.add.at": lambda x: np.add.at(np.zeros(3), x, 1),
    "an array's item": lambda x: np.zeros(3)[x],
    "an item set": lambda x: np.zeros(3).__setitem__(0, x),
    "array @": lambda x: np.eye(3) @ x,
    "@ array": lambda x: x @ np.eye(3),
    "array *": lambda x: np.eye(3) * x,
    "scalar *": lambda x: np.float64(3) * x,
    "%": lambda x: 3 % x,
    "isinstance": lambda x: isinstance(x, np.ndarray),
    "isinstance of an ABC": lambda x: isinstance(x, Iterator),
    "match": matched,
    "json.dumps": json.dumps,
    "json.dumps of a dict": lambda x: json.dumps({"x": x}),
    "pickle.dumps": pickle.dumps,
    "math.floor": math.floor,
    "math.sqrt": math.sqrt,
    "os.fspath": os.fspath,
    "memoryview": bytes,
    "str": str,
    "format": lambda x: f"{x:.3f}",
    "hash": hash,
    "a set": lambda x: {x},
    "hasattr": lambda x: hasattr(x, "__dlpack__"),
    "in": lambda x: 1 in [x],
    "max": lambda x: max(x, 3),
    "await": lambda x: x.__await__(),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_plan_stops_at_the_line_that_looks(look: Callable[[Any], object]) -> None:
    """Operators, numpy, json, pickle and isinstance() all stop it, with no exception of theirs and no wrong branch."""
    plan = plan_of(look)

    assert (plan.stopped_at, plan.problem) == ("matrix", None)
    assert [call.task for call in plan.calls] == ["matrix"]


def test_pandas_and_arrow_stop_it_too() -> None:
    """Tables are not made of what is not known."""
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    for look in (pandas.DataFrame, pandas.Series, lambda x: pandas.DataFrame({"a": x}), pyarrow.array, pyarrow.scalar):
        assert plan_of(look).stopped_at == "matrix"


def test_torch_stops_it_too() -> None:
    """Tensors are not made of what is not known."""
    torch = pytest.importorskip("torch")
    for look in (torch.tensor, torch.as_tensor, torch.from_numpy, lambda x: torch.ones(3) * x):
        assert plan_of(look).stopped_at == "matrix"


def test_save_of_an_unknown_array_leaves_the_file_alone(tmp_path: Path) -> None:
    """np.save() writes nothing in a plan that does not know what: the file of the last run is still there."""
    file = tmp_path / "out.npy"
    np.save(file, np.arange(3))

    for look in (lambda x: np.save(file, x), lambda x: np.savez(file, x), lambda x: np.savetxt(file, x)):
        assert plan_of(look).stopped_at == "matrix"

    assert np.load(file).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "look",
    [
        lambda x: [x, {"a": (x,)}],
        repr,
        copy.copy,
        lambda x: copy.deepcopy({"a": [x]}),
        lambda x: total([x, {"a": x}]),
        lambda x: total.submit(x).result() is None,
        lambda x: total(total.submit([x])),
        lambda x: total(ThreadPoolExecutor(1).submit(list, [x])),
        lambda x: x[0],
        lambda x: x is None,
    ],
)
def test_what_only_hands_it_on_does_not_stop_it(look: Callable[[Any], object]) -> None:
    """In lists, copies, futures and arguments of tasks it is carried along."""
    plan = plan_of(look)

    assert plan.stopped_at is None
    assert {call.task for call in plan.calls} == {"matrix", "total"}


def test_unknown_result_of_a_flow_and_of_a_flow_within_it() -> None:
    """A flow may return it, and so may an async one."""

    @gpc.flow
    def inner() -> np.ndarray:
        return matrix(4)

    @gpc.flow
    async def outer() -> float:
        return total(inner())

    plan = outer.plan()

    assert plan.stopped_at is None
    assert [call.task for call in plan.calls] == ["matrix", "total"]


def test_what_the_flow_raises_for_want_of_a_value_ends_the_plan_with_what_is_known() -> None:
    """Where nothing could ask first, the flow's exception is the end of the plan, in words: which task's, and what it was."""
    plan = plan_of(lambda x: ", ".join([x]))

    assert plan.stopped_at == "matrix"
    assert plan.problem == "TypeError: sequence item 0: expected str instance, Unknown found"
    assert [call.task for call in plan.calls] == ["matrix"]
    assert str(plan).endswith(
        "... the rest depends on the result of matrix, which is not known before it runs: without it the flow's own lines "
        "raise TypeError: sequence item 0: expected str instance, Unknown found"
    )


def test_the_task_that_is_named_is_the_one_whose_result_was_looked_at() -> None:
    """Of several unknown results, the one nearest to the line that raised; a stop that was wrapped names its own."""

    @gpc.flow
    def wrapping() -> None:
        first = matrix(2)
        total(first)
        try:
            len(first)
        except Exception as problem:
            raise RuntimeError("no good") from problem

    plan = wrapping.plan()

    assert (plan.stopped_at, plan.problem) == ("matrix", None)


def test_a_flow_that_catches_the_stop_is_not_planned_further() -> None:
    """What it does instead may be another branch than the run's: the plan ends where it looked, though the flow goes on."""

    def guess(value: Any) -> None:
        try:
            float(value)
        except Exception:
            total([1.0])

    def shrug(value: Any) -> None:
        with contextlib.suppress(Exception):
            np.trace(value)

    @gpc.flow
    def to_its_end() -> None:
        shrug(matrix(3))

    for plan in (plan_of(guess), plan_of(shrug), to_its_end.plan()):
        assert (plan.stopped_at, plan.problem) == ("matrix", None)
        assert [call.task for call in plan.calls] == ["matrix"]
        assert not plan.is_all_hit


def test_an_exception_where_all_is_known_is_the_users() -> None:
    """With every result known, a plan raises what the flow raises."""
    matrix(3)

    @gpc.flow
    def failing() -> None:
        matrix(3)
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        failing.plan()


def test_a_dataclass_with_an_unknown_value_in_it_stops_at_the_task_that_takes_it() -> None:
    """What a task's argument is can't be said while a part of it is not known."""

    @dataclasses.dataclass
    class Setup:
        weights: Any

    @gpc.task
    def use(setup: Setup) -> int:
        return 1

    plan = plan_of(lambda x: use(Setup(x)))

    assert plan.stopped_at == "matrix"
