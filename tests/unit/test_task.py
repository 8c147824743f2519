"""Calling a task: answered from the store when its answer is known, run when it is not."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import gpucache as gpc
from gpucache.errors import ArgumentMutated, BadSetting, NotCacheable, NotIdentifiable, ValidationFailed
from gpucache.memo import ResultNotStored


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[None]:
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield
    gpc.shutdown()


@gpc.task(ignore=("ran",))
def double(x: int, ran: list[int]) -> int:
    ran.append(x)
    return 2 * x


@gpc.task(ignore=("ran",))
def ones(length: int, ran: list[int]) -> np.ndarray:
    ran.append(length)
    return np.ones(length, dtype=np.float32)


@gpc.task(ignore=("ran",))
def total(array: np.ndarray, ran: list[int], *, scale: float = 1.0) -> float:
    ran.append(1)
    return float(array.sum() * scale)


def test_second_call_is_answered_from_the_store() -> None:
    """The body runs once; both calls give its value."""
    ran: list[int] = []

    values = [double(3, ran), double(3, ran)]

    assert values == [6, 6]
    assert ran == [3]


def test_spelling_of_the_call_does_not_count() -> None:
    """Positional, keyword, and a default spelled out are one call."""
    ran: list[int] = []
    array = np.arange(4.0)

    values = {total(array, ran), total(array=array, ran=ran), total(array, ran, scale=1.0)}

    assert values == {6.0}
    assert ran == [1]


def test_types_of_equal_numbers_count() -> None:
    """1, 1.0 and True are three calls."""
    ran: list[int] = []

    for x in (1, 1.0, True):
        double(x, ran)  # type: ignore[arg-type]  # on purpose

    assert len(ran) == 3


def test_array_from_the_store_is_read_only_for_first_and_later_callers() -> None:
    """What the caller of a miss gets is what the caller of a hit gets."""
    ran: list[int] = []

    first, second = ones(100_000, ran), ones(100_000, ran)

    assert ran == [100_000]
    np.testing.assert_array_equal(first, second)
    assert not first.flags.writeable
    assert not second.flags.writeable


def test_force_runs_again() -> None:
    """with_(force=True) runs the body although its answer is known, and the next plain call hits."""
    ran: list[int] = []
    double(3, ran)

    double.with_(force=True)(3, ran)
    double(3, ran)

    assert ran == [3, 3]


def test_forget_drops_one_record_or_all() -> None:
    """A forgotten call runs again, the others do not."""
    ran: list[int] = []
    double(1, ran)
    double(2, ran)

    assert double.forget(1, ran) == 1
    double(1, ran)
    double(2, ran)
    assert ran == [1, 2, 1]
    assert double.forget() == 2


def test_cached_tells_none_from_nothing() -> None:
    """cached() runs nothing, and a stored None is a value."""

    @gpc.task
    def nothing(x: int) -> None:
        return None

    assert nothing.cached(1) is None
    nothing(1)
    assert nothing.cached(1) == gpc.Cached(None)


def test_key_is_hex_and_stable() -> None:
    """The same call has the same key, another call another one."""
    assert double.key(1, []) == double.key(1, [5])
    assert double.key(1, []) != double.key(2, [])
    assert len(str(double.key(1, []))) == 32


def test_version_is_part_of_the_key() -> None:
    """Changing version= makes everything run again; going back finds the old answers."""
    assert double.with_(version="2").key(1, []) != double.key(1, [])
    assert double.with_(version="2").with_(version=None).key(1, []) == double.key(1, [])


def test_closures_of_one_factory_are_two_tasks() -> None:
    """A cell's value counts: two closures never share a record."""

    def make(factor: int) -> gpc.Task[[int], int]:
        @gpc.task
        def scaled(x: int) -> int:
            return x * factor

        return scaled

    assert (make(2)(10), make(3)(10), make(2)(10)) == (20, 30, 20)


def test_mutated_argument_is_refused_by_name() -> None:
    """A task that changes its argument is told so, and its result is not stored."""

    @gpc.task
    def careless(items: list[int]) -> int:
        items.append(1)
        return len(items)

    with pytest.raises(ArgumentMutated, match="'items'"):
        careless([0])
    assert careless.cached([0]) is None


COUNTER: dict[str, int] = {"calls": 0}


@gpc.task
def counting(x: int) -> int:
    COUNTER["calls"] += 1
    return x


