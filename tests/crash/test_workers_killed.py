"""A worker that is killed in the middle of a call costs time and nothing else."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpucache.config import Config
from gpucache.errors import TaskTimeout, WorkerLost
from gpucache.runtime.driver import Driver

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.ray])], scope="module")
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with Driver(Config(runtime=request.param, max_workers=2)) as made:
        yield made


def say_and_wait(fifo: Path, tries: Path) -> str:
    """Say who we are and wait for ever; on the second try, return."""
    with tries.open("a") as log:
        log.write("x")
    if tries.read_text() == "xx":
        return "second try"
    fifo.write_text(str(os.getpid()))
    threading.Event().wait()
    return "never"


def end_of(pid: int) -> bool:
    """Whether the process has ended within ten seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def test_a_killed_workers_call_runs_elsewhere(driver: Driver, tmp_path: Path) -> None:
    """kill -9 of the worker in the middle of a call: the call runs again in another and gives its result."""
    fifo, tries = tmp_path / "fifo", tmp_path / "tries"
    os.mkfifo(fifo)
    future = driver.submit(say_and_wait, (fifo, tries))

    os.kill(int(fifo.read_text()), signal.SIGKILL)

    assert future.result(timeout=30) == "second try"


def test_other_calls_do_not_notice(driver: Driver) -> None:
    """While one call kills its workers again and again, the others give their results."""
    lost = driver.submit(os._exit, (7,), name="exits")
    others = [driver.submit(pow, (n, 2)) for n in range(50)]

    assert [other.result(timeout=60) for other in others] == [n * n for n in range(50)]
    with pytest.raises(WorkerLost, match=r"'exits'.*in each of 3 attempts"):
        lost.result(timeout=60)


def test_a_timeout_ends_what_the_call_started(driver: Driver, tmp_path: Path) -> None:
    """A call over its time is stopped, with its worker and the processes that it had started."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def start_and_wait(said: Path) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        said.write_text(f"{os.getpid()} {child.pid}")
        child.wait()

    future = driver.submit(start_and_wait, (fifo,), timeout_s=1.0, name="slow")
    worker, child = map(int, fifo.read_text().split())

    with pytest.raises(TaskTimeout, match="'slow' ran longer than its timeout of 1 s"):
        future.result(timeout=30)
    assert end_of(worker)
    assert end_of(child)


def test_an_idle_worker_that_dies_is_replaced(driver: Driver) -> None:
    """A worker killed between two calls is not missed: the next call starts another."""
    pid = driver.submit(os.getpid).result()
    for worker in driver.workers():
        if worker.pid is not None:
            # A worker that died in an earlier test may still be listed: Ray tells of a death some time after it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            assert end_of(worker.pid)

    assert driver.submit(os.getpid).result(timeout=30) != pid
