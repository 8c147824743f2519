"""What stays in a worker when memory runs out, and which kind of worker gives way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import residence_gentd26
from gpucache.events import Degraded, Event, hooks
from gpucache.fingerprint import Fingerprints
from gpucache.flows.resident_state import state_of
from gpucache.residence import BlendedFrequency, Residents
from gpucache.residence.replay import Request, replay_in_time
from gpucache.runtime.actions import Start, Stop
from gpucache.runtime.engine import Capacity, Engine
from gpucache.runtime.events import Answered, Ask, Submitted, WorkerEnded, WorkerReady
from gpucache.workers.kind import CallId, Env, Kind, WorkerId

ROOT = Path(__file__).parents[2]
GENTD26_SMALL = ROOT / "tests" / "data" / "gentd26_small"


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.fixture
def said() -> Iterator[list[Event]]:
    heard: list[Event] = []
    hooks.add(heard.append)
    yield heard
    hooks.remove(heard.append)


class Device:
    """Memory for so many models."""

    def __init__(self, residents: Residents, models_max: int) -> None:
        self.residents, self.models_max, self.loads = residents, models_max, 0

    def loader(self, name: str) -> Callable[[], str]:
        def load() -> str:
            if len(self.residents.held()) >= self.models_max:
                raise OutOfMemoryError("CUDA out of memory")
            self.loads += 1
            return name.upper()

        return load

    def ask(self, name: str) -> object:
        return self.residents.get(name, name, self.loader(name))


def test_the_least_likely_resident_makes_room(said: list[Event]) -> None:
    """A loader that runs out of memory is tried again with one resident less: not the latest, nor the one often asked for."""
    device = Device(Residents(), 2)
    for name in ("often", "often", "often", "often", "once", "often"):
        device.ask(name)

    assert device.ask("new") == "NEW"

    assert sorted(held.name for held in device.residents.held()) == ["new", "often"]
    assert [event.what for event in said if isinstance(event, Degraded)] == ["resident 'once' is unloaded"]
    assert device.loads == 3


def test_a_loader_that_never_fits_raises_its_own_error() -> None:
    """With nothing left to drop, the user gets what the loader raised; the next loader has all the room."""
    residents = Residents()
    Device(residents, 1).ask("small")
    too_large = Device(residents, 0)

    with pytest.raises(OutOfMemoryError, match="CUDA out of memory"):
        too_large.ask("too large")

    assert residents.held() == ()


def test_other_errors_drop_nothing() -> None:
    """Only memory that ran out costs residents their place."""
    residents = Residents()
    residents.get("kept", "kept", lambda: 1)

    def fails() -> object:
        raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        residents.get("other", "other", fails)

    assert [held.name for held in residents.held()] == ["kept"]


def test_the_kind_that_is_asked_for_least_gives_way() -> None:
    """Of two idle workers the one of the kind that is hardly asked for ends, though the other was idle longer."""
    often, rarely, new = Kind(), Kind(Env(env_vars={"A": "1"})), Kind(Env(env_vars={"B": "1"}))
    engine = Engine(Capacity(workers=2, cpus=2))
    calls = iter(range(100))

    def run(kind: Kind, worker: int, *, starts: bool) -> None:
        call = CallId(next(calls))
        engine.step(Submitted(Ask(call, "call", kind)))
        if starts:
            engine.step(WorkerReady(WorkerId(worker)))
        engine.step(Answered(WorkerId(worker), call, ok=True))

    run(often, 0, starts=True)
    for _ in range(20):
        run(often, 0, starts=False)
    run(rarely, 1, starts=True)

    assert engine.step(Submitted(Ask(CallId(next(calls)), "call", new))) == [Stop(WorkerId(1))]
    assert engine.step(WorkerEnded(WorkerId(1), "exit status 0")) == [Start(WorkerId(2), new, ())]


def test_patience_saves_a_cold_start() -> None:
    """A request whose model is on a busy worker is held for it; without patience another worker loads it as well."""
    requests = [Request(0.0, "a", 10.0), Request(1.0, "b", 1.0), Request(32.0, "a", 30.0), Request(33.0, "a", 5.0)]

    def replayed(patience_s: float) -> tuple[int, float]:
        found = replay_in_time(requests, 2, BlendedFrequency(), load_s=20.0, wait_max_s=patience_s)
        return found.cold_starts, found.wait_s(1.0)

    assert replayed(0.0) == (3, 0.0)
    assert replayed(60.0) == (2, 29.0)
    assert replayed(10.0) == (3, 10.0)


def test_the_benchmark_reads_a_trace_of_that_form(tmp_path: Path) -> None:
    """An invented trace with the published one's columns: ours between LRU and the optimum, and patience saves loads."""
    residence_gentd26.main(GENTD26_SMALL, tmp_path)

    found = json.loads((tmp_path / "results" / "residence" / "gentd26.json").read_text())
    rows = {row["policy"]: row for row in found["in_order"]}
    hurried, patient = found["by_the_engine"]
    assert (found["requests"], found["models"]) == (900, 24)
    assert rows["optimum"]["8"] < rows["gpucache"]["8"] < rows["LRU"]["8"]
    assert all(patient[places]["cold_starts"] < hurried[places]["cold_starts"] for places in ("4", "8", "16"))
    assert "| gpucache | 60 s |" in (tmp_path / "RESIDENCE.md").read_text()


def test_a_replay_asks_for_its_trace() -> None:
    """The question without its data is refused with what to say."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "residence"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert "--data FOLDER" in ended.stderr


def test_what_a_task_changed_is_no_other_tasks_input(said: list[Event]) -> None:
    """A resident that is not what it was when it was loaded is loaded anew, and whoever has it still keeps his own."""
    residents, symbols = Residents(), Fingerprints()

    def get() -> dict[str, int]:
        found = residents.get("settings", "settings", lambda: {"scale": 1}, state=partial(state_of, symbols))
        assert isinstance(found, dict)
        return found

    mine = get()
    assert get() is mine
    mine["scale"] = 100

    assert get() == {"scale": 1}
    assert mine == {"scale": 100}
    assert [event.what for event in said if isinstance(event, Degraded)] == ["resident 'settings' is loaded anew"]


def test_the_state_of_what_is_large_or_strange_is_not_asked_for() -> None:
    """Looking at it at each use would cost more than it saves: those are the user's to leave alone."""
    symbols = Fingerprints()

    assert state_of(symbols, {"a": [1, 2.5, "x", None], "b": np.arange(10)}) is not None
    assert state_of(symbols, np.zeros(2**20)) is None
    assert state_of(symbols, list(range(10**6))) is None
    assert state_of(symbols, threading.Lock()) is None
