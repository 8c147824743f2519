"""How the GPUs of a machine are joined, through NVML: NVLink, and the way over the host. Read once: wires don't move."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from gpucache.telemetry.nvml_gpu import KnownGpu
from gpucache.telemetry.reading import NvLink, PathBetween

# nvmlGpuTopologyLevel_t, nearest first.
OVER = {0: "board", 10: "pcie switch", 20: "pcie switches", 30: "host bridge", 40: "numa node", 50: "machine"}


def name_far_ends(gpus: Sequence[KnownGpu]) -> None:
    """Put the UUID of a GPU of this machine in the place of its bus id, in each GPU's links."""
    by_bus = {gpu.facts["pci_bus_id"]: gpu.uuid for gpu in gpus if gpu.facts["pci_bus_id"] is not None}
    for gpu in gpus:
        links: tuple[NvLink, ...] | None = gpu.facts["nvlinks"]
        if links is not None:
            gpu.facts["nvlinks"] = tuple(NvLink(one.link, by_bus.get(one.to, one.to)) for one in links)


def paths_between(nvml: Any, gpus: Sequence[KnownGpu]) -> tuple[PathBetween, ...]:
    """Each two GPUs, in order; those whose path the driver does not tell are left out."""
    found: list[PathBetween] = []
    for one, other in combinations(gpus, 2):
        try:
            level = nvml.nvmlDeviceGetTopologyCommonAncestor(one.handle, other.handle)
        except nvml.NVMLError:
            continue
        direct = sum(link.to == other.uuid for link in one.facts["nvlinks"] or ())
        found.append(PathBetween(one.uuid, other.uuid, OVER.get(level, f"unknown ({level})"), direct))
    return tuple(found)
