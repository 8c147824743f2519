"""`gpucache status`: a real pool on GPUs that are not there, as another process would see it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import GIB, FakeNvml, gpu, mig, mig_uuid, uuid

import gpucache as gpc
from gpucache.cli.main import status_of
from gpucache.cli.top import HOME_AND_CLEAR
from gpucache.flows.session import current_session
from gpucache.ledger import RunRow
from gpucache.runtime import pools
from gpucache.runtime.pools import PoolState, StatusFile, read_pools
from gpucache.telemetry import Sample, Sampler


@gpc.resident(gpu_memory="1GiB")
def weights(*, device: str) -> list[str]:
    return [device]


@gpc.task(gpus=0.25, gpu_memory="4GiB", cache=False)
def loads() -> int:
    return len(weights())


@gpc.task(gpus=0.25, gpu_memory="4GiB", cache=False)
def holds_on(number: int, address: str) -> int:
    """Runs until the test lets it go."""
    with socket.socket(socket.AF_UNIX) as held:
        held.connect(address)
        held.recv(1)
    return number


class Written:
    """Waits for what the runtime has written to say something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._changed = threading.Condition()
        write = StatusFile._write

        def written(file: StatusFile) -> None:
            write(file)
            with self._changed:
                self._changed.notify_all()

        monkeypatch.setattr(pools, "WRITE_EVERY_S", 0.01)
        monkeypatch.setattr(StatusFile, "_write", written)

    def until(self, store: Path, says: Callable[[PoolState], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(says, read_pools(store))), 60)


