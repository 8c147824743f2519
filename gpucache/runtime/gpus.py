"""Which GPU a worker gets: by share and by memory, on the one where least is left. Pure: a fleet goes in, UUIDs come out.

A GPU that is cut into MIG instances is as many places as it has of them. A share counts in thousandths, so that three
thirds fit on a GPU. A worker holds what it was given as long as it lives. Memory is what was free when the fleet was read:
what others take later is theirs to answer for.
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
    """What is left of one GPU: thousandths of its time, and bytes."""

    uuid: str
    memory_bytes: int
    share: int = _WHOLE
    free_bytes: int = 0

    def __post_init__(self) -> None:
        self.free_bytes = self.memory_bytes


@dataclass(frozen=True, slots=True)
class _Part:
    gpu: int
    share: int
    memory_bytes: int


class GpusOfFleet:
    """The engine's GpuPlaces on this machine's GPUs. Not thread-safe: the engine is its only caller."""

    def __init__(self, fleet: Fleet) -> None:
        self._gpus = [_Gpu(device.uuid, device.room_bytes) for device in fleet.devices]
        self._held: dict[WorkerId, tuple[_Part, ...]] = {}

    def fits(self, kind: Kind, members: int) -> str | None:
        """What is there, if so many workers of a kind can never have their GPUs at once; else None."""
        empty = [_Gpu(gpu.uuid, gpu.memory_bytes) for gpu in self._gpus]
        for _ in range(members):
            parts = _choose(empty, kind)
            if parts is None:
                shown = ", ".join(f"{gpu.memory_bytes:,}" for gpu in self._gpus)
                return f"{len(self._gpus)} of {shown} free bytes"
            _reserve(empty, parts)
        return None

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
            self._gpus[part.gpu].free_bytes += part.memory_bytes


def _choose(gpus: list[_Gpu], kind: Kind) -> tuple[_Part, ...] | None:
    """The GPUs that are left with least room, as many as the kind asks for; None if there are not enough."""
    count, share = (1, round(kind.gpus * _WHOLE)) if kind.gpus < 1 else (round(kind.gpus), _WHOLE)
    fitting = []
    for index, gpu in enumerate(gpus):
        memory_bytes = kind.gpu_memory_bytes
        part = _Part(index, share, gpu.memory_bytes * share // _WHOLE if memory_bytes is None else memory_bytes)
        if part.share <= gpu.share and part.memory_bytes <= gpu.free_bytes:
            fitting.append(part)
    if len(fitting) < count:
        return None
    fitting.sort(key=lambda part: (gpus[part.gpu].share, gpus[part.gpu].free_bytes, part.gpu))
    return tuple(fitting[:count])


def _reserve(gpus: list[_Gpu], parts: tuple[_Part, ...]) -> None:
    for part in parts:
        gpus[part.gpu].share -= part.share
        gpus[part.gpu].free_bytes -= part.memory_bytes
