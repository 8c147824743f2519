"""A task's retries and its validate, wherever the call runs: in this process, async, uncached, by submit()."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpucache as gpc


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[None]:
    gpc.init(store=tmp_path / "store", runtime="inline")
    yield
    gpc.shutdown()


@gpc.task(retries=2, ignore=("tries",))
def third_time_lucky(tries: list[int]) -> int:
    tries.append(1)
    if len(tries) < 3:
        raise ConnectionError(len(tries))
    return len(tries)


@gpc.task(retries=2, ignore=("tries",))
async def third_time_lucky_async(tries: list[int]) -> int:
    await asyncio.sleep(0)
    tries.append(1)
    if len(tries) < 3:
        raise ConnectionError(len(tries))
    return len(tries)


WAYS: dict[str, Callable[[list[int]], Any]] = {
    "called": third_time_lucky,
    "uncached": third_time_lucky.with_(cache=False),
    "submitted": lambda tries: third_time_lucky.submit(tries).result(),
    "async": lambda tries: asyncio.run(third_time_lucky_async(tries)),
    "async uncached": lambda tries: asyncio.run(third_time_lucky_async.with_(cache=False)(tries)),
    "async submitted": lambda tries: third_time_lucky_async.submit(tries).result(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_raised_is_run_again(way: str) -> None:
    """`retries=2`: the body runs three times at most, and the value of the one that did not raise counts."""
    assert WAYS[way]([]) == 3


@pytest.mark.parametrize("way", ["called", "uncached", "async", "async uncached"])
def test_the_last_exception_is_raised(way: str) -> None:
    """When no retry is left, what the last one raised arrives, and nothing is stored."""
    tries: list[int] = []
    once = {
        "called": third_time_lucky.with_(retries=1),
        "uncached": third_time_lucky.with_(retries=1, cache=False),
        "async": lambda tries: asyncio.run(third_time_lucky_async.with_(retries=1)(tries)),
        "async uncached": lambda tries: asyncio.run(third_time_lucky_async.with_(retries=1, cache=False)(tries)),
    }

    with pytest.raises(ConnectionError, match="2"):
        once[way](tries)

    assert len(tries) == 2


def test_a_run_has_one_call_for_all_tries() -> None:
    """In a run's calls a call that succeeded at its third try ran once, and failed not at all."""

    @gpc.flow
    def flow() -> int:
        return third_time_lucky([])

    assert [(call.task, call.state.value) for call in flow.run().calls] == [("third_time_lucky", "ran")]


def test_an_interruption_is_not_retried() -> None:
    """Who presses Ctrl-C does not want another try."""
    tries: list[int] = []

    @gpc.task(retries=5, ignore=("tries",))
    def interrupted(tries: list[int]) -> None:
        tries.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(tries)

    assert len(tries) == 1