def test_mutated_global_is_said_by_name() -> None:
    """A task that changes a global that it reads is told which; its value is not lost, and not stored."""
    for calls in (1, 2):
        with pytest.warns(ResultNotStored, match="COUNTER"):
            assert counting(1) == 1
        assert COUNTER["calls"] == calls


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (lambda: gpc.task(gpus="x"), BadSetting, "gpus"),
        (lambda: gpc.task(timeout_s=1), TypeError, "there are cache, cpus"),
        (lambda: gpc.task(3), TypeError, "made of a function"),
        (lambda: gpc.task(retries=-1), BadSetting, "0 or more"),
        (lambda: gpc.task(retries=1.5), BadSetting, "whole number"),  # type: ignore[arg-type]
        (lambda: gpc.task(workers=0), BadSetting, "1 or more"),
        (lambda: gpc.task(gpus=float("nan")), BadSetting, "gpus='nan'"),
        (lambda: gpc.task(timeout=0), BadSetting, "more than 0"),
        (lambda: gpc.task(cache="yes"), BadSetting, "True or False"),  # type: ignore[arg-type]
        (lambda: gpc.task(validate=5), BadSetting, "function of the result"),  # type: ignore[arg-type]
        (lambda: gpc.task(env={"A": "b"}), BadSetting, "gpucache.Env"),  # type: ignore[arg-type]
        (lambda: gpc.task(follow=5), BadSetting, "names of packages"),  # type: ignore[arg-type]
        (lambda: gpc.task(version=1.5), BadSetting, "whole number"),  # type: ignore[arg-type]
        (lambda: gpc.task(name=5), BadSetting, "a text"),  # type: ignore[call-overload]
    ],
)
def test_what_makes_no_task(made: Callable[[], object], error: type[Exception], said: str) -> None:
    """A mistake in the decorator has a sentence of its own."""
    with pytest.raises(error, match=said):
        made()


def test_a_version_may_be_a_number() -> None:
    """2 and "2" are one version, 3 is another."""
    keys = [double.with_(version=version).key(1, []) for version in (2, "2", 3)]

    assert keys[0] == keys[1] != keys[2]


def test_generator_is_refused_before_it_runs() -> None:
    """A generator's values exist only once; the error says to return a list."""

    @gpc.task
    def numbers(n: int) -> Iterator[int]:
        yield from range(n)

    for attempt in (numbers, numbers.submit):
        with pytest.raises(NotCacheable, match="return a list"):
            attempt(3)


def test_unidentifiable_argument_is_named_with_its_path() -> None:
    """The error leads to the value inside the argument."""

    @gpc.task
    def locked(batch: dict[str, object]) -> int:
        return 1

    with pytest.raises(NotIdentifiable, match=r"batch\[.locks.\]\[1\]"):
        locked({"locks": [1, threading.Lock()]})


LOCK = threading.Lock()


def _held(x: int) -> int:
    with LOCK:
        return x


def test_a_global_without_identity_is_refused_with_a_remedy_that_works() -> None:
    """The refusal names the task, which may be far from who reads the lock; made within, or as an ignored argument, it is fine."""

    @gpc.task
    def far(x: int) -> int:
        return _held(x)

    @gpc.task
    def within(x: int) -> int:
        with threading.Lock():
            return x

    @gpc.task(ignore=("lock",))
    def handed(x: int, lock: threading.Lock = LOCK) -> int:
        with lock:
            return x

    with pytest.raises(NotIdentifiable) as refused:
        far(1)

    assert "test_task.LOCK (_thread.lock) can't be identified: task 'far' reaches it, and" in str(refused.value)
    assert "; make it inside the function, pass it as an argument that the task's ignore= names, or" in str(
        refused.value
    )
    assert (within(1), handed(1), handed(2, threading.Lock())) == (1, 1, 2)


def test_unstorable_result_is_returned_and_said() -> None:
    """A result that can't be stored is handed to its caller with a warning; nothing is lost."""

    @gpc.task
    def lock(x: int) -> object:
        return threading.Lock()

    with pytest.warns(ResultNotStored, match="not stored"):
        value = lock(1)

    assert value is not None
    assert lock.cached(1) is None


def test_exception_is_not_stored() -> None:
    """A call that raised runs again."""
    ran: list[int] = []

    @gpc.task(ignore=("ran",))
    def fails_once(ran: list[int]) -> int:
        ran.append(1)
        if len(ran) == 1:
            raise OSError("flaky")
        return 7

    with pytest.raises(OSError, match="flaky"):
        fails_once(ran)
    assert fails_once(ran) == 7


