"""Which GPU a worker gets: this machine as a placement.Cluster of one node. Pure: a fleet goes in, UUIDs come out.

The books, the shares and the memory are the Cluster's, as any other scheduler would use it; here is what a runtime knows
beside it. A GPU that is cut into MIG instances is as many GPUs as it has of them. What can be promised of a GPU is the most
that was ever free on it. What is taken beyond our promises is someone else's: it stands against a worker that says how much
it needs; one that says nothing makes do with the rest. A GPU that is lost or in trouble gets no new worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpucache.placement import Cluster, Demand, Gpu, Node, Placement, Room
from gpucache.placement.model import LARGEST_BYTES, LARGEST_GPUS, MILLI
from gpucache.workers.kind import Kind, WorkerId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpucache.telemetry import Fleet

_HERE = "this machine"


@dataclass(slots=True)
class _Gpu:
    """What the runtime knows of a device beside the Cluster.

    Attributes:
        number: Its place in the order of the fleet, for people.
        memory_bytes: The most that was ever free: all that can be promised.
        free_bytes: What was free when it was read last.
        trouble: Why it gets no new worker; "" if it does.
    """

    uuid: str
    gpu_uuid: str
    number: int
    memory_bytes: int
    free_bytes: int | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Promised:
    """What our workers were given of a device: memory, and its time in thousandths; and why it gets no new worker."""

    uuid: str
    nbytes: int
    share_milli: int
    trouble: str


def tightest(room: Room, _demand: Demand, gpus: tuple[int, ...]) -> float:
    """The GPU with least of its time left, then with least memory: so that large demands find a GPU to themselves.

    The library's policies tell GPUs of a node apart by share alone; workers mostly ask for memory.
    """
    left = sum(room.share_milli[gpu] for gpu in gpus) * (LARGEST_BYTES + 1) + sum(room.gpu_bytes[gpu] for gpu in gpus)
    return -left


class GpusOfFleet:
    """The engine's GpuPlaces on this machine's GPUs. Not thread-safe: the engine is its only caller."""

    def __init__(self, fleet: Fleet) -> None:
        gpus = [
            _Gpu(device.uuid, device.gpu_uuid, number, device.room_bytes) for number, device in enumerate(fleet.devices)
        ]
        # Whole GPUs are given in the order of the node: smaller ones first.
        self._gpus = sorted(gpus, key=lambda gpu: gpu.memory_bytes)
        self._islands = _islands([gpu.uuid for gpu in self._gpus], fleet)
        self._held: dict[WorkerId, Placement] = {}
        self._cluster = self._of_all()
        self._never: dict[tuple[Kind, int], str | None] = {}
        self._refused: set[Kind] = set()  # had no place when last asked, and nothing was given back since
        self.observe(fleet)

    def observe(self, fleet: Fleet) -> frozenset[str]:
        """Take in a later reading of the same GPUs; those in trouble. What could not be read stays as it was."""
        free = {device.uuid: device.free_bytes for device in fleet.devices}
        troubles = {gpu.uuid: "; ".join(gpu.troubles) for gpu in fleet.gpus}
        before = [(gpu.memory_bytes, gpu.trouble) for gpu in self._gpus]
        self._refused.clear()
        for gpu in self._gpus:
            if gpu.gpu_uuid in fleet.lost or (fleet.gpus and gpu.uuid not in free):
                gpu.trouble, gpu.free_bytes = "it is lost", None
                continue
            gpu.trouble = troubles.get(gpu.gpu_uuid, gpu.trouble)
            gpu.free_bytes = free.get(gpu.uuid)
            gpu.memory_bytes = max(gpu.memory_bytes, gpu.free_bytes or 0)
        after = [(gpu.memory_bytes, gpu.trouble) for gpu in self._gpus]
        if before != after:
            self._never.clear()
        if [size for size, _ in before] != [size for size, _ in after]:
            self._grow()
        promised = {gpu.uuid: nbytes for gpu, nbytes in zip(self._gpus, self._promised_bytes(), strict=True)}
        self._cluster.observe(
            {
                gpu.uuid: max(0, gpu.memory_bytes - gpu.free_bytes - promised[gpu.uuid])
                for gpu in self._gpus
                if gpu.free_bytes is not None
            }
        )
        return frozenset(self.troubles())

    def troubles(self) -> dict[str, str]:
        """Why devices get no new workers, by UUID."""
        return {gpu.uuid: gpu.trouble for gpu in self._in_order() if gpu.trouble}

    def largest_bytes(self) -> int | None:
        """What can be promised on the largest device that is well; None where there is none."""
        return max((gpu.memory_bytes for gpu in self._gpus if not gpu.trouble), default=None)

    def promised(self) -> tuple[Promised, ...]:
        """What our workers were given of each device."""
        (room,) = self._cluster.rooms()
        given = zip(self._gpus, self._promised_bytes(), room.share_milli, strict=True)
        told = {gpu.number: Promised(gpu.uuid, nbytes, MILLI - left, gpu.trouble) for gpu, nbytes, left in given}
        return tuple(told[number] for number in sorted(told))

    def promised_to(self, worker: WorkerId) -> int | None:
        """Memory that a worker was promised on each of its devices; None if it has none."""
        placement = self._held.get(worker)
        return None if placement is None else placement.gpu_memory_bytes

    def fits(self, kind: Kind, members: int) -> str | None:
        """What is there, if so many workers of a kind can never have their GPUs at once; else None."""
        asked = kind, members
        if asked not in self._never:
            empty, demand = self._of_all(), self._demand(kind)
            placed = all(empty.place(demand) is not None for _ in range(members))
            self._never[asked] = None if placed else self._what_is_there()
        return self._never[asked]

    def take(self, worker: WorkerId, kind: Kind) -> tuple[str, ...] | None:
        """GPUs for a worker, held until give(); None if there are none now."""
        if kind in self._refused:
            return None
        demand = self._demand(kind)
        placement = self._cluster.place(demand)
        if placement is None and kind.gpu_memory_bytes is None:
            placement = self._place_in_the_rest(demand)
        if placement is None:
            self._refused.add(kind)
            return None
        self._held[worker] = placement
        return placement.gpu_uuids

    def give(self, worker: WorkerId) -> None:
        """The worker is gone, and its device memory with it."""
        placement = self._held.pop(worker, None)
        if placement is not None:
            self._cluster.release(placement)
            self._refused.clear()

    def _demand(self, kind: Kind, nbytes: int | None = None, among: Iterable[_Gpu] | None = None) -> Demand:
        """A kind as a demand. A device is a model of its own, so that models name the devices that may be had."""
        well = [gpu for gpu in self._gpus if not gpu.trouble] if among is None else list(among)
        models = () if len(well) == len(self._gpus) else tuple(gpu.uuid for gpu in well) or ("none",)
        gpus = max(kind.gpus, 1 / MILLI) if kind.gpus < 1 else min(round(kind.gpus), LARGEST_GPUS)
        wanted = kind.gpu_memory_bytes if nbytes is None else nbytes
        return Demand(gpus=gpus, gpu_memory_bytes=None if wanted is None else min(wanted, LARGEST_BYTES), models=models)

    def _place_in_the_rest(self, demand: Demand) -> Placement | None:
        """A place for a worker that names no memory, where others leave less than its share: it is promised what they leave.

        Not where our own promises leave less: that memory is spoken for.
        """
        (room,) = self._cluster.rooms()
        rest: dict[str, int] = {}
        for gpu, share, left, promised in zip(
            self._gpus, room.share_milli, room.gpu_bytes, self._promised_bytes(), strict=True
        ):
            wanted = gpu.memory_bytes * demand.share_milli // MILLI
            may_have = not demand.models or gpu.uuid in demand.models
            if may_have and share >= demand.share_milli and wanted <= gpu.memory_bytes - promised:
                rest[gpu.uuid] = max(0, min(wanted, left))
        if len(rest) < demand.gpu_count:
            return None
        most = sorted(rest, key=lambda uuid: -rest[uuid])[: demand.gpu_count]
        smallest = min(rest[uuid] for uuid in most)
        return self._cluster.place(Demand(gpus=demand.gpus, gpu_memory_bytes=smallest, models=tuple(most)))

    def _of_all(self) -> Cluster:
        """All devices as they are, with nothing on them."""
        gpus = tuple(Gpu(gpu.memory_bytes, model=gpu.uuid, uuid=gpu.uuid) for gpu in self._gpus)
        return Cluster([Node(_HERE, 0, 0, gpus, islands=self._islands)], tightest)

    def _grow(self) -> None:
        """Devices turned out to have more than was known; what is placed stays where it is."""
        before, self._cluster = self._cluster.snapshot(), self._of_all()
        self._cluster.restore(before)

    def _promised_bytes(self) -> list[int]:
        """What placements take of each device."""
        (room,) = self._cluster.rooms()
        foreign = self._cluster.snapshot().foreign_bytes
        return [
            gpu.memory_bytes - left - foreign.get(gpu.uuid, 0)
            for gpu, left in zip(self._gpus, room.gpu_bytes, strict=True)
        ]

    def _in_order(self) -> list[_Gpu]:
        return sorted(self._gpus, key=lambda gpu: gpu.number)

    def _what_is_there(self) -> str:
        well = [gpu for gpu in self._in_order() if not gpu.trouble]
        told = f"{len(well)} of {', '.join(f'{gpu.memory_bytes:,}' for gpu in well)} free bytes" if well else "none"
        return "; ".join([told, *(f"{uuid} gets no new worker: {why}" for uuid, why in self.troubles().items())])


def _islands(uuids: list[str], fleet: Fleet) -> tuple[tuple[int, ...], ...]:
    """Which devices NVLinks join, by index in `uuids`; none where the driver tells of no links, or all are joined alike."""
    group = {uuid: {uuid} for uuid in uuids}
    for path in fleet.paths or ():
        if path.nvlink_count and path.one in group and path.other in group:
            joined = group[path.one] | group[path.other]
            group.update(dict.fromkeys(joined, joined))
    found = {tuple(index for index, uuid in enumerate(uuids) if uuid in joined) for joined in group.values()}
    return tuple(sorted(island for island in found if 1 < len(island) < len(uuids)))
