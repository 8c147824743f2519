"""Read tasks from a CSV file with the columns of the Standard Workload Format, in which supercomputers' logs are kept.

Source: Chapin et al., "Benchmarks and standards for the evaluation of parallel job schedulers", JSSPP '99 (version 2: Feitelson).
Its fields of times, processors and memory are read by name; GPUs, which it knows nothing of, from two columns more.
"""

from __future__ import annotations

from gpucache.errors import BadTable
from gpucache.placement.model import LARGEST_CPUS, LARGEST_GPUS, MILLI, Demand
from gpucache.placement.openb import Task
from gpucache.placement.tables import LARGEST_SECONDS, rows

COLUMNS = ("submit_time", "run_time", "requested_processors")
KIB = 2**10


def read_jobs(path: str, *, memory: bool = False) -> list[Task]:
    """The jobs of a file with the columns submit_time, run_time (s) and requested_processors.

    job_number, requested_memory (KiB a processor), num_gpu and gpu_milli (the share of one GPU; 1000 without) are read where the file
    has them. As the format says, -1 is unknown: such a job is left out if its time or processors are, and has no memory if that is.

    Args:
        path: CSV, also gzipped.
        memory: Count host memory too.

    Raises:
        BadTable: The file has something that is not understood, or no job.
        OSError: It can't be read.
    """
    found: list[Task] = []
    for number, row in enumerate(rows(path, COLUMNS), 1):
        if "-1" in (row.text("run_time"), row.text("requested_processors"), row.text("submit_time")):
            continue
        cpus = row.whole("requested_processors", LARGEST_CPUS)
        kib = 0 if row.text("requested_memory") in ("", "-1") else row.whole("requested_memory", 2**43)
        count = row.whole("num_gpu", LARGEST_GPUS) if row.text("num_gpu") else 0
        share = row.whole("gpu_milli", MILLI) if row.text("gpu_milli") else MILLI
        if (count and not share) or (count > 1 and share != MILLI):
            raise row.bad("gpu_milli", "1 to 1000 for one GPU, 1000 for several")
        demand = Demand(
            gpus=share / MILLI if count == 1 else count,
            gpu_memory_bytes=0,
            cpus=cpus,
            memory_bytes=kib * KIB * cpus if memory else 0,
        )
        arrives, takes = row.whole("submit_time", LARGEST_SECONDS), row.whole("run_time", LARGEST_SECONDS)
        found.append(Task(row.text("job_number") or str(number), demand, arrives, takes))
    if not found:
        raise BadTable(path, 2, COLUMNS[0], "", "at least one job whose time and processors are known")
    return found
