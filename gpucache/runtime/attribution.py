"""How much of a GPU a worker holds: NVML's word where its process ids are ours, else the worker's own. Pure.

NVML counts everything of a process, the CUDA context too. PyTorch counts what it keeps for tensors; that is less, and the
one thing that can be known in a container, where NVML's ids are the host's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpucache.runtime.pools import PoolState, WorkerState
    from gpucache.telemetry import Fleet


class Holds(NamedTuple):
    """Device memory of a worker on one GPU, and who said so: "nvml" or "pytorch"; None where nobody can."""

    uuid: str
    nbytes: int | None
    said_by: str | None


def holds(worker: WorkerState, fleet: Fleet | None) -> tuple[Holds, ...]:
    """What a worker of this machine holds on each of its GPUs."""
    told = dict(zip(worker.gpus, worker.device_bytes, strict=False))
    seen = {} if fleet is None or fleet.pids_are_hosts is not False else _by_nvml(worker.pid, fleet)
    return tuple(
        Holds(uuid, seen[uuid], "nvml")
        if uuid in seen
        else Holds(uuid, told.get(uuid), "pytorch" if uuid in told else None)
        for uuid in worker.gpus
    )


def held_on(uuid: str, pools: Iterable[PoolState], fleet: Fleet | None) -> int | None:
    """What all workers hold of a GPU or MIG instance; None where one of them is not known."""
    held = [one.nbytes for pool in pools for w in pool.workers for one in holds(w, fleet) if one.uuid == uuid]
    known = [nbytes for nbytes in held if nbytes is not None]
    return sum(known) if len(known) == len(held) else None


def _by_nvml(pid: int | None, fleet: Fleet) -> dict[str, int]:
    return {
        device: process.memory_used_bytes
        for gpu in fleet.gpus
        for process in gpu.processes or ()
        if process.pid == pid
        and process.memory_used_bytes is not None
        and (device := gpu.device_of(process)) is not None
    }
