"""Runs that gpucache recorded, as a workload: what their calls asked for, when they began, and how long they took."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpucache.ledger import Ledger
from gpucache.placement import Demand
from gpucache.placement.openb import Task


def tasks_of_runs(ledger: Ledger, names: Sequence[str], *, memory: bool = False) -> list[Task]:
    """The calls of these runs whose bodies ran, as if all runs had begun at once.

    Times are rounded up to whole seconds. A call whose GPU memory was learned asks for what its share amounts to.

    Args:
        names: Runs, as `gpucache show` takes them.
        memory: Count host memory too.

    Raises:
        NoSuchRecord: There is no such run.
    """
    tasks: list[Task] = []
    for name in names:
        run = ledger.find(name)
        for call in ledger.calls(run.id):
            if call.state not in ("ran", "uncached"):
                continue
            demand = Demand(
                cpus=call.cpus,
                memory_bytes=call.memory_bytes if memory else 0,
                gpus=call.gpus,
                gpu_memory_bytes=call.gpu_memory_bytes,
            )
            begins = max(0, math.floor(call.started_at - run.started_at))
            tasks.append(Task(call.task, demand, begins, max(1, math.ceil(call.seconds))))
    return tasks
