"""What would a cluster have done with a workload: one answer per policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gpucache.placement.arrivals import MARKS_PERCENT, replay
from gpucache.placement.cluster import Cluster
from gpucache.placement.departures import replay_with_departures
from gpucache.placement.model import Node
from gpucache.placement.openb import Task, inflated
from gpucache.placement.policies import Policy, Random, Ray


def simulate(
    nodes: Sequence[Node],
    tasks: Sequence[Task],
    policies: Sequence[str],
    *,
    departures: bool = False,
    backfill: bool = True,
    inflate: float | None = None,
    seed: int = 42,
    marks: Sequence[int] = MARKS_PERCENT,
    fragmentation: bool = False,
) -> list[dict[str, Any]]:
    """One row per policy, in their order, each on an empty cluster.

    Args:
        nodes: The cluster.
        tasks: What came, in its order.
        policies: Names.
        departures: Tasks end, and what does not fit waits; otherwise they stay, and what does not fit is dropped.
        backfill: With departures: tasks that fit may pass one that waits.
        inflate: Without departures: repeat tasks until so much of the GPU share is asked for, and shuffle (see openb.inflated).
        seed: Of the inflation, and of policies that draw lots.
        marks, fragmentation: Without departures, as in arrivals.replay().

    Raises:
        ValueError: No such policy.
        BadTable: departures, and a task without times.
    """
    expected = Counter(task.demand for task in tasks)
    work = list(tasks) if inflate is None else inflated(tasks, nodes, seed, inflate)
    drawn_by_lot: dict[str, str | Policy] = {"random": Random(seed), "ray": Ray(seed)}
    rows: list[dict[str, Any]] = []
    for name in policies:
        cluster = Cluster(nodes, drawn_by_lot.get(name, name), expected=expected)
        made = (
            replay_with_departures(cluster, work, backfill=backfill)
            if departures
            else replay(cluster, work, marks, fragmentation=fragmentation)
        )
        rows.append({"policy": name, **asdict(made)})
    return rows
