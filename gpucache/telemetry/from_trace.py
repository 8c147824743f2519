"""Readings that were recorded: the twin of NVML, for tests, replays and simulations on machines without a GPU.

A trace is JSON lines: a head that names the format, then one Fleet a line, in the order of time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import IO, Self

from gpucache.telemetry.reading import Fleet, GpuReading, Source

SCHEMA = "gpucache.fleet-trace/1"


class TraceSource:
    """Gives the recorded fleets one after another, and the last one again and again."""

    def __init__(self, fleets: Sequence[Fleet]) -> None:
        if not fleets:
            raise ValueError("a trace has at least one fleet")
        self._waiting = list(fleets)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """The trace that a RecordingSource wrote; see read_trace for what it raises."""
        return cls(read_trace(path))

    def read(self, *, processes: bool = False) -> Fleet:
        """The next fleet of the trace; without its processes unless they are asked for."""
        fleet = self._waiting.pop(0) if len(self._waiting) > 1 else self._waiting[0]
        return fleet if processes else replace(fleet, gpus=tuple(map(_without_processes, fleet.gpus)))


class RecordingSource:
    """Reads another source and writes down what it said. The file is begun anew; each reading is in it once read() returns."""

    def __init__(self, source: Source, path: str | os.PathLike[str]) -> None:
        self._source = source
        self._file: IO[bytes] = open(path, "wb", buffering=0)  # noqa: SIM115  # closed by close(); unbuffered: a killed recorder loses at most a line
        self._write({"schema": SCHEMA})

    def read(self, *, processes: bool = False) -> Fleet:
        """What the source says now, also written down."""
        fleet = self._source.read(processes=processes)
        self._write(fleet)
        return fleet

    def close(self) -> None:
        """The trace is complete."""
        self._file.close()

    def _write(self, line: object) -> None:
        import msgspec

        self._file.write(msgspec.json.encode(line) + b"\n")


def _without_processes(gpu: GpuReading) -> GpuReading:
    if gpu.processes is None:
        return gpu
    return replace(gpu, processes=None, absent=(*gpu.absent, ("processes", "not asked for")))


def read_trace(path: str | os.PathLike[str]) -> tuple[Fleet, ...]:
    """The fleets of a recorded trace.

    Raises:
        OSError: The file can't be read.
        ValueError: It is no trace, or a line is damaged; says the file, the line and what was expected.
    """
    with open(path, "rb") as file:
        return _parse(file, os.fspath(path))


def _parse(lines: Iterable[bytes], path: str) -> tuple[Fleet, ...]:
    import msgspec

    decoder = msgspec.json.Decoder(Fleet)
    fleets: list[Fleet] = []
    for number, line in enumerate(lines, 1):
        try:
            if number > 1:
                fleets.append(decoder.decode(line))
            elif json.loads(line) != {"schema": SCHEMA}:
                raise ValueError(f"the head says {line.strip()!r}")
        except ValueError as problem:
            expected = f'{{"schema":"{SCHEMA}"}}' if number == 1 else "a fleet"
            raise ValueError(f"{path}:{number}: expected {expected}: {problem}") from None
    if not fleets:
        raise ValueError(f"{path}: expected a head and at least one fleet, found none")
    return tuple(fleets)
