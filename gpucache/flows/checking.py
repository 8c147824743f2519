"""Run the recorded calls of a flow again and compare: what is not deterministic is found before someone builds on it.

The flow runs with its recorded values, so that each call gets the very inputs that it had; what the second run of a body gives is
compared and thrown away. Nothing is stored.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpucache.digests import value_digest
from gpucache.errors import NotIdentifiable, RecordCorrupt
from gpucache.flows.comparing import Sameness, compared
from gpucache.flows.identify import Called
from gpucache.flows.in_process import resolved_all
from gpucache.flows.watcher import watcher
from gpucache.memo import Watch, lookup

if TYPE_CHECKING:
    from gpucache.flows.future import Future
    from gpucache.flows.session import Session
    from gpucache.flows.tasks import AnyTask
    from gpucache.flows.watcher import Outcome
    from gpucache.memo import Candidate
    from gpucache.store import Record


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A call that was run again, or compared with another run's.

    Attributes:
        task: The task's name.
        key: The key of its record, hex.
        verdict: How the results compare.
        detail: How far they are apart, and what was noticed; empty if they are identical.
    """

    task: str
    key: str
    verdict: Sameness
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        calls: Those that were compared, in order.
        skipped: How many were not: not in the sample, not cached, or without a record for the code as it is now.
    """

    calls: tuple[CheckedCall, ...]
    skipped: int

    @property
    def differing(self) -> tuple[CheckedCall, ...]:
        """The calls whose results are not the same, and not near enough."""
        return tuple(call for call in self.calls if call.verdict == Sameness.DIFFERS)


class Checker:
    """Answers the calls of a flow from the store, and runs a sample of them beside that. Any thread may call any method."""

    planning = True
    run_id = ""
    forced: frozenset[str] = frozenset()

    def __init__(self, session: Session, sample: float) -> None:
        self._session, self._sample = session, sample
        self._lock = threading.Lock()
        self._checked: dict[bytes, CheckedCall] = {}
        self._skipped = 0

    @property
    def found(self) -> Checked:
        """What was found so far."""
        with self._lock:
            return Checked(tuple(self._checked.values()), self._skipped)

    def plan(self, task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's value: its record's, if it has one."""
        values = resolved_all(task.binder.bind(args, kwargs))
        record, called = None, None
        if task.options.cache:
            called = Called(task, self._session, values)
            record = lookup(self._session.store, called.key, called.root)
        value = None if record is None else self._stored(record)
        if called is None or record is None or value is None:
            self._skip()
            return self._run_again(task, values)
        if not self._is_sampled(record.key):
            self._skip()
        elif record.key not in self._checked:
            self._check(called, record, value[0], values)
        return value[0]

    def submitted(self, future: Future[Any]) -> None:
        """Never told: plan() answers every call."""

    def begin(self, task: AnyTask) -> int:
        """Never asked: plan() answers every call."""
        raise AssertionError("a checker records nothing")

    def candidates(self, place: int, task: AnyTask) -> Iterable[Candidate]:
        """Never asked."""
        raise AssertionError("a checker records nothing")

    def end(self, place: int, task: AnyTask, called: Called | None, outcome: Outcome) -> None:
        """Never asked either."""
        raise AssertionError("a checker records nothing")

    def _check(self, called: Called, record: Record, before: Any, values: tuple[Any, ...]) -> None:
        task = called.task
        watch = Watch(called.root, str(self._session.store.path), values).start()
        try:
            after = self._run_again(task, values)
        finally:
            watch.stop()
        try:
            same = value_digest(after, symbols=called.code.fingerprints) == record.result.digest
        except NotIdentifiable:
            self._skip()
            return
        verdict, detail = (Sameness.IDENTICAL, "") if same else compared(before, after, task.options.tolerance)
        noticed = "" if same else "; ".join(watch.notes)
        found = CheckedCall(task.name, record.key.hex(), verdict, "; ".join(filter(None, (detail, noticed))))
        with self._lock:
            self._checked[record.key] = found

    def _run_again(self, task: AnyTask, values: tuple[Any, ...]) -> Any:
        """Run the body, where the task asks for it, and store nothing."""
        token = watcher.set(None)
        try:
            if not task.options.needs_worker:
                return task.body_in_worker(values)
            args, kwargs = task.binder.unbind(values)
            uncached: Any = task
            return uncached.with_(cache=False).submit(*args, **kwargs).result()
        finally:
            watcher.reset(token)

    def _stored(self, record: Record) -> tuple[Any] | None:
        try:
            return (self._session.store.read(record.result),)
        except RecordCorrupt:
            return None

    def _is_sampled(self, key: bytes) -> bool:
        """A key is always in the sample or never: a check that found something can be repeated."""
        return int.from_bytes(key[:8], "big") < self._sample * 2**64

    def _skip(self) -> None:
        with self._lock:
            self._skipped += 1
