"""What every source of readings keeps, whether a driver, a trace or a recorder is behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from fake_nvml import FakeNvml, gpu, mig

from gpucache.telemetry import Fleet, RecordingSource, Source, TraceSource
from gpucache.telemetry.from_nvml import NvmlSource

TRACE = Path(__file__).parents[1] / "data" / "fleet_trace.jsonl"
MACHINES = {
    "two GPUs": [gpu(0), gpu(1, without=("power_mw",)), "process 0 pid 7 memory_bytes 1024"],
    "a GPU cut in two": [gpu(0, mig_mode=1), mig(0, 0, 5), mig(0, 1, 6)],
    "a GPU that is lost": [gpu(0), gpu(1), "vanish 1 after 40"],
    "no driver": ["fail nvmlInitWithFlags 9"],
    "no GPU": [],
}


@pytest.fixture(params=[*MACHINES, "a trace", "a recorder"])
def source(request: pytest.FixtureRequest, fake_nvml: FakeNvml, tmp_path: Path) -> Iterator[Source]:
    if request.param == "a trace":
        yield TraceSource.from_file(TRACE)
        return
    fake_nvml.says(*MACHINES.get(request.param, MACHINES["two GPUs"]))
    if request.param != "a recorder":
        yield NvmlSource()
        return
    recorder = RecordingSource(NvmlSource(), tmp_path / "trace.jsonl")
    yield recorder
    recorder.close()


@pytest.fixture
def readings(source: Source) -> list[Fleet]:
    return [source.read(processes=processes) for processes in (False, True, False, True, True)]


def test_uuids_are_one_gpu_each(readings: list[Fleet]) -> None:
    """No device twice; what is lost is not among what is there; indices rise."""
    for fleet in readings:
        uuids = [device.uuid for device in fleet.devices]
        assert len(set(uuids)) == len(uuids)
        assert not {one.uuid for one in fleet.gpus} & set(fleet.lost)
        assert [one.index for one in fleet.gpus] == sorted({one.index for one in fleet.gpus})


def test_what_is_absent_has_a_reason(readings: list[Fleet]) -> None:
    """Each None of each GPU is explained; a fleet without GPUs, and one that lost some, says why, or has none to lose."""
    for fleet in readings:
        for one in fleet.gpus:
            missing = {field.name for field in fields(one) if getattr(one, field.name) is None}
            assert {field for field, _ in one.absent} == missing
        assert not fleet.lost or fleet.problems


def test_processes_only_for_those_who_ask(readings: list[Fleet]) -> None:
    """The list costs the driver milliseconds under its lock: without asking there is none, and that is the reason."""
    for fleet in (readings[0], readings[2]):
        assert {one.why_absent("processes") for one in fleet.gpus} <= {"not asked for"}


def test_readings_come_in_the_order_of_time(readings: list[Fleet]) -> None:
    """A later reading is not dated before an earlier one, nor in the future."""
    dates = [fleet.read_at_ns for fleet in readings]

    assert dates == sorted(dates)
    assert dates[-1] <= time.monotonic_ns()


def test_memory_is_no_more_than_there_is(readings: list[Fleet]) -> None:
    """Used and free are at most the total; what can be promised is at most what is free."""
    for fleet in readings:
        for one in fleet.gpus:
            assert one.memory_total_bytes is not None
            assert one.memory_used_bytes is not None
            assert one.memory_free_bytes is not None
            assert one.memory_used_bytes + one.memory_free_bytes <= one.memory_total_bytes
        assert all(device.room_bytes >= 0 for device in fleet.devices)
