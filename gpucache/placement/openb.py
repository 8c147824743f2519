"""Read nodes and tasks as Alibaba's cluster-trace-gpu-v2023 (openb) lays them out, and make the published workload of them.

Every mistake in a file is BadTable: the file, the line, the column, what stands there and what was expected.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gpucache.errors import BadTable
from gpucache.placement.model import LARGEST_CPUS, LARGEST_GPUS, MILLI, Demand, Gpu, Node
from gpucache.placement.tables import rows

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Task:
    """A row of a tasks file: what was asked, when it came, and how long it took; None where the file does not say."""

    name: str
    demand: Demand
    arrives_s: int | None = None
    takes_s: int | None = None

    @property
    def gpu_milli(self) -> int:
        """GPU share asked for, of all its GPUs."""
        return self.demand.gpu_count * self.demand.share_milli


def read_nodes(path: str, *, memory: bool = False) -> list[Node]:
    """The nodes of a file with the columns sn, cpu_milli, memory_mib, gpu (how many), model.

    Args:
        path: CSV, also gzipped.
        memory: Count host memory too; the publication counts CPUs and GPU share alone.

    Raises:
        BadTable: The file has something that is not understood.
        OSError: It can't be read.
    """
    nodes: list[Node] = []
    names: set[str] = set()
    for row in rows(path, ("sn", "cpu_milli", "memory_mib", "gpu", "model")):
        name = row.text("sn")
        if not name or name in names:
            raise row.bad("sn", "a name that no other node has")
        names.add(name)
        gpus = [Gpu(0, row.text("model"))] * row.whole("gpu", LARGEST_GPUS)
        cpus = row.whole("cpu_milli", LARGEST_CPUS * MILLI) / MILLI
        nodes.append(Node(name, cpus, row.whole("memory_mib", 2**33) * MIB if memory else 0, gpus))
    if not nodes:
        raise BadTable(path, 2, "sn", "", "at least one node")
    return nodes


def read_tasks(path: str, *, memory: bool = False, times: bool = False) -> list[Task]:
    """The tasks of a file with the columns name, cpu_milli, memory_mib, num_gpu, gpu_milli.

    gpu_spec (allowed models, `|` between), creation_time and deletion_time are read where the file has them.

    Args:
        path: CSV, also gzipped.
        memory: Count host memory too.
        times: Every task must say when it came and went, as those do who simulate departures.

    Raises:
        BadTable: The file has something that is not understood.
        OSError: It can't be read.
    """
    tasks: list[Task] = []
    known: dict[tuple[object, ...], Demand] = {}
    for row in rows(path, ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")):
        count = row.whole("num_gpu", LARGEST_GPUS)
        share = row.whole("gpu_milli", MILLI)
        if (count > 1 and share not in {0, MILLI}) or (count == 1 and share == 0):
            raise row.bad("gpu_milli", "1 to 1000 for one GPU, 1000 for several")
        models = tuple(sorted(set(row.text("gpu_spec").split("|")) - {""})) if count else ()
        nbytes = row.whole("memory_mib", 2**33) * MIB if memory else 0
        gpus = share / MILLI if count == 1 else count
        shape = (row.whole("cpu_milli", LARGEST_CPUS * MILLI), nbytes, gpus, models)
        if shape not in known:
            known[shape] = Demand(
                gpus=gpus, gpu_memory_bytes=0, cpus=shape[0] / MILLI, memory_bytes=nbytes, models=models
            )
        arrives, leaves = row.moment("creation_time"), row.moment("deletion_time")
        if times and (arrives is None or leaves is None):
            raise row.bad("creation_time" if arrives is None else "deletion_time", "a time, to simulate departures")
        if arrives is not None and leaves is not None and leaves < arrives:
            raise row.bad("deletion_time", f"a time not before creation_time ({arrives})")
        takes = None if arrives is None or leaves is None else leaves - arrives
        tasks.append(Task(row.text("name"), known[shape], arrives, takes))
    if not tasks:
        raise BadTable(path, 2, "name", "", "at least one task")
    return tasks


def inflated(tasks: Sequence[Task], nodes: Sequence[Node], seed: int, ratio: float = 1.3) -> list[Task]:
    """The published workload: all tasks and copies of some, drawn and shuffled with the seed.

    Copies are added until the GPU share asked for is `ratio` of what there is.
    """
    draw = random.Random(seed)  # noqa: S311 - a workload, not a secret
    wanted = ratio * MILLI * sum(len(node.gpus) for node in nodes)
    asked, more = sum(task.gpu_milli for task in tasks), list(tasks)
    while asked:
        task = tasks[draw.randrange(len(tasks))]
        if asked + task.demand.share_milli > wanted:  # as theirs: by the share on one GPU, not on all
            break
        asked += task.gpu_milli
        more.append(task)
    draw.shuffle(more)
    return more
