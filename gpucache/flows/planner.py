"""The watcher of a plan: calls are answered from the store or by a stand-in, and nothing runs.

A call whose inputs are all known is looked up: a hit's value is loaded, since the flow may look at it. A call that would
run gives an Unknown, and whatever takes an Unknown may run too: it will unless the result comes out as it was.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gpucache.errors import GpuCacheError, PlanStopped, RecordCorrupt
from gpucache.flows.counterparts import Counterparts
from gpucache.flows.future import leaves_in, resolved
from gpucache.flows.identify import Called
from gpucache.flows.plan import PlannedCall, Verdict
from gpucache.flows.shared import bring
from gpucache.flows.unknown import Unknown, unknown_near
from gpucache.memo import Explanation, Kind, Reason, lookup
from gpucache.shown import exception_line

if TYPE_CHECKING:
    from gpucache.flows.future import Future
    from gpucache.flows.session import Session
    from gpucache.flows.tasks import AnyTask
    from gpucache.flows.watcher import Outcome
    from gpucache.memo import Candidate
    from gpucache.store import Record


class Planner:
    """Answers the calls of one flow without running them, and remembers what it answered."""

    planning = True
    run_id = ""

    def __init__(self, session: Session, flow: str, forced: frozenset[str] = frozenset()) -> None:
        self._session, self._flow = session, flow
        self._counterparts = Counterparts(session, flow)
        self._made: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.forced = forced
        self.calls: list[PlannedCall] = []
        self._looked: list[str] = []

    def plan(self, task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's value if it would hit, else an Unknown.

        Raises:
            PlanStopped: The flow looked at an Unknown before, and caught what that raised: it may be on a wrong branch.
        """
        if self.stopped_at is not None:
            raise PlanStopped(self._flow, self.stopped_at)
        nth = self._count(task)
        given = task.binder.bind(args, kwargs)
        upstream = tuple(dict.fromkeys(_unknown_tasks(given)))
        if upstream:
            verdict = Verdict.MAY_RUN if task.options.cache else Verdict.RUNS
            return self._would_run(task, nth, verdict, tuple(Reason(Kind.UPSTREAM, name) for name in upstream))
        if not task.options.cache:
            return self._would_run(task, nth, Verdict.RUNS, (Reason(Kind.NOT_CACHEABLE, "it is marked cache=False"),))
        called = Called(task, self._session, tuple(resolved(value) for value in given))
        if task.options.force or task.name in self.forced:
            return self._would_run(task, nth, Verdict.RUNS, (Reason(Kind.FORCED, task.name),), called=called)
        return self._look_up(task, nth, called)

    @property
    def stopped_at(self) -> str | None:
        """The task whose unknown result was looked at first; None: none was."""
        return next(iter(self._looked), None)

    def ended_by(self, problem: Exception) -> tuple[str, str | None]:
        """The task whose unknown result the flow's own lines raised this over, and what they raised if no stop is behind it.

        Raises:
            Exception: `problem` itself: it is gpucache's, or every result was known.
        """
        if self.stopped_at is not None:
            return self.stopped_at, None
        last = next((call.task for call in reversed(self.calls) if call.verdict != Verdict.HITS), None)
        task = unknown_near(problem) or last
        if task is None or isinstance(problem, GpuCacheError):
            raise problem
        return task, exception_line(problem)

    def submitted(self, future: Future[Any]) -> None:
        """Never told: plan() answers every call."""

    def begin(self, task: AnyTask) -> int:
        """Never asked: nothing runs."""
        raise AssertionError("a plan runs nothing")

    def candidates(self, place: int, task: AnyTask) -> Iterable[Candidate]:
        """Never asked."""
        raise AssertionError("a plan runs nothing")

    def end(self, place: int, task: AnyTask, called: Called | None, outcome: Outcome) -> None:
        """Never asked either."""
        raise AssertionError("a plan runs nothing")

    def _look_up(self, task: AnyTask, nth: int, called: Called) -> Any:
        store = self._session.store
        bring(self._session, called)
        found = called.explained(store, self._counterparts.candidates(task.name, nth))
        record = lookup(store, called.key, called.root) if found.hit else None
        if record is not None:
            try:
                value = store.read(record.result)
            except RecordCorrupt as damage:
                return self._would_run(task, nth, Verdict.RUNS, (Reason(Kind.CORRUPT, str(damage)),), called=called)
            hit = PlannedCall(task.name, called.key.hex(), Verdict.HITS, (), record.seconds, notes=found.notes)
            self._add(hit)
            return value
        return self._would_run(task, nth, Verdict.RUNS, found.reasons, called=called, found=found)

    def _would_run(
        self,
        task: AnyTask,
        nth: int,
        verdict: Verdict,
        reasons: tuple[Reason, ...],
        *,
        called: Called | None = None,
        found: Explanation | None = None,
    ) -> Any:
        newest = next(iter(self._session.store.records(task.name, limit=1)), None)
        key = None if called is None else called.key.hex()
        code, notes = ((), ()) if found is None else (found.code, found.notes)
        seconds = self._took(task, nth, newest, found)
        self._add(PlannedCall(task.name, key, verdict, reasons, seconds, code, notes))
        return Unknown(self._flow, task.name, self._looked, self._length_of(newest))

    def _took(self, task: AnyTask, nth: int, newest: Record | None, found: Explanation | None) -> float | None:
        """What the nearest call took; where nobody knows which that is, the one in this place of an earlier run."""
        seconds = None if found is None else found.seconds
        if seconds is None:
            seconds = self._counterparts.seconds(task.name, nth)
        return newest.seconds if seconds is None and newest is not None else seconds

    def _count(self, task: AnyTask) -> int:
        """How many calls of the task were planned before this one."""
        with self._lock:
            self._made[task.name] += 1
            return self._made[task.name] - 1

    def _length_of(self, newest: Record | None) -> int | None:
        if newest is None or newest.result.codec != "struct":
            return None
        try:
            value = self._session.store.read(newest.result)
        except RecordCorrupt:
            return None
        return len(value) if isinstance(value, tuple | list) else None

    def _add(self, call: PlannedCall) -> None:
        with self._lock:
            self.calls.append(call)


def _unknown_tasks(values: Any) -> Iterator[str]:
    for value in leaves_in(values):
        if type(value) is Unknown:
            yield value._task  # noqa: SLF001  # a part of the same machine
        elif isinstance(value, concurrent.futures.Future):
            yield from _unknown_tasks((value.result(),))
