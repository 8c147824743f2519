"""What the GPUs say. `read_fleet()` works on any machine: where there is no GPU it says why."""

from __future__ import annotations

from functools import lru_cache

from gpucache.telemetry.from_trace import TraceSource
from gpucache.telemetry.reading import Fleet, GpuReading, ProcessReading, Source

__all__ = ["Fleet", "GpuReading", "ProcessReading", "Source", "TraceSource", "read_fleet"]


def read_fleet(*, processes: bool = False) -> Fleet:
    """Every GPU of this machine: memory, utilisation, power, temperature, and with `processes` who is on it.

    Any thread may call it. It never raises and waits a few seconds at most: without a driver, or with one that hangs,
    the fleet is empty and Fleet.problems says why. After fork() call it only in one of the two processes.
    """
    return _source().read(processes=processes)


@lru_cache(maxsize=1)
def _source() -> Source:
    from gpucache.telemetry.from_nvml import NvmlSource

    return NvmlSource()
