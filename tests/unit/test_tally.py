"""Calls of runs, counted on: what ended before is not counted, what goes on is, and no run twice."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpucache.ledger import CallRow, Ledger, RunRow, Tally
from gpucache.ledger import tally as tallying
from gpucache.store import Store


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Store(tmp_path / "store") as store:
        yield Ledger(store)


def write(ledger: Ledger, number: int, status: str, *states: str) -> None:
    """A run that began at that second, with calls that ended so."""
    here = {"host": socket.gethostname()}
    ledger.write(RunRow(id=f"{number:09d}", flow="f", status=status, started_at=number, env=here, pid=os.getpid()))
    rows = [CallRow(task="t", state=state, started_at=0.0, seconds=0.0) for state in states]
    ledger.write_calls(f"{number:09d}", 0, rows)


def test_only_what_is_new_counts(ledger: Ledger) -> None:
    """A run that was over is not counted; one in progress is, with what comes to it, and once."""
    write(ledger, 1, "running", "ran")
    write(ledger, 2, "done", "hit", "hit")
    tally = Tally(ledger)
    write(ledger, 3, "done", "hit", "failed")

    assert tally.counts() == {"ran": 1, "hit": 1, "failed": 1}
    write(ledger, 1, "done", "ran", "hit")
    assert tally.counts() == {"ran": 1, "hit": 2, "failed": 1}
    assert tally.counts() == {"ran": 1, "hit": 2, "failed": 1}


def test_a_store_without_runs(ledger: Ledger) -> None:
    """It begins with the first."""
    tally = Tally(ledger)
    assert not tally.counts()

    write(ledger, 5, "done", "hit")

    assert tally.counts() == {"hit": 1}


def test_a_run_that_began_earlier_and_was_written_later_counts(ledger: Ledger) -> None:
    """Clocks of two processes, or a slow one: within a minute nothing is lost."""
    tally = Tally(ledger)
    write(ledger, 100, "done", "hit")
    tally.counts()
    write(ledger, 99, "done", "ran")

    assert tally.counts() == {"hit": 1, "ran": 1}


def test_what_it_remembers_does_not_grow(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many runs it looks at the last ones alone, and the count goes on."""
    monkeypatch.setattr(tallying, "LATE_S", 5.0)
    tally = Tally(ledger)
    for number in range(1, 51):
        write(ledger, number, "done", "hit")
        assert tally.counts() == {"hit": number}

    assert len(tally._counted) <= 7
