"""Who watches the calls made here: a run that records them, a plan that answers them without running, or nobody."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gpucache.events import CallEnded, State, hooks

if TYPE_CHECKING:
    from gpucache.flows.future import Future
    from gpucache.flows.identify import Called
    from gpucache.flows.tasks import AnyTask
    from gpucache.memo import Candidate


class Why(NamedTuple):
    """Why a call ran: one sentence for each reason, and the key of the record that they compare it with."""

    reasons: tuple[str, ...] = ()
    compared_with: bytes | None = None


NO_REASON = Why()


class Outcome:
    """How a call ended, as its watcher is told.

    Made when it ended; `started` is a perf_counter() reading, s. `seconds` is what the body took, where it is known;
    else the time since the call was made, which for a submitted call has its inputs' in it.
    """

    __slots__ = ("result", "saved_seconds", "seconds", "started_at", "state", "why")

    def __init__(
        self,
        state: State,
        started: float,
        *,
        seconds: float | None = None,
        saved_seconds: float = 0.0,
        why: Why = NO_REASON,
        result: bytes | None = None,
    ) -> None:
        self.state = state
        elapsed = time.perf_counter() - started
        self.seconds = elapsed if seconds is None else seconds
        self.started_at = time.time() - elapsed
        self.saved_seconds, self.why, self.result = saved_seconds, why, result


class Watcher(Protocol):
    """What a run or a plan does with each call of a task.

    Attributes:
        planning: Calls are answered by plan() and do not run.
        run_id: Goes into the records of what runs.
        forced: Names of tasks that run even if their answer is known.
    """

    planning: bool
    run_id: str
    forced: frozenset[str]

    def plan(self, task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call without running it."""

    def submitted(self, future: Future[Any]) -> None:
        """A call was submitted."""

    def begin(self, task: AnyTask) -> int:
        """A call was made. Returns its place in the order of calls."""

    def candidates(self, place: int, task: AnyTask) -> Iterable[Candidate]:
        """The records that the call at `place` is compared with, if it runs."""

    def end(self, place: int, task: AnyTask, called: Called | None, outcome: Outcome) -> None:
        """The call at `place` came to its end."""


watcher: ContextVar[Watcher | None] = ContextVar("gpucache_watcher", default=None)


class Watched:
    """One call in the eyes of whoever watches it; does nothing but emit the event where nobody does."""

    __slots__ = ("_place", "_seen", "started", "task")

    def __init__(self, task: AnyTask, seen: Watcher | None, started: float) -> None:
        self.task, self._seen, self.started = task, seen, started
        self._place = 0 if seen is None else seen.begin(task)

    @property
    def run_id(self) -> str:
        """The run that the call belongs to; empty if none."""
        return "" if self._seen is None else self._seen.run_id

    @property
    def is_recorded(self) -> bool:
        """Whether the call belongs to a run, so that its reasons are worth finding."""
        return self._seen is not None

    @property
    def is_forced(self) -> bool:
        """Whether the call runs even if its answer is known."""
        return self.task.options.force or (self._seen is not None and self.task.name in self._seen.forced)

    def candidates(self) -> Iterable[Candidate] | None:
        """The records that the call is compared with, if it runs; None: those of its task, whatever they are."""
        return None if self._seen is None else self._seen.candidates(self._place, self.task)

    def end(
        self,
        called: Called | None,
        state: State,
        *,
        seconds: float | None = None,
        saved_seconds: float = 0.0,
        why: Why = NO_REASON,
        result: bytes | None = None,
    ) -> None:
        """The call ended just now; `seconds` is what its body took, if it ran."""
        outcome = Outcome(state, self.started, seconds=seconds, saved_seconds=saved_seconds, why=why, result=result)
        if self._seen is not None:
            self._seen.end(self._place, self.task, called, outcome)
        if hooks.is_heard:
            key = None if called is None else called.key.hex()
            hooks.emit(CallEnded(self.task.name, key, state, outcome.seconds, saved_seconds))