@pytest.fixture
def written(tmp_path: Path, fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    fake_nvml.says(gpu(0, memory_used_bytes=9 * GIB), gpu(1))
    told = Written(monkeypatch)
    gpc.init(store=tmp_path / "store", runtime="local", max_workers=1)
    yield told
    gpc.shutdown()


def status(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert status_of(["status", *options]) == 0
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(status(capsys, "--json"))
    return told


@pytest.mark.slow
def test_a_pool_at_work(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """One call runs and two wait in a run of a flow; the worker holds a GPU, a resident, and what it was promised."""
    listener = socket.socket(socket.AF_UNIX)
    address = f"\0gpucache-test-{os.getpid()}"  # abstract: a path may be longer than a socket's may be
    listener.bind(address)
    listener.listen()

    @gpc.flow
    def busy() -> list[int]:
        loads()
        futures = [holds_on.submit(number, address) for number in range(3)]
        accepted, _ = listener.accept()
        written.until(store, lambda pool: [(c.running, c.waiting) for c in pool.calls] == [(1, 2)])
        seen.append(document(capsys))
        shown.append(status(capsys, "--once"))
        for number in range(3):
            if number:
                accepted, _ = listener.accept()
            accepted.close()
        return [future.result() for future in futures]

    seen: list[dict[str, Any]] = []
    shown: list[str] = []
    store = current_session().config.store_path
    assert busy() == [0, 1, 2]
    written.until(store, lambda pool: not pool.calls)
    idle = document(capsys)
    gpc.shutdown()
    listener.close()

    (run,), (worker,) = seen[0]["runs"], seen[0]["workers"]
    assert (run["flow"], run["pid"], run["calls_running"], run["calls_waiting"]) == ("busy", os.getpid(), 1, 2)
    assert run["calls_ended"] == {"uncached": 1}
    assert (worker["kind"], worker["stage"], worker["call"]) == ("0.25 GPU, 4.00 GiB", "busy", "holds_on")
    assert worker["gpus"] == [uuid(0)]
    assert worker["promised_bytes"] == 4 * GIB
    assert worker["residents"] == [{"name": "weights", "declared_bytes": GIB}]
    assert worker["for_s"] >= worker["call_for_s"] >= 0
    assert worker["held"] == [{"uuid": uuid(0), "nbytes": None, "said_by": None}]
    first, second = seen[0]["gpus"]
    assert (first["promised_bytes"], first["promised_fraction"]) == (4 * GIB, 0.25)
    assert (first["memory_used_bytes"], first["workers_bytes"], first["others_bytes"]) == (9 * GIB, None, None)
    assert (second["promised_bytes"], second["workers_bytes"], second["others_bytes"]) == (0, 0, 0)
    assert "holds_on for " in shown[0]
    assert "without CUDA's own context" in shown[0]
    assert (idle["runs"], idle["workers"][0]["stage"], idle["workers"][0]["calls_ended"]) == ([], "idle", 4)
    assert read_pools(store) == []


def test_nothing_runs(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """A store with no pool is no error; the GPUs are shown with what others have taken of them."""
    assert current_session().store.stats().records == 0

    told = document(capsys)

    assert (told["schema"], told["runs"], told["workers"]) == ("gpucache.status/1", [], [])
    assert told["gpus"][0]["others_bytes"] == 9 * GIB
    assert "nothing runs" in status(capsys)


def test_live_until_interrupted(
    written: Written, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal it is drawn anew at each reading; Ctrl-C is the way to leave it, and no failure."""
    assert current_session().store.stats().records == 0
    wait, drawn = Sampler.wait, iter((True, True, False))

    def waits(sampler: Sampler, timeout_s: float, *, after: int = 0) -> Sample | None:
        if not next(drawn):
            raise KeyboardInterrupt
        return wait(sampler, timeout_s, after=after)

    monkeypatch.setattr(Sampler, "wait", waits)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    shown = status(capsys, "--every", "0.1")

    assert shown.count(HOME_AND_CLEAR) == 2
    assert shown.count("nothing runs") == 2


def test_runs_of_another_machine_are_not_shown_as_running(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody here can say whether they live; one of this machine whose process is gone was interrupted."""
    ledger = current_session().ledger
    for number, host in enumerate(("another", socket.gethostname())):
        row = RunRow(id=f"{number}", flow="f", status="running", started_at=0.0, env={"host": host}, pid=2**22 + 1)
        ledger.write(row)

    assert document(capsys)["runs"] == []


def test_gpus_are_called_as_by_top(written: Written, fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    """By index, and MIG instances by number behind it, with their profile; a GPU in trouble is told though nobody wants it."""
    current_session().store.put(1)  # a store is there
    fake_nvml.says(gpu(0, mig_mode=1), mig(0, 0, 5), mig(0, 1, 6), gpu(1, rows_failed=1))

    told = document(capsys)["gpus"]
    assert status_of(["status", "--once"]) == 0
    shown = capsys.readouterr().out

    assert [(one["number"], one["uuid"]) for one in told] == [
        ("0.0", mig_uuid(5)),
        ("0.1", mig_uuid(6)),
        ("1", uuid(1)),
    ]
    assert [one["trouble"] for one in told] == [None, None, "a row of its memory could not be remapped"]
    assert "0.1  NVIDIA H200 MIG" in shown


def test_without_a_store_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As every verb that shows something: status 5, and no store is made."""
    assert status_of(["status", "--store", str(tmp_path / "none")]) == 5
    assert "there is none yet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    gpc.shutdown()


KILLED = """
import sys, threading
import gpucache as gpc
from gpucache.runtime.pools import StatusFile

write = StatusFile._write

def written(file):
    write(file)
    print("written", flush=True)

StatusFile._write = written

@gpc.task(cpus=1, cache=False)
def stays():
    threading.Event().wait()

@gpc.flow
def for_ever():
    stays.submit().result()

for_ever()
"""


@pytest.mark.slow
def test_a_killed_program_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While it runs another process sees its pool; after SIGKILL it sees neither run nor worker, and its file is gone."""
    store = tmp_path / "store"
    (tmp_path / "program.py").write_text(KILLED)
    own = {"GPUCACHE_STORE": str(store), "PYTHONPATH": str(Path(gpc.__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "program.py")]
    gpc.init(store=store, runtime="inline")
    with subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            assert program.stdout.readline() == "written\n"
            alive = document(capsys)
        finally:
            program.kill()
    dead = document(capsys)
    gpc.shutdown()

    assert [(run["flow"], run["pid"]) for run in alive["runs"]] == [("for_ever", program.pid)]
    assert [one["pool_pid"] for one in alive["workers"]] == [program.pid]
    assert (dead["runs"], dead["pools"], dead["workers"]) == ([], [], [])
    assert list((store / "pools").iterdir()) == []
