"""Work that a body gives to a pool of threads older than itself: what these threads read is the body's."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from call_support import ran

import gpucache as gpc


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    gpc.init(runtime="inline", store=tmp_path / "store")
    yield
    gpc.shutdown()


@functools.cache
def executor() -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(1)
    pool.submit(os.getpid).result()
    return pool


@functools.cache
def pool() -> ThreadPool:
    made = ThreadPool(1)
    made.apply(os.getpid)
    return made


def read(number: int) -> str:
    return Path(f"part-{number}").read_text()


@gpc.task
def by_executor(number: int) -> str:
    return executor().submit(read, number).result()


@gpc.task
def by_pool(number: int) -> str:
    return str(pool().apply(read, (number,)))


@pytest.mark.parametrize(("task", "made"), [(by_executor, executor), (by_pool, pool)])
def test_what_threads_of_an_older_pool_read_counts(
    task: Callable[[int], str], made: Callable[[], object], tmp_path: Path
) -> None:
    """The pool's threads began before the body did, and still read for it."""
    made()
    (tmp_path / "part-1").write_text("a")
    assert task(1) == "a"
    assert ran(lambda: task(1)) == ("a", False)
    (tmp_path / "part-1").write_text("b")
    assert ran(lambda: task(1)) == ("b", True)
