"""Which GPU a worker gets: by share and by memory, on the one where least is left. Pure: a fleet goes in, UUIDs come out.

A GPU that is cut into MIG instances is as many places as it has of them. A share counts in thousandths, so that three
thirds fit on a GPU. A worker holds what it was given as long as it lives. Promises and readings are both counted: what is
taken beyond our promises is someone else's, and not there for us; a GPU that is lost or in trouble gets no new worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpucache.workers.kind import Kind, WorkerId

if TYPE_CHECKING:
    from gpucache.telemetry import Fleet

_WHOLE = 1000


@dataclass(slots=True)
class _Gpu:
    """What is left of one device: thousandths of its time, and bytes.

    Attributes:
        memory_bytes: The most that was ever free: all that we could promise.
        promised_bytes: What our workers were given.
        others_bytes: What was taken beyond that when it was read last.
        trouble: Why it gets no new worker; "" if it does.
    """

    uuid: str
    gpu_uuid: str
    memory_bytes: int
    share: int = _WHOLE
    promised_bytes: int = 0
    others_bytes: int = 0
    trouble: str = ""

    def room_for(self, memory_bytes: int | None, share: int) -> int | None:
        """What a worker would be promised: what it asks for, or its share of all; None if that is not there.

        Others' memory stands against a worker that says how much it needs. One that says nothing makes do with the rest.
        """
        if self.trouble or share > self.share:
            return None
        unpromised = self.memory_bytes - self.promised_bytes
        wanted = self.memory_bytes * share // _WHOLE if memory_bytes is None else memory_bytes
        left = max(0, unpromised - self.others_bytes)
        if wanted > (unpromised if memory_bytes is None else left):
            return None
        return wanted if memory_bytes is not None else min(wanted, left)


@dataclass(frozen=True, slots=True)
class _Part:
    gpu: int
    share: int
    memory_bytes: int


class GpusOfFleet:
    """The engine's GpuPlaces on this machine's GPUs. Not thread-safe: the engine is its only caller."""

    def __init__(self, fleet: Fleet) -> None:
        self._gpus = [_Gpu(device.uuid, device.gpu_uuid, device.room_bytes) for device in fleet.devices]
        self._held: dict[WorkerId, tuple[_Part, ...]] = {}
        self.observe(fleet)

    def observe(self, fleet: Fleet) -> frozenset[str]:
        """Take in a later reading of the same GPUs; those in trouble. What could not be read stays as it was."""
        free = {device.uuid: device.free_bytes for device in fleet.devices}
        troubles = {gpu.uuid: "; ".join(gpu.troubles) for gpu in fleet.gpus}
        for gpu in self._gpus:
            if gpu.gpu_uuid in fleet.lost or (fleet.gpus and gpu.uuid not in free):
                gpu.trouble = "it is lost"
                continue
            gpu.trouble = troubles.get(gpu.gpu_uuid, gpu.trouble)
            free_bytes = free.get(gpu.uuid)
            if free_bytes is not None:
                gpu.memory_bytes = max(gpu.memory_bytes, free_bytes)
                gpu.others_bytes = max(0, gpu.memory_bytes - free_bytes - gpu.promised_bytes)
        return frozenset(self.troubles())

    def troubles(self) -> dict[str, str]:
        """Why devices get no new workers, by UUID."""
        return {gpu.uuid: gpu.trouble for gpu in self._gpus if gpu.trouble}

    def largest_bytes(self) -> int | None:
        """What can be promised on the largest device that is well; None where there is none."""
        return max((gpu.memory_bytes for gpu in self._gpus if not gpu.trouble), default=None)

    def fits(self, kind: Kind, members: int) -> str | None:
        """What is there, if so many workers of a kind can never have their GPUs at once; else None."""
        empty = [_Gpu(gpu.uuid, gpu.gpu_uuid, gpu.memory_bytes, trouble=gpu.trouble) for gpu in self._gpus]
        for _ in range(members):
            parts = _choose(empty, kind)
            if parts is None:
                return self._what_is_there()
            _reserve(empty, parts)
        return None

    def _what_is_there(self) -> str:
        well = [gpu for gpu in self._gpus if not gpu.trouble]
        told = f"{len(well)} of {', '.join(f'{gpu.memory_bytes:,}' for gpu in well)} free bytes" if well else "none"
        return "; ".join([told, *(f"{uuid} gets no new worker: {why}" for uuid, why in self.troubles().items())])

    def take(self, worker: WorkerId, kind: Kind) -> tuple[str, ...] | None:
        """GPUs for a worker, held until give(); None if there are none now."""
        parts = _choose(self._gpus, kind)
        if parts is None:
            return None
        _reserve(self._gpus, parts)
        self._held[worker] = parts
        return tuple(self._gpus[part.gpu].uuid for part in parts)

    def give(self, worker: WorkerId) -> None:
        """The worker is gone, and its device memory with it."""
        for part in self._held.pop(worker, ()):
            self._gpus[part.gpu].share += part.share
            self._gpus[part.gpu].promised_bytes -= part.memory_bytes


def _choose(gpus: list[_Gpu], kind: Kind) -> tuple[_Part, ...] | None:
    """The GPUs that are left with least room, as many as the kind asks for; None if there are not enough."""
    count, share = (1, round(kind.gpus * _WHOLE)) if kind.gpus < 1 else (round(kind.gpus), _WHOLE)
    fitting = []
    for index, gpu in enumerate(gpus):
        promised_bytes = gpu.room_for(kind.gpu_memory_bytes, share)
        if promised_bytes is not None:
            fitting.append(_Part(index, share, promised_bytes))
    if len(fitting) < count:
        return None
    fitting.sort(key=lambda part: _left(gpus[part.gpu], part.gpu))
    return tuple(fitting[:count])


def _reserve(gpus: list[_Gpu], parts: tuple[_Part, ...]) -> None:
    for part in parts:
        gpus[part.gpu].share -= part.share
        gpus[part.gpu].promised_bytes += part.memory_bytes


def _left(gpu: _Gpu, index: int) -> tuple[int, int, int]:
    return gpu.share, gpu.memory_bytes - gpu.promised_bytes - gpu.others_bytes, index
