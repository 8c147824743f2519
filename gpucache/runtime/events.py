"""What the engine is told: calls, workers and clocks as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpucache.workers.kind import CallId, Kind, WorkerId

if TYPE_CHECKING:
    from gpucache.telemetry import Fleet


@dataclass(frozen=True, slots=True)
class Ask:
    """A call as the engine sees it. `size` > 1: a gang of so many. CPUs and memory are per member."""

    call: CallId
    name: str
    kind: Kind
    cpus: float = 1
    memory_bytes: int = 0
    retries: int = 0
    timeout_s: float | None = None
    size: int = 1


@dataclass(frozen=True, slots=True)
class Submitted:
    """A new call."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Nobody wants a call's result any more. A running call runs on."""

    call: CallId


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker that was started takes calls."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker is gone, or never came. `stale`: through no fault of its call."""

    worker: WorkerId
    how: str
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Broke:
    """No call can run any more: an initializer raised, or everything is to end now. Calls fail with `error`."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Begun:
    """A member of a call with a time limit has all that it needs, and runs."""

    worker: WorkerId
    call: CallId


@dataclass(frozen=True, slots=True)
class Answered:
    """A member of a call has ended in a worker, well or with the user's exception."""

    worker: WorkerId
    call: CallId
    ok: bool


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A Deadline has passed."""

    call: CallId
    attempt: int


@dataclass(frozen=True, slots=True)
class HeldLong:
    """A Hold is over."""

    call: CallId


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """No more calls come. cancel: those that have not started are not wanted either."""

    cancel: bool


@dataclass(frozen=True, slots=True)
class GpusRead:
    """The GPUs were read anew."""

    fleet: Fleet


Event = (
    GpusRead
    | Submitted
    | CancelAsked
    | WorkerReady
    | WorkerEnded
    | Broke
    | Begun
    | Answered
    | TimedOut
    | HeldLong
    | ShutdownAsked
)
