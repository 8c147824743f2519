"""The watcher of a run: every call of a task becomes a row of the ledger."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpucache.events import State
from gpucache.ledger import CallLog, CallRow

if TYPE_CHECKING:
    from gpucache.flows.counterparts import Counterparts
    from gpucache.flows.future import Future
    from gpucache.flows.identify import Called
    from gpucache.flows.tasks import AnyTask
    from gpucache.flows.watcher import Outcome
    from gpucache.memo import Candidate


class Recorder:
    """Writes down what the calls of one run came to. Any thread may call any method."""

    planning = False

    def __init__(
        self, log: CallLog, run_id: str, counterparts: Counterparts, forced: frozenset[str] = frozenset()
    ) -> None:
        self._log, self._counterparts = log, counterparts
        self.run_id, self.forced = run_id, forced
        self._submitted: weakref.WeakSet[Future[Any]] = weakref.WeakSet()

    def plan(self, task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Never asked: a recorded call runs."""
        raise AssertionError("a recorder does not plan")

    def submitted(self, future: Future[Any]) -> None:
        """A call was submitted."""
        self._submitted.add(future)

    def cancel(self) -> None:
        """The flow is over: cancel what it submitted and what has not started."""
        for future in list(self._submitted):
            future.cancel()

    def begin(self, task: AnyTask) -> int:
        """Keep the call's place in the order of calls."""
        return self._log.reserve(task.name)

    def candidates(self, place: int, task: AnyTask) -> Iterable[Candidate]:
        """What was there before the run: above all, the call's counterparts in earlier runs."""
        return self._counterparts.candidates(task.name, self._log.nth(place))

    def end(self, place: int, task: AnyTask, called: Called | None, outcome: Outcome) -> None:
        """Write the call's row. The arguments are put in words only for calls that ran: a hit costs microseconds."""
        row = CallRow(
            task=task.name,
            key=None if called is None else called.record_key,
            state=str(outcome.state),
            started_at=outcome.started_at,
            seconds=outcome.seconds,
            saved_seconds=outcome.saved_seconds,
            reasons=outcome.why.reasons,
            compared_with=outcome.why.compared_with,
            result=outcome.result,
            shown={} if called is None or outcome.state == State.HIT else called.shown(),
            **({} if outcome.state == State.HIT else _asked_for(task)),
        )
        self._log.set(place, row)


def _asked_for(task: AnyTask) -> dict[str, Any]:
    options = task.options
    return {
        "cpus": options.cpus,
        "memory_bytes": options.memory_bytes or 0,
        "gpus": options.gpus,
        "gpu_memory_bytes": options.gpu_memory_bytes if options.gpus else None,
    }
