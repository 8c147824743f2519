"""What the engine says is to be done. The driver does it."""

from __future__ import annotations

from dataclasses import dataclass

from gpucache.workers.kind import CallId, Kind, WorkerId


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker of a kind, holding `devices` (GPU UUIDs)."""

    worker: WorkerId
    kind: Kind
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Give a worker a call, as member `rank` of `size`."""

    worker: WorkerId
    call: CallId
    rank: int
    size: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask an idle worker to end."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker now."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Deadline:
    """Come back with TimedOut after so many seconds, if the call is still in this attempt."""

    call: CallId
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Come back with HeldLong after so many seconds: until then the call waits for a warm worker."""

    call: CallId
    seconds: float


@dataclass(frozen=True, slots=True)
class Resolve:
    """The call has ended as worker `worker` answered (rank 0's, or whoever failed)."""

    call: CallId
    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Fail:
    """The call has ended with an error of ours."""

    call: CallId
    error: Exception


@dataclass(frozen=True, slots=True)
class Cancel:
    """The call was dropped before it started."""

    call: CallId


@dataclass(frozen=True, slots=True)
class Finished:
    """After ShutdownAsked: no call and no worker is left."""


Action = Start | Send | Stop | Kill | Deadline | Hold | Resolve | Fail | Cancel | Finished
