"""What the engine knows of each worker and each call. Nouns only: nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpucache.runtime.events import Ask
    from gpucache.workers.kind import CallId, Kind, WorkerId


class Stage(Enum):
    """A worker's life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"


@dataclass(slots=True)
class Worker:
    """A worker, from when it is started until it is gone."""

    id: WorkerId
    kind: Kind
    devices: tuple[str, ...]
    stage: Stage = Stage.STARTING
    call: CallId | None = None


@dataclass(slots=True)
class Known:
    """A call that is not at its end.

    Attributes:
        has_begun: Whether this attempt's time limit runs.
        is_patient: Until its Hold is over; meanwhile nobody has to make way.
        running: Members that have not answered, with their rank.
        first: The worker of rank 0, while it runs.
    """

    ask: Ask
    retries_left: int
    losses: int = 0
    attempt: int = 0
    has_begun: bool = False
    overtaken: int = 0
    is_patient: bool = False
    running: dict[WorkerId, int] = field(default_factory=dict)
    first: WorkerId | None = None
