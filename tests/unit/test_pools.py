"""Where a pool's state lies: written seldom, removed at the end, swept when its process is dead, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gpucache.runtime import pools
from gpucache.runtime.attribution import Holds, held_on, holds
from gpucache.runtime.pools import FOLDER, PoolState, StatusFile, WorkerState, read_pools
from gpucache.telemetry import Fleet, GpuReading, ProcessReading

GIB = 2**30


def worker(**differs: object) -> WorkerState:
    plain = WorkerState(
        worker="w0",
        pid=7,
        stage="idle",
        kind="1 GPU",
        gpus=("GPU-0",),
        promised_bytes=4 * GIB,
        device_bytes=(),
        residents=(),
        since=0.0,
        call=None,
        call_since=None,
        answered=0,
    )
    return msgspec.structs.replace(plain, **differs)


def pool(**differs: object) -> PoolState:
    """A pool of this process."""
    own = PoolState(
        pid=os.getpid(),
        started_ticks=pools.started_ticks(os.getpid()) or 0,
        pid_namespace=pools.pid_namespace(),
        host=pools.socket.gethostname(),
        program="test",
        runtime="local",
        workers_max=2,
        written_at=0.0,
        workers=(worker(),),
        calls=(),
        gpus=(),
    )
    return msgspec.structs.replace(own, **differs)


def write(store: Path, name: str, state: PoolState) -> Path:
    (store / FOLDER).mkdir(exist_ok=True)
    path = store / FOLDER / f"{name}.json"
    path.write_bytes(msgspec.json.encode(state))
    return path


class Later:
    """A clock that a test moves: what is to be called, and after how long."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((seconds, call))

    def pass_by(self) -> None:
        due, self.due = self.due, []
        for _, call in due:
            call()


def test_changes_are_gathered_and_written_at_most_twice_a_second(tmp_path: Path) -> None:
    """However often something changes, one write is due, half a second later; nothing changes, nothing is written."""
    later = Later()
    file = StatusFile(tmp_path, pool, later)
    for _ in range(1000):
        file.note()

    assert [seconds for seconds, _ in later.due] == [0.5]
    assert read_pools(tmp_path) == []
    later.pass_by()

    assert read_pools(tmp_path) == [pool()]
    assert later.due == []
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".json"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_pool_that_is_slow_to_look_at_is_looked_at_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes 0.1 s under the lock is taken every 5 s, so that it costs 2 % at most."""
    seconds = iter((10.0, 10.1))
    monkeypatch.setattr(pools.time, "monotonic", lambda: next(seconds))
    later = Later()
    file = StatusFile(tmp_path, pool, later)
    file.note()
    later.pass_by()
    file.note()

    assert later.due[0][0] == pytest.approx(5.0)


def test_it_is_removed_at_the_end_and_does_not_come_back(tmp_path: Path) -> None:
    """A write that was under way when the runtime ended leaves nothing."""
    later = Later()
    file = StatusFile(tmp_path, pool, later)
    file.note()
    later.pass_by()
    file.note()
    file.close()
    later.pass_by()

    assert list((tmp_path / FOLDER).iterdir()) == []


def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    """Whoever uses workers without a store gets no directory for it."""
    later = Later()
    StatusFile(tmp_path / "store", pool, later).note()
    later.pass_by()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The pool goes on; that it is not shown is said, once."""
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    later = Later()
    file = StatusFile(tmp_path, pool, later)
    for _ in range(3):
        file.note()
        later.pass_by()

    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "`gpucache status` does not show this process"
    ]


def test_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    """Its id may belong to another process by now: the start tells them apart."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    gone = write(tmp_path, "gone", pool(pid=child.pid))
    reused = write(tmp_path, "reused", pool(started_ticks=pool().started_ticks - 1))
    own = write(tmp_path, "own", pool())

    assert read_pools(tmp_path) == [pool()]
    assert (gone.exists(), reused.exists(), own.exists()) == (False, False, True)


def test_the_first_write_sweeps(tmp_path: Path) -> None:
    """Killed processes leave no heap of files where nobody ever looks."""
    gone = write(tmp_path, "gone", pool(started_ticks=1))
    later = Later()
    StatusFile(tmp_path, pool, later).note()
    later.pass_by()

    assert not gone.exists()
    assert read_pools(tmp_path) == [pool()]


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"pid_namespace": "pid:[1]"}])
def test_a_process_of_another_container_is_not_judged(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    """Its id means nothing here: its pool is shown as it was written, and nothing is removed."""
    path = write(tmp_path, "other", pool(pid=2**30, **elsewhere))

    (found,) = read_pools(tmp_path)

    assert pools.is_alive(found) is None
    assert path.exists()


def test_what_is_no_pool_is_passed_over(tmp_path: Path) -> None:
    """A torn or foreign file hides no other pool."""
    write(tmp_path, "own", pool())
    (tmp_path / FOLDER / "torn.json").write_bytes(b'{"version": 1, "pid"')

    assert read_pools(tmp_path) == [pool()]


# ---------------------------------------------------------------- who holds what


def fleet(*, of_host: bool, memory_bytes: int | None = 3 * GIB) -> Fleet:
    gpu = GpuReading("GPU-0", 0, "a GPU", 80 * GIB, 9 * GIB, 71 * GIB, processes=(ProcessReading(7, memory_bytes),))
    return Fleet((gpu,), 0, pids_are_hosts=of_host)


def test_nvml_is_believed_where_its_ids_are_ours() -> None:
    """It counts the context too, so it goes before the worker's own word."""
    assert holds(worker(device_bytes=(2 * GIB,)), fleet(of_host=False)) == (Holds("GPU-0", 3 * GIB, "nvml"),)


def test_in_a_container_the_worker_is_believed() -> None:
    """The process that has the worker's number on the host is someone else's."""
    assert holds(worker(device_bytes=(2 * GIB,)), fleet(of_host=True)) == (Holds("GPU-0", 2 * GIB, "pytorch"),)


@pytest.mark.parametrize("seen", [None, fleet(of_host=True), fleet(of_host=False, memory_bytes=None)])
def test_what_nobody_says_is_not_zero(seen: Fleet | None) -> None:
    """Neither for the worker nor for the sum over a GPU's workers."""
    silent, telling = worker(), worker(device_bytes=(GIB,), pid=8)

    assert holds(silent, seen) == (Holds("GPU-0", None, None),)
    assert held_on("GPU-0", [pool(workers=(telling, silent))], seen) is None
    assert held_on("GPU-0", [pool(workers=(telling, telling))], seen) == 2 * GIB
    assert held_on("GPU-1", [pool()], seen) == 0
