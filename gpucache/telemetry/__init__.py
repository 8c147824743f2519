"""What the GPUs say. `read_fleet()` works on any machine: where there is no GPU it says why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

from gpucache.telemetry.from_trace import RecordingSource, TraceSource, read_trace
from gpucache.telemetry.reading import (
    CudaDevice,
    Fleet,
    GpuReading,
    MigReading,
    NvLink,
    PathBetween,
    ProcessReading,
    RowRemaps,
    Source,
    XidEvent,
    declared_gpu,
)
from gpucache.telemetry.sampler import Sample, Sampler
from gpucache.telemetry.visible import CudaSettings, resolve, visible

__all__ = [
    "CudaDevice",
    "CudaSettings",
    "Fleet",
    "GpuReading",
    "MigReading",
    "NvLink",
    "PathBetween",
    "ProcessReading",
    "RecordingSource",
    "RowRemaps",
    "Sample",
    "Sampler",
    "Source",
    "TraceSource",
    "XidEvent",
    "declared_gpu",
    "read_fleet",
    "read_trace",
    "resolve",
    "visible",
]


def read_fleet(*, processes: bool = False, declared: Sequence[GpuReading] = ()) -> Fleet:
    """Every GPU of this machine: memory, utilisation, power, health, links, and with `processes` who is on it.

    Any thread and any process may call it. It never raises and waits a few seconds at most: without a driver, or with one
    that hangs, Fleet.problems says why, and the fleet holds what was read earlier or what is `declared` (see declared_gpu)
    with no readings but the sizes. Whoever must not wait asks a Sampler.
    """
    return _source(os.getpid(), tuple(declared)).read(processes=processes)


@lru_cache(maxsize=4)
def _source(_process_id: int, declared: tuple[GpuReading, ...]) -> Source:
    """One for each process: after fork() the child opens NVML for itself, and its lock is nobody else's."""
    from gpucache.telemetry.from_nvml import NvmlSource

    return NvmlSource(declared=declared)
