"""What the GPUs say: plain frozen records, whoever read them. A value that could not be read is None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """A process on a GPU, as the driver sees it. In a container the pid may be the host's: never attribute by it.

    Attributes:
        pid: The driver's idea of its process id.
        memory_used_bytes: Its device memory; None where the driver does not say (MIG, WDDM).
    """

    pid: int
    memory_used_bytes: int | None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment.

    Attributes:
        uuid: Its name everywhere ("GPU-..."); indices depend on who counts.
        index: NVML's, which is PCI order; CUDA's default order is another.
        name: Its model.
        memory_total_bytes: What the device has.
        memory_reserved_bytes: What the driver keeps for itself; None where only NVML's version 1 answers, which counts
            it as used.
        memory_used_bytes: What is taken, by anyone.
        memory_free_bytes: What is not.
        utilisation_fraction: Share of the driver's last sample period in which any kernel ran, 0..1. Not occupancy.
        power_w, temperature_c: As the driver says.
        processes: Compute processes; None where they can't be listed or were not asked for.
        absent: (field, reason) for each field that is None because the driver did not say.
    """

    uuid: str
    index: int
    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    memory_free_bytes: int
    memory_reserved_bytes: int | None = None
    utilisation_fraction: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    processes: tuple[ProcessReading, ...] | None = None
    absent: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """All the GPUs of this machine as read at one moment.

    Attributes:
        gpus: By NVML's index.
        read_at_ns: time.monotonic_ns() when the reading began.
        problems: Why GPUs are missing, in words; empty if nothing is wrong.
    """

    gpus: tuple[GpuReading, ...]
    read_at_ns: int
    problems: tuple[str, ...] = ()


class Source(Protocol):
    """Where readings come from. Never raises and never blocks for long: what is wrong is in Fleet.problems."""

    def read(self, *, processes: bool = False) -> Fleet:
        """Read every GPU now."""
        ...
