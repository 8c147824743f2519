"""What a flow would do: which calls would hit, which would run and why. Plain records, for people and for programs."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gpucache.memo import CodeChange, Reason


class Verdict(enum.StrEnum):
    """What a call would do."""

    HITS = "hits"
    RUNS = "runs"
    MAY_RUN = "may run"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that a flow would make.

    Attributes:
        task: The task's name.
        key: The call's key, hex; None if an input is not known yet.
        verdict: `may run`: it takes the result of a call that runs, and hits if that comes out as before.
        reasons: Why it would run, root causes first.
        seconds: What it would save (a hit), or took when it last ran, s; None if it never ran.
        code: The functions that are not what they were, with their texts.
        notes: What could not be seen of the code or of its run, and whose word a hit is.
    """

    task: str
    key: str | None
    verdict: Verdict
    reasons: tuple[Reason, ...]
    seconds: float | None
    code: tuple[CodeChange, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = "; ".join(str(reason) for reason in self.reasons)
        return f"{self.task}: {self.verdict}" + (f", because {why}" if why else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a flow would do with these arguments.

    Attributes:
        flow: The flow's name.
        calls: In the order the flow would make them.
        stopped_at: The task whose unknown result the flow looks at, so that the plan ends there; None: it is whole.
        problem: What the flow's own lines raised there, since they had no value to work on; None: nothing.
    """

    flow: str
    calls: tuple[PlannedCall, ...]
    stopped_at: str | None = None
    problem: str | None = None

    @property
    def would_run(self) -> tuple[PlannedCall, ...]:
        """The calls that run, or may."""
        return tuple(call for call in self.calls if call.verdict != Verdict.HITS)

    @property
    def is_all_hit(self) -> bool:
        """Whether nothing would run."""
        return not self.would_run and self.stopped_at is None

    @property
    def rest(self) -> str | None:
        """Why the plan ends before the flow does, in words; None: it is whole."""
        if self.stopped_at is None:
            return None
        words = f"the rest depends on the result of {self.stopped_at}, which is not known before it runs"
        return words if self.problem is None else f"{words}: without it the flow's own lines raise {self.problem}"

    def __str__(self) -> str:
        lines = [str(call) for call in self.calls]
        if self.rest is not None:
            lines.append(f"... {self.rest}")
        return "\n".join(lines) or f"{self.flow}: no task is called"

    def _repr_html_(self) -> str:
        from gpucache.flows.html import plan_html

        return plan_html(self)
