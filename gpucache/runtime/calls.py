"""A call on its way, in front of the engine: its future, what it carries, and how it is told what became of it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpucache.errors import NotStorable
from gpucache.workers import messages
from gpucache.workers.kind import WorkerId

if TYPE_CHECKING:
    from gpucache.store import Store


class CallFuture(concurrent.futures.Future[Any]):
    """A future whose cancel() also frees its place in the queue."""

    def __init__(self, dropped: Callable[[], None]) -> None:
        super().__init__()
        self._dropped = dropped

    def cancel(self) -> bool:
        """Cancel the call if it has not started."""
        if not super().cancel():
            return False
        self._dropped()
        return True


@dataclass(slots=True)
class Entry:
    """A call on its way: everything that the engine need not know.

    Attributes:
        name: Its task's.
        run: The run that it belongs to; "" if none.
        timed: Whether, and from when, its time in a worker counts.
        started_at: When a worker got it first, on the monotonic clock, s.
    """

    future: CallFuture
    payload: bytes
    store: Store | None
    name: str
    run: str = ""
    timed: messages.Timed = ""
    started_at: float | None = None
    answers: dict[WorkerId, tuple[bool, memoryview]] = field(default_factory=dict)


def resolve(entry: Entry, worker: WorkerId) -> None:
    """The call has ended as this worker answered."""
    if entry.future.cancelled():
        return
    ok, payload = entry.answers[worker]
    entry.answers.clear()
    try:
        value = messages.loads(payload, entry.store) if ok else messages.load_exception(payload)
    except Exception as problem:  # noqa: BLE001  # an edge: unpickling a result runs the user's code
        ok, value = False, problem
    if ok:
        entry.future.set_result(value)
    else:
        entry.future.set_exception(value)


def fail(entry: Entry, error: Exception) -> None:
    """The call has ended with an error of ours."""
    if entry.started_at is not None or entry.future.set_running_or_notify_cancel():
        entry.future.set_exception(error)


def cancel(entry: Entry) -> None:
    """The call was dropped before it started."""
    concurrent.futures.Future.cancel(entry.future)
    if entry.future.cancelled():
        entry.future.set_running_or_notify_cancel()


def not_sendable(name: str, problem: Exception) -> NotStorable:
    """What is said of arguments that can't be pickled."""
    why = f"pickling it for a worker failed: {type(problem).__name__}: {problem}"
    refusal = NotStorable(
        f"call of {name!r}", why, "define what it needs in a module, which workers import, not in the script"
    )
    refusal.__cause__ = problem
    return refusal
