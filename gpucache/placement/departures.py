"""Tasks that arrive and end, in simulated time: how long they wait, and when the last one is done."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gpucache.errors import BadTable
from gpucache.placement.cluster import Cluster
from gpucache.placement.model import MILLI, Demand, Placement
from gpucache.placement.openb import Task


@dataclass(frozen=True, slots=True)
class Departures:
    """What a cluster made of a workload.

    Attributes:
        never: Tasks that would not fit if the cluster were empty.
        wait_*: Of the tasks placed, from arrival to start.
        wait_percentiles_s: The wait that 0, 1, ... 100 percent of them did not exceed.
        makespan_s: From the first arrival to the last end.
        allocated_percent: GPU share allocated, of all there is, in the mean over the makespan.
    """

    tasks: int
    never: int
    wait_mean_s: float
    wait_p95_s: int
    wait_max_s: int
    makespan_s: int
    allocated_percent: float
    wait_percentiles_s: tuple[int, ...] = ()


def replay_with_departures(cluster: Cluster, tasks: Sequence[Task], *, backfill: bool = True) -> Departures:
    """Start each task as soon as it fits, first come first served.

    Args:
        cluster: Empty.
        tasks: Each with its times, in any order.
        backfill: Tasks that fit may pass one that waits. Without, the first that waits holds up the rest.

    Raises:
        BadTable: A task has no times.
    """
    for line, task in enumerate(tasks, 2):
        if task.arrives_s is None or task.takes_s is None:
            raise BadTable(
                "tasks", line, "creation_time, deletion_time", task.name, "both times, to simulate departures"
            )
    coming = sorted(tasks, key=lambda task: task.arrives_s or 0)
    fits = {demand: cluster.ever_fits(demand) for demand in {task.demand for task in tasks}}
    possible = [task for task in coming if fits[task.demand]]
    there_is = MILLI * sum(len(room.share_milli) for room in cluster.rooms())
    waiting = _Queue()
    ending: list[tuple[int, int, Placement]] = []
    waits: list[int] = []
    share_seconds, arrived, now = 0, 0, 0
    while arrived < len(possible) or ending:
        moments = [ending[0][0]] if ending else []
        if arrived < len(possible):
            moments.append(possible[arrived].arrives_s or 0)
        now = min(moments)
        while ending and ending[0][0] <= now:
            cluster.release(heapq.heappop(ending)[2])
            waiting.try_all_again()
        while arrived < len(possible) and (possible[arrived].arrives_s or 0) <= now:
            waiting.add(possible[arrived])
            arrived += 1
        for task, placement in waiting.start(cluster, backfill=backfill):
            waits.append(now - (task.arrives_s or 0))
            share_seconds += task.gpu_milli * (task.takes_s or 0)
            heapq.heappush(ending, (now + (task.takes_s or 0), placement.id, placement))
    span = now - (possible[0].arrives_s or 0) if possible else 0
    waits.sort()
    return Departures(
        tasks=len(tasks),
        never=len(tasks) - len(possible),
        wait_mean_s=sum(waits) / len(waits) if waits else 0.0,
        wait_p95_s=waits[len(waits) * 95 // 100] if waits else 0,
        wait_max_s=waits[-1] if waits else 0,
        makespan_s=span,
        allocated_percent=100 * share_seconds / (there_is * span) if there_is and span else 0.0,
        wait_percentiles_s=tuple(waits[(len(waits) - 1) * percent // 100] for percent in range(101)) if waits else (),
    )


class _Queue:
    """Those who wait, by kind of demand: a kind that did not fit is not tried again before something is released."""

    def __init__(self) -> None:
        self._by_kind: dict[Demand, deque[tuple[int, Task]]] = {}
        self._refused: set[Demand] = set()
        self._count = 0

    def add(self, task: Task) -> None:
        """Behind all others."""
        self._by_kind.setdefault(task.demand, deque()).append((self._count, task))
        self._count += 1

    def try_all_again(self) -> None:
        """Something was released."""
        self._refused.clear()

    def start(self, cluster: Cluster, *, backfill: bool) -> list[tuple[Task, Placement]]:
        """Place what can be placed now, first come first served, and take it off the queue."""
        started: list[tuple[Task, Placement]] = []
        heads = [(waiting[0][0], demand) for demand, waiting in self._by_kind.items()]
        heapq.heapify(heads)
        while heads:
            _, demand = heapq.heappop(heads)
            placement = None if demand in self._refused else cluster.place(demand)
            if placement is None:
                self._refused.add(demand)
                if not backfill:
                    break
                continue
            waiting = self._by_kind[demand]
            started.append((waiting.popleft()[1], placement))
            if waiting:
                heapq.heappush(heads, (waiting[0][0], demand))
            else:
                del self._by_kind[demand]
        return started