def test_validate_keeps_a_bad_result_out() -> None:
    """What validate refuses is neither stored nor passed on."""

    def positive(value: object) -> None:
        if not isinstance(value, int) or value <= 0:
            raise ValueError("must be positive")

    @gpc.task(validate=positive)
    def negate(x: int) -> int:
        return -x

    for attempt in (negate, lambda x: negate.submit(x).result()):
        for kind in (ValidationFailed, ValueError):
            with pytest.raises(kind, match="must be positive"):
                attempt(1)
    assert negate.cached(1) is None
    assert negate(-1) == 1


class Refused(Exception):
    def __init__(self, what: str, *, why: str) -> None:
        super().__init__(what)
        self.why = why


class Odd(Exception):
    def __new__(cls, one: int) -> Odd:
        return super().__new__(cls, one)


@pytest.mark.parametrize("kind", [ValueError, OSError, AssertionError, Refused, UnicodeDecodeError, KeyError])
def test_a_refusal_is_what_validate_raised(kind: type[Exception]) -> None:
    """Whatever its class wants to be made with; also after it has travelled."""
    raised = ValidationFailed.of("task", "why not", kind)

    arrived = pickle.loads(pickle.dumps(raised))

    for one in (raised, arrived):
        assert isinstance(one, ValidationFailed)
        assert isinstance(one, kind)
        assert str(one) == "task 'task': its validate refused the result: why not"


def test_a_refusal_of_a_class_that_can_not_be_joined_is_plain() -> None:
    """A ValidationFailed in any case."""
    assert type(ValidationFailed.of("task", "why not", Odd)) is ValidationFailed


@pytest.mark.parametrize("verdict", [False, np.False_])
def test_false_is_a_refusal(verdict: object) -> None:
    """Who forgets to raise does not get a bad result stored."""

    @gpc.task(validate=lambda _: verdict)
    def anything(x: int) -> int:
        return x

    with pytest.raises(ValidationFailed, match="returned False"):
        anything(1)
    assert anything.cached(1) is None


def test_uncached_task_always_runs() -> None:
    """cache=False: no key, no record."""
    ran: list[int] = []
    always = double.with_(cache=False)

    always(1, ran)
    always(1, ran)

    assert ran == [1, 1]


def test_async_task_is_awaited_and_cached() -> None:
    """An async def task gives a coroutine; its second await hits."""
    ran: list[int] = []

    @gpc.task(ignore=("ran",))
    async def slow(x: int, ran: list[int]) -> int:
        await asyncio.sleep(0)
        ran.append(x)
        return x + 1

    async def twice() -> list[int]:
        return [await slow(1, ran), await slow(1, ran)]

    assert asyncio.run(twice()) == [2, 2]
    assert ran == [1]


@dataclass
class Point:
    x: int
    y: int


def test_dataclass_goes_in_and_comes_out() -> None:
    """Dataclasses are arguments and results like any other."""

    @gpc.task
    def mirror(point: Point) -> Point:
        return Point(point.y, point.x)

    assert [mirror(Point(1, 2)), mirror(Point(1, 2))] == [Point(2, 1)] * 2


def test_array_from_the_store_as_argument_hits() -> None:
    """What came out of the store is the same argument as what went in."""
    ran: list[int] = []
    array = ones(50_000, ran)

    assert total(array, ran) == total(np.ones(50_000, dtype=np.float32), ran) == 50_000
    assert ran == [50_000, 1]


def test_recursive_task_terminates() -> None:
    """A task that calls itself is identified and runs."""
    assert fibonacci(10) == 55


@gpc.task
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("gpus", -1),
        ("gpus", 1.5),
        ("workers", 0),
        ("gpu_memory", "much"),
        ("timeout", "soon"),
        ("ignore", "x"),
        ("version", 3.5),
    ],
)
def test_bad_option_is_named(option: str, value: object) -> None:
    """An option that is not understood is refused when the task is made, by name and with what was expected."""
    with pytest.raises(BadSetting, match=option):
        gpc.task(**{option: value})  # type: ignore[call-overload]  # on purpose


def test_task_looks_like_its_function() -> None:
    """Name, doc and signature are the function's."""
    import inspect

    assert double.__name__ == "double"
    assert list(inspect.signature(double).parameters) == ["x", "ran"]
    assert double.fn(2, []) == 4
