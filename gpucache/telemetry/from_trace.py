"""Readings that were recorded: the twin of NVML, for tests and replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpucache.telemetry.reading import Fleet


class TraceSource:
    """Gives the recorded fleets one after another, and the last one again and again."""

    def __init__(self, fleets: Sequence[Fleet]) -> None:
        if not fleets:
            raise ValueError("a trace has at least one fleet")
        self._waiting = list(fleets)

    def read(self, *, processes: bool = False) -> Fleet:
        """The next fleet of the trace; without its processes unless they are asked for."""
        fleet = self._waiting.pop(0) if len(self._waiting) > 1 else self._waiting[0]
        if processes:
            return fleet
        return replace(fleet, gpus=tuple(replace(gpu, processes=None) for gpu in fleet.gpus))
