"""The GPUs that a driver gives out: looked at when the first call wants one, read again and again from then on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gpucache.config import cuda_variables
from gpucache.events import Degraded, hooks
from gpucache.runtime.events import GpusRead
from gpucache.runtime.gpus import GpusOfFleet
from gpucache.telemetry import CudaSettings, Fleet, Sampler, read_fleet, visible

READ_EVERY_S = 1.0
"""How long a call may wait for memory that someone else has given back already."""


class GpuWatch:
    """Of those GPUs that this process may see. What is wrong with any of them is said once.

    Args:
        read: What the GPUs say; asked by begin() and, unless it is read_fleet itself, by the sampler's thread.
        tell: Hears of each later reading, in the sampler's thread.
    """

    def __init__(self, read: Callable[[], Fleet], tell: Callable[[GpusRead], None]) -> None:
        self._read = read
        self._tell = tell
        self._places: GpusOfFleet | None = None
        self._sampler: Sampler | None = None
        self._said: set[str] = set()
        self._closed = threading.Event()

    def begin(self) -> GpusOfFleet | None:
        """The places for workers, watched until close(); None where there are no GPUs, and then all runs on CPUs."""
        fleet = visible(self._read(), CudaSettings.from_env(cuda_variables()))
        why = "; ".join(fleet.problems)
        if not fleet.devices:
            hooks.emit(Degraded("tasks that ask for a GPU run on CPUs", why or "NVML shows none"))
            return None
        if fleet.problems:
            hooks.emit(Degraded("not every GPU is used", why))
        self._places = GpusOfFleet(fleet)
        source = None if self._read is read_fleet else _Asked(self._read)
        self._sampler = Sampler(source, every_s=READ_EVERY_S, on_reading=self._hear)
        return self._places

    @property
    def places(self) -> GpusOfFleet | None:
        """What begin() gave."""
        return self._places

    def largest_bytes(self) -> int | None:
        """What the largest GPU that is well can give; None before begin(), or where there is none."""
        return None if self._places is None else self._places.largest_bytes()

    def close(self) -> None:
        """Read no more. Does not wait for a reading that is under way."""
        self._closed.set()
        if self._sampler is not None:
            self._sampler.close()

    def _hear(self, fleet: Fleet) -> None:
        if self._closed.is_set() or self._places is None:
            return
        self._tell(GpusRead(fleet))
        for uuid, why in self._places.troubles().items():
            if uuid not in self._said:
                self._said.add(uuid)
                hooks.emit(Degraded(f"{uuid} gets no new worker", why))


class _Asked:
    """A source of readings that is a function."""

    def __init__(self, ask: Callable[[], Fleet]) -> None:
        self._ask = ask

    def read(self, *, processes: bool = False) -> Fleet:
        return self._ask()
