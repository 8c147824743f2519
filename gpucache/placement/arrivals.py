"""Tasks that arrive one after another and never end: how much GPU share has been allocated when how much was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpucache.placement.cluster import Cluster
from gpucache.placement.model import MILLI
from gpucache.placement.openb import Task

MARKS_PERCENT = (90, 100, 130)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a cluster made of a workload.

    Attributes:
        allocated_percent: GPU share allocated, of all there is, when so many percent of all there is had been asked for;
            at the end of the workload for marks that it does not reach.
        fragmentation: Of the GPU share left at the end, the part that the expected demands could not use.
        fragmentation_at: The same when so many percent had been asked for, where that was wanted.
    """

    tasks: int
    placed: int
    allocated_percent: dict[int, float]
    fragmentation: float
    fragmentation_at: dict[int, float] = field(default_factory=dict)


def replay(
    cluster: Cluster, tasks: Sequence[Task], marks: Sequence[int] = MARKS_PERCENT, *, fragmentation: bool = False
) -> Arrivals:
    """Place one task after another; what fits nowhere is dropped.

    Args:
        marks: When to look, in percent of all GPU share, asked for.
        fragmentation: Look at that, too, at each mark: slow on thousands of nodes.
    """
    unusable: dict[int, float] = {}
    there_is = MILLI * sum(len(room.share_milli) for room in cluster.rooms())
    ahead, reached = sorted(marks), dict[int, float]()
    asked = allocated = placed = 0
    for task in tasks:
        milli = task.gpu_milli
        asked += milli
        if cluster.place(task.demand) is not None:
            allocated += milli
            placed += 1
        while ahead and asked * 100 >= ahead[0] * there_is:
            mark = ahead.pop(0)
            reached[mark] = 100 * allocated / there_is if there_is else 0.0
            if fragmentation:
                unusable[mark] = cluster.fragmentation()
    for mark in ahead:
        reached[mark] = 100 * allocated / there_is if there_is else 0.0
    return Arrivals(len(tasks), placed, reached, cluster.fragmentation(), unusable)
