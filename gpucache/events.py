"""What happened, as frozen records, and the hooks that hear of it.

Logging is one hook, the ledger and progress bars are others. A hook that raises is reported
once and dropped: watching a run must never break it.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("gpucache")


class State(enum.StrEnum):
    """Where a call is, or how it ended. One enum for every view."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    HIT = "hit"
    RAN = "ran"
    JOINED = "joined"
    UNCACHED = "uncached"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call of a task came to its end."""

    task: str
    key: str | None
    state: State
    seconds: float
    saved_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Degraded:
    """Something is not as it should be, and gpucache goes on correctly without it."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class NotStored:
    """A result was handed to its caller and not kept. The caller is warned; so the log is not."""

    task: str
    why: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Damaged bytes were found and set aside."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A warm worker is ready for calls."""

    worker: str
    pid: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker is gone; its calls go elsewhere."""

    worker: str
    pid: int
    how: str


Event = CallEnded | Degraded | NotStored | Quarantined | WorkerStarted | WorkerDied
Hook = Callable[[Event], None]


def log_event(event: Event) -> None:
    """The logging hook: debug = per call, info = per process, warning = degraded but correct."""
    match event:
        case CallEnded():
            logger.debug("%s %s in %.6f s", event.task, event.state, event.seconds)
        case Degraded():
            logger.warning("%s: %s", event.what, event.why)
        case NotStored():
            logger.debug("task %r: its result was not stored: %s", event.task, event.why)
        case Quarantined():
            logger.warning("%s was set aside: %s", event.name, event.problem)
        case WorkerStarted():
            logger.info("worker %s (pid %d) ready after %.2f s", event.worker, event.pid, event.seconds)
        case WorkerDied():
            logger.error("worker %s (pid %d) died: %s", event.worker, event.pid, event.how)


class Hooks:
    """A list of hooks; emit() tells them all. Any thread may call any method."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks: tuple[Hook, ...] = hooks

    def add(self, hook: Hook) -> None:
        """Tell hook of every event from now on."""
        self._hooks = (*self._hooks, hook)

    def remove(self, hook: Hook) -> None:
        """Tell hook no more; nothing happens if it was not there."""
        self._hooks = tuple(kept for kept in self._hooks if kept != hook)

    @property
    def is_heard(self) -> bool:
        """Whether anyone but the log hears of events at debug level: a hit asks, so as not to make a record for nobody."""
        return len(self._hooks) > 1 or logger.isEnabledFor(logging.DEBUG)

    def emit(self, event: Event) -> None:
        """Tell every hook, in the order they were added."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:  # an edge: a broken watcher is dropped, the run goes on
                logger.exception("hook %r failed and was dropped", hook)
                self.remove(hook)


hooks = Hooks(log_event)
"""The process's hooks. The one piece of module state here: events have no owner to be passed by."""
