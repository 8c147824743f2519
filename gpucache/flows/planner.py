"""The watcher of a plan: calls are answered from the store or by a stand-in, and nothing runs.

A call whose inputs are all known is looked up: a hit's value is loaded, since the flow may look at it. A call that would
run gives an Unknown, and whatever takes an Unknown may run too: it will unless the result comes out as it was.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gpucache.errors import PlanStopped, RecordCorrupt
from gpucache.flows.counterparts import Counterparts
from gpucache.flows.future import Future, leaves_in, resolved
from gpucache.flows.identify import Called
from gpucache.flows.plan import PlannedCall, Verdict
from gpucache.flows.shared import bring
from gpucache.memo import Explanation, Kind, Reason, lookup

if TYPE_CHECKING:
    from gpucache.flows.session import Session
    from gpucache.flows.tasks import AnyTask
    from gpucache.flows.watcher import Outcome
    from gpucache.memo import Candidate
    from gpucache.store import Record


class Unknown:
    """The value of a call that has not run. It can be passed to tasks; whoever looks inside it stops the plan.

    Unpacking works where the task's newest result tells how many there are: `train, test = split(data)`.
    """

    def __init__(self, flow: str, task: str, length: int | None = None) -> None:
        self.__dict__.update(_flow=flow, _task=task, _length=length)

    def __iter__(self) -> Iterator[Unknown]:
        if self._length is None:
            self._stop()
        return iter([Unknown(self._flow, self._task)] * self._length)

    def __getitem__(self, item: object) -> Unknown:
        return Unknown(self._flow, self._task)

    def _stop(self, *_: object, **__: object) -> Any:
        raise PlanStopped(self._flow, self._task)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._stop()

    __setattr__ = __call__ = __bool__ = __len__ = __contains__ = __setitem__ = __enter__ = _stop
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _stop
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _stop
    __floordiv__ = __mod__ = __pow__ = __matmul__ = __neg__ = __abs__ = __index__ = __and__ = __or__ = _stop
    __int__ = __float__ = __round__ = __str__ = __format__ = __fspath__ = __bytes__ = _stop

    def __repr__(self) -> str:
        return f"<result of {self._task}, not known before it runs>"


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

    def plan(self, task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's value if it would hit, else an Unknown."""
        nth = self._count(task)
        values = tuple(_known(value) for value in task.binder.bind(args, kwargs))
        upstream = tuple(dict.fromkeys(_unknown_tasks(values)))
        if upstream:
            verdict = Verdict.MAY_RUN if task.options.cache else Verdict.RUNS
            return self._would_run(task, nth, verdict, tuple(Reason(Kind.UPSTREAM, name) for name in upstream))
        if not task.options.cache:
            return self._would_run(task, nth, Verdict.RUNS, (Reason(Kind.NOT_CACHEABLE, "it is marked cache=False"),))
        called = Called(task, self._session, values)
        if task.options.force or task.name in self.forced:
            return self._would_run(task, nth, Verdict.RUNS, (Reason(Kind.FORCED, task.name),), called=called)
        return self._look_up(task, nth, called)

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
        return Unknown(self._flow, task.name, self._length_of(newest))

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


def _known(value: Any) -> Any:
    return value if isinstance(value, Unknown) else resolved(value)


def _unknown_tasks(values: Any) -> Iterator[str]:
    for value in leaves_in(values):
        if isinstance(value, Unknown):
            yield value._task  # noqa: SLF001  # a part of the same machine
        elif isinstance(value, Future):
            yield from _unknown_tasks((value.result(),))
