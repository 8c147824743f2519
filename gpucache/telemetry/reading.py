"""What the GPUs say: plain frozen records, whoever read them. A value that could not be read is None, and `absent` says why.

Devices are UUIDs everywhere; an index is only for people. Memory in bytes, times in ns of the monotonic clock, shares 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """A process on a GPU, as the driver sees it. In a container the pid may be the host's: never attribute by it.

    Attributes:
        pid: The driver's idea of its process id; see Fleet.pids_are_hosts.
        memory_used_bytes: Its device memory; None where the driver does not say (WDDM; MIG, for some users).
        gpu_instance, compute_instance: Where on a GPU that is cut into MIG instances; None where it is not, or nobody says.
    """

    pid: int
    memory_used_bytes: int | None
    gpu_instance: int | None = None
    compute_instance: int | None = None


@dataclass(frozen=True, slots=True)
class MigReading:
    """A MIG instance: what CUDA sees as a device of its own. NVML has no utilisation for it.

    Attributes:
        uuid: "MIG-...", as CUDA_VISIBLE_DEVICES takes it.
        gpu_instance, compute_instance: Its place on the GPU.
        name: Its model and profile as the driver shows them ("NVIDIA H200 MIG 1g.18gb").
        memory_total_bytes, memory_used_bytes, memory_free_bytes: Its own; None where the driver does not say.
    """

    uuid: str
    gpu_instance: int
    compute_instance: int
    name: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NvLink:
    """An active NVLink of a GPU: `to` is the UUID of the GPU at its other end, "switch", or a PCI bus id."""

    link: int
    to: str


@dataclass(frozen=True, slots=True)
class RowRemaps:
    """Rows of memory that the GPU replaced by spare ones (Ampere and later).

    Attributes:
        corrected_count, uncorrected_count: Remaps by the kind of error that caused them, over the GPU's life.
        is_pending: One waits for the next reset of the GPU, which goes on without that row until then.
        has_failed: There was no spare row left: the GPU wants replacing.
    """

    corrected_count: int
    uncorrected_count: int
    is_pending: bool
    has_failed: bool


@dataclass(frozen=True, slots=True)
class XidEvent:
    """An error that the driver reported. `condemns`: the GPU is not to be trusted until someone has looked at it."""

    code: int
    seen_at_ns: int
    condemns: bool


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment.

    Attributes:
        uuid: Its name everywhere ("GPU-..."); indices depend on who counts.
        index: NVML's, which is PCI order; CUDA's default order is another (see telemetry.visible).
        name: Its model.
        memory_total_bytes: What the device has.
        memory_used_bytes: What is taken, by anyone.
        memory_free_bytes: What is not.
        memory_reserved_bytes: What the driver keeps for itself; None where only NVML's version 1 answers, which counts
            it as used.
        utilisation_fraction: Share of the driver's last sample period in which any kernel ran. Not occupancy.
        utilisation_window_s: That period: how far the driver's samples lie apart.
        memory_bus_fraction: Share of the same period in which device memory was read or written. Bus time, not memory.
        power_w, power_limit_w, temperature_c: As the driver says; the limit is the one in force.
        clock_sm_mhz, clock_memory_mhz: Now; clock_sm_max_mhz, clock_memory_max_mhz: at most.
        throttle_reasons: Why the clocks are lower than they could be, by the driver's names; () if they are not.
        ecc_is_on: Whether errors in memory are found and corrected.
        ecc_corrected_count, ecc_uncorrected_count: Since the driver was loaded.
        row_remaps: Rows of memory that were replaced.
        xids: Errors since someone began to watch (Sampler does); None where nobody does.
        mig_is_on: Whether the GPU is cut into instances; CUDA then sees those only.
        mig: The instances.
        compute_capability: (9, 0) for Hopper.
        pci_bus_id, numa_node, pcie_generation, pcie_lanes: Where it sits, and the link as it is now (idle ones slow down).
        nvlinks: Active ones; () if it has NVLink and none is active.
        processes: Compute processes.
        absent: (field, reason) for each field that is None.
    """

    uuid: str
    index: int
    name: str
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    memory_free_bytes: int | None
    memory_reserved_bytes: int | None = None
    utilisation_fraction: float | None = None
    utilisation_window_s: float | None = None
    memory_bus_fraction: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    clock_sm_mhz: int | None = None
    clock_memory_mhz: int | None = None
    clock_sm_max_mhz: int | None = None
    clock_memory_max_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    ecc_is_on: bool | None = None
    ecc_corrected_count: int | None = None
    ecc_uncorrected_count: int | None = None
    row_remaps: RowRemaps | None = None
    xids: tuple[XidEvent, ...] | None = None
    mig_is_on: bool | None = None
    mig: tuple[MigReading, ...] | None = None
    compute_capability: tuple[int, int] | None = None
    pci_bus_id: str | None = None
    numa_node: int | None = None
    pcie_generation: int | None = None
    pcie_lanes: int | None = None
    nvlinks: tuple[NvLink, ...] | None = None
    processes: tuple[ProcessReading, ...] | None = None
    absent: tuple[tuple[str, str], ...] = ()

    def why_absent(self, field: str) -> str | None:
        """Why a field is None; None if it is not, or nobody said."""
        return dict(self.absent).get(field)

    def device_of(self, process: ProcessReading) -> str | None:
        """What CUDA calls the device that a process is on: this GPU, or the MIG instance; None where that can't be told."""
        if not self.mig_is_on:
            return self.uuid
        there = [one for one in self.mig or () if one.gpu_instance == process.gpu_instance]
        if len(there) > 1:
            there = [one for one in there if one.compute_instance == process.compute_instance]
        return there[0].uuid if len(there) == 1 else None

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why no new work should come here, in words; () for a GPU that is well, as far as its driver says."""
        found = [f"Xid {event.code}" for event in self.xids or () if event.condemns]
        if self.row_remaps is not None and self.row_remaps.has_failed:
            found.append("a row of its memory could not be remapped")
        return tuple(found)


CHANGING = frozenset(
    {
        *("memory_used_bytes", "memory_free_bytes", "utilisation_fraction", "memory_bus_fraction", "power_w"),
        *(
            "temperature_c",
            "utilisation_window_s",
            "clock_sm_mhz",
            "clock_memory_mhz",
            "throttle_reasons",
            "ecc_corrected_count",
        ),
        *("ecc_uncorrected_count", "row_remaps", "pcie_generation", "pcie_lanes", "processes"),
    }
)
"""Fields of GpuReading that are worth nothing once they are old. The others say what the GPU is."""


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """What CUDA_VISIBLE_DEVICES can name: a GPU, or a MIG instance of one.

    Attributes:
        uuid: Its own; gpu_uuid is that of the GPU that it is or lies on.
        room_bytes: Memory that can be promised: what is free; the total where only that is known; else nothing.
        free_bytes: What is free; None where that could not be read.
    """

    uuid: str
    gpu_uuid: str
    room_bytes: int
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PathBetween:
    """How two GPUs of a machine are joined.

    Attributes:
        one, other: Their UUIDs.
        over: The nearest thing that both hang on: "board", "pcie switch", "pcie switches", "host bridge", "numa node",
            "machine". Each is farther than the one before.
        nvlink_count: NVLinks that lead from one to the other directly. Through switches every GPU reaches every other.
    """

    one: str
    other: str
    over: str
    nvlink_count: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """All the GPUs of this machine as read at one moment.

    Attributes:
        gpus: By NVML's index.
        read_at_ns: time.monotonic_ns() when the reading began.
        problems: Why GPUs or readings are missing, in words; empty if nothing is wrong.
        lost: UUIDs of GPUs that were there and are not any more.
        paths: How each two of them are joined.
        driver_version, cuda_version: Of the driver, and the highest CUDA that it can run ("12.8").
        pids_are_hosts: Whether processes' ids are the host's while this process lives in a namespace of its own (a
            container): then no pid here means anything to us. None if that can't be known.
    """

    gpus: tuple[GpuReading, ...]
    read_at_ns: int
    problems: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    paths: tuple[PathBetween, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    pids_are_hosts: bool | None = None

    @property
    def devices(self) -> tuple[CudaDevice, ...]:
        """What CUDA can use: the instances of a GPU that is cut into such, else the GPU itself."""
        found: list[CudaDevice] = []
        for gpu in self.gpus:
            parts: Iterable[GpuReading | MigReading] = (gpu.mig or ()) if gpu.mig_is_on else (gpu,)
            found += [CudaDevice(one.uuid, gpu.uuid, _room_bytes(one), one.memory_free_bytes) for one in parts]
        return tuple(found)


class Source(Protocol):
    """Where readings come from. Never raises and never blocks for long: what is wrong is in Fleet.problems."""

    def read(self, *, processes: bool = False) -> Fleet:
        """Read every GPU now."""
        ...


def declared_gpu(uuid: str, memory_total_bytes: int, *, index: int = 0, name: str = "") -> GpuReading:
    """A GPU as its owner describes it, for where no driver does: a total and nothing that was read."""
    if memory_total_bytes <= 0:
        raise ValueError(f"memory_total_bytes={memory_total_bytes} of {uuid}: a GPU has more than 0")
    return with_reasons(GpuReading(uuid, index, name, memory_total_bytes, None, None), "declared, not read")


def without_readings(gpu: GpuReading, why: str) -> GpuReading:
    """What a GPU is, as it was read earlier, without what has surely changed since."""
    kept = tuple((field, reason) for field, reason in gpu.absent if field not in CHANGING)
    emptied = replace(gpu, absent=kept, **dict.fromkeys(CHANGING))  # type: ignore[arg-type]  # all of them may be None
    return with_reasons(emptied, why)


def with_reasons(gpu: GpuReading, why: str) -> GpuReading:
    """The same with a reason for each field that is None and has none yet."""
    told = {field for field, _ in gpu.absent}
    silent = [one.name for one in fields(gpu) if getattr(gpu, one.name) is None and one.name not in told]
    return replace(gpu, absent=(*gpu.absent, *((name, why) for name in silent)))


def _room_bytes(part: GpuReading | MigReading) -> int:
    if part.memory_free_bytes is not None:
        return part.memory_free_bytes
    return part.memory_total_bytes or 0
