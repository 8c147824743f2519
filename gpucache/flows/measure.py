"""What a call takes of its worker: the peak of device memory, and how far the peak of host memory grew.

Device memory is this process's own: PyTorch's count where the process uses PyTorch with CUDA, else what NVML says of its id on
the worker's GPUs. In a container NVML counts ids as the host does; then a process without PyTorch says nothing, and one with it
adds what the GPU holds beside PyTorch's memory, up to what a CUDA context takes: too much where neighbours hold memory
there, but a demand that is learned too small fails.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress

from gpucache.telemetry import Fleet, GpuReading, MigReading, Sampler, read_fleet
from gpucache.workers.context import current
from gpucache.workers.holding import cuda_in_use

EVERY_S = 0.2
"""Listing processes takes the driver's lock for milliseconds."""

CONTEXT_MAX_BYTES = 2**30
"""What a CUDA context and its libraries' workspaces are believed to take at most: more is a neighbour's."""

GPU_PEAK = "gpu_peak_bytes"
HOST_GROWTH = "host_peak_growth_bytes"
"""Names in a record's note."""


class Measure:
    """From begin to end of one call in a worker. What nobody can say is None.

    Attributes:
        gpu_peak_bytes: Device memory of this process on the GPU where it held most.
        host_peak_growth_bytes: What the peak of host memory grew by; 0 for a call that stayed below an earlier one.
    """

    def __init__(self, read: Callable[..., Fleet] = read_fleet) -> None:
        self._read = read
        self.gpu_peak_bytes: int | None = None
        self.host_peak_growth_bytes: int | None = None
        worker = current()
        self._gpus = () if worker is None else worker.gpus
        self._sampler: Sampler | None = None
        self._seen: list[int] = []
        self._host_before_bytes = _host_peak_bytes()

    def __enter__(self) -> Measure:
        if not self._gpus:
            return self
        cuda = cuda_in_use()
        if cuda is None:
            self._sampler = Sampler(_Asked(self._read), every_s=EVERY_S, processes=True, on_reading=self._hear)
        else:
            with suppress(RuntimeError):  # a context that an earlier call broke: the call itself will say so
                for index in range(cuda.device_count()):
                    cuda.reset_peak_memory_stats(index)
        return self

    def __exit__(self, *_: object) -> None:
        self.host_peak_growth_bytes = max(0, _host_peak_bytes() - self._host_before_bytes)
        if self._sampler is not None:
            self._sampler.close()
        if not self._gpus:
            return
        fleet = self._read(processes=True)
        self._hear(fleet)
        cuda = cuda_in_use()
        if cuda is not None:
            indices = range(cuda.device_count())
            counted = max((cuda.max_memory_allocated(index) for index in indices), default=0)
            self.gpu_peak_bytes = counted + self._beside(fleet, [cuda.memory_reserved(index) for index in indices])
        elif self._seen:
            self.gpu_peak_bytes = max(self._seen)

    def _beside(self, fleet: Fleet, kept: list[int]) -> int:
        """What the driver counts beside PyTorch's pools, `kept` on each GPU: the CUDA context, libraries' workspaces."""
        if self._seen:
            return max(0, self._seen[-1] - max(kept, default=0))
        used = used_on(fleet)
        there = [used.get(uuid, 0) - nbytes for uuid, nbytes in zip(self._gpus, kept, strict=False)]
        return min(CONTEXT_MAX_BYTES, max(0, *there)) if there else 0

    def note(self) -> dict[str, str | float | int]:
        """For the record: what is known."""
        told = {GPU_PEAK: self.gpu_peak_bytes, HOST_GROWTH: self.host_peak_growth_bytes}
        return {name: value for name, value in told.items() if value is not None}

    def _hear(self, fleet: Fleet) -> None:
        held = held_by(fleet, os.getpid(), self._gpus)
        if held is not None:
            self._seen.append(held)


def held_by(fleet: Fleet, pid: int, gpus: tuple[str, ...]) -> int | None:
    """The most that a process holds on any of these GPUs; None where the driver does not say, or counts ids otherwise."""
    if fleet.pids_are_hosts is not False:
        return None
    held = [
        process.memory_used_bytes
        for gpu in fleet.gpus
        for process in gpu.processes or ()
        if process.pid == pid and process.memory_used_bytes is not None and gpu.device_of(process) in gpus
    ]
    return max(held, default=None)


def used_on(fleet: Fleet) -> dict[str, int]:
    """What anyone has taken of each GPU and MIG instance, as far as it was read."""
    parts: list[GpuReading | MigReading] = [*fleet.gpus, *(one for gpu in fleet.gpus for one in gpu.mig or ())]
    return {part.uuid: part.memory_used_bytes for part in parts if part.memory_used_bytes is not None}


class _Asked:
    """A source of readings that is a function."""

    def __init__(self, ask: Callable[..., Fleet]) -> None:
        self._ask = ask

    def read(self, *, processes: bool = False) -> Fleet:
        return self._ask(processes=processes)


def _host_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): KiB on Linux, bytes on macOS
