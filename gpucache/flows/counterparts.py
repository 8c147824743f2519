"""What a flow's calls are compared with: what was there before it, so that a plan and the run after it give one reason.

The counterpart of a call is the one of the same task in the same place among that task's calls, in an earlier run: the shape of a
flow seldom changes. It is offered before the task's newest records, which are few beside a long sweep. A run's own records are not
offered: of two calls that both run because of an edit, neither is the reason of the other.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from gpucache.events import State
from gpucache.memo import Candidate, newest

if TYPE_CHECKING:
    from gpucache.flows.session import Session
    from gpucache.ledger import CallRow

RUNS = 4
"""Of a flow's earlier runs so many are looked at: the last may have failed early, or had other arguments."""

RUNS_OF_ALL = 200
"""Among so many of the newest runs, of any flow, they are sought."""

_OWN_TIME = (State.RAN, State.UNCACHED)
_SAVED_TIME = (State.HIT, State.JOINED)


class Counterparts:
    """What was there before a run or a plan of `flow`; read when it is first asked for, then kept. Any thread may ask.

    Args:
        run_id: The run that asks; empty for a plan.
    """

    def __init__(self, session: Session, flow: str, run_id: str = "") -> None:
        self._store, self._ledger = session.store, session.ledger
        self._flow, self._run_id = flow, run_id
        self._lock = threading.Lock()
        self._runs: list[dict[str, list[CallRow]]] | None = None
        self._newest: dict[str, list[Candidate]] = {}

    def candidates(self, task: str, nth: int) -> Iterator[Candidate]:
        """The records to compare the task's call number `nth` with: those of its counterparts, and the task's newest."""
        for key in dict.fromkeys(row.key for row in self._rows(task, nth)):
            record = None if key is None else self._store.lookup(key)
            if record is not None:
                yield record, self._store.parts_of(record)
        yield from self._newest_of(task)

    def seconds(self, task: str, nth: int) -> float | None:
        """What the counterpart of the task's call number `nth` took, or had taken if it hit; None if there is none."""
        for row in self._rows(task, nth):
            if row.state in _OWN_TIME:
                return row.seconds
            if row.state in _SAVED_TIME:
                return row.saved_seconds
        return None

    def _rows(self, task: str, nth: int) -> list[CallRow]:
        """The call's counterparts, newest first."""
        with self._lock:
            if self._runs is None:
                self._runs = list(self._earlier_runs())
            return [calls[task][nth] for calls in self._runs if nth < len(calls.get(task, ()))]

    def _earlier_runs(self) -> Iterator[dict[str, list[CallRow]]]:
        """The flow's newest runs, each as its calls by task."""
        latest = islice(self._ledger.runs(), RUNS_OF_ALL)
        for run in islice((run for run in latest if run.flow == self._flow and run.id != self._run_id), RUNS):
            calls: dict[str, list[CallRow]] = defaultdict(list)
            for row in self._ledger.calls(run.id):
                calls[row.task].append(row)
            yield calls

    def _newest_of(self, task: str) -> list[Candidate]:
        with self._lock:
            if task not in self._newest:
                self._newest[task] = list(newest(self._store, task, but_of_run=self._run_id))
            return self._newest[task]
