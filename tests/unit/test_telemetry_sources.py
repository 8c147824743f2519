"""A sampler that nobody waits for, and readings that were recorded."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fake_nvml import GIB, FakeNvml, gpu, uuid

from gpucache.telemetry import Fleet, GpuReading, RecordingSource, Sampler, TraceSource, read_trace
from gpucache.telemetry.from_nvml import NvmlSource

TRACE = Path(__file__).parents[1] / "data" / "fleet_trace.jsonl"
LONG_S = 30.0


def fleet(used_gib: int, read_at_ns: int = 0) -> Fleet:
    return Fleet((GpuReading("GPU-0", 0, "a GPU", 80 * GIB, used_gib * GIB, (80 - used_gib) * GIB),), read_at_ns)


class Hangs:
    """A source that answers once and then not again until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.hangs = threading.Event()
        self.released = threading.Event()

    def read(self, *, processes: bool = False) -> Fleet:
        self.asked += 1
        if self.asked > 1:
            self.hangs.set()
            self.released.wait(LONG_S)
        return fleet(self.asked, read_at_ns=1_000_000_000)


def test_the_last_reading_with_its_age() -> None:
    """latest() gives what was read last and how long ago that began, on the sampler's clock."""
    with Sampler(TraceSource([fleet(1, read_at_ns=500_000_000)]), clock_ns=lambda: 3_000_000_000) as sampler:
        sample = sampler.wait(LONG_S)

    assert sample is not None
    assert (sample.fleet, sample.age_s) == (fleet(1, read_at_ns=500_000_000), 2.5)


def test_a_driver_that_hangs_makes_readings_old_not_late() -> None:
    """While the source hangs, latest() answers with the last reading, which grows older."""
    now = [1_000_000_000]
    source = Hangs()
    with Sampler(source, every_s=1e-6, clock_ns=lambda: now[0]) as sampler:
        assert source.hangs.wait(LONG_S)
        now[0] = 61_000_000_000
        sample = sampler.latest()
        source.released.set()

    assert sample is not None
    assert (sample.fleet, sample.age_s) == (fleet(1, 1_000_000_000), 60.0)


class Fails:
    """A source of someone's own that raises at first, and then reads."""

    def __init__(self, fails: int) -> None:
        self.left = fails

    def read(self, *, processes: bool = False) -> Fleet:
        self.left -= 1
        if self.left >= 0:
            raise OSError("the file of readings is gone")
        return fleet(7)


def test_a_source_or_a_listener_that_raises_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Readings go on after both: a sampler that had died in silence would show an old machine for ever."""
    heard: list[Fleet] = []

    def hear(read: Fleet) -> None:
        heard.append(read)
        raise ZeroDivisionError("in the listener")

    with Sampler(Fails(3), every_s=1e-6, on_reading=hear) as sampler:
        sample = sampler.wait(LONG_S, after=2)

    assert sample is not None
    assert sample.fleet == fleet(7)
    assert len(heard) >= 2
    assert [record.message for record in caplog.records] == [
        "the GPUs are not read: OSError: the file of readings is gone",
        "whoever listens to readings of the GPUs is told of each, and failed: ZeroDivisionError: in the listener",
    ]


def test_before_the_first_reading_there_is_none() -> None:
    """Nothing was read yet: None, at once; waiting for it ends at its time limit."""
    source = Hangs()
    source.asked = 1
    with Sampler(source) as sampler:
        assert source.hangs.wait(LONG_S)
        assert (sampler.latest(), sampler.wait(0.001), sampler.reading_count) == (None, None, 0)
        source.released.set()


def test_a_sampler_reads_on() -> None:
    """Each reading replaces the one before; whoever wants a newer one can wait for it."""
    with Sampler(TraceSource([fleet(1), fleet(2), fleet(3)]), every_s=1e-6) as sampler:
        sample = sampler.wait(LONG_S, after=2)

    assert sample is not None
    assert sample.fleet == fleet(3)


def test_a_sampler_of_this_machine_watches_for_xids(fake_nvml: FakeNvml) -> None:
    """Without a source it reads NVML, and has Xids: () where nothing happened, not None."""
    fake_nvml.says(gpu(0))

    with Sampler() as sampler:
        sample = sampler.wait(LONG_S)

    assert sample is not None
    assert [one.xids for one in sample.fleet.gpus] == [()]


def test_no_time_between_readings_is_refused() -> None:
    """Reading without a pause would keep a core and the driver's lock busy."""
    with pytest.raises(ValueError, match=r"every_s=0: the time between two readings is more than 0 seconds"):
        Sampler(TraceSource([fleet(1)]), every_s=0)


# ---------------------------------------------------------------- traces


def test_what_was_recorded_is_what_was_read(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Every field of every reading, absent ones and their reasons too, comes back from the file the same."""
    links = ["nvlink 0 link 0 to 1", "nvlink 1 link 0 to 0", "process 0 pid 9 memory_bytes na"]
    recording = RecordingSource(NvmlSource(), tmp_path / "trace.jsonl")
    read = []
    for used_gib in (0, 40):
        fake_nvml.says(gpu(0, memory_used_bytes=used_gib * GIB), gpu(1, without=("power_mw",)), *links)
        read.append(recording.read(processes=True))
    recording.close()

    replayed = TraceSource.from_file(tmp_path / "trace.jsonl")

    assert [replayed.read(processes=True) for _ in range(3)] == [*read, read[-1]]
    assert replayed.read().gpus[0].processes is None


def test_a_trace_is_read_as_it_was_written() -> None:
    """tests/data/fleet_trace.jsonl, kept from an earlier version, is still understood: memory fills, then a GPU is lost."""
    fleets = read_trace(TRACE)

    assert [[one.memory_used_bytes for one in each.gpus] for each in fleets] == [
        [0, 0],
        [12 * GIB, 0],
        [96 * GIB, 3 * GIB],
        [96 * GIB],
    ]
    assert fleets[-1].lost == (uuid(1),)
    assert [each.read_at_ns for each in fleets] == [0, 1_000_000_000, 2_000_000_000, 3_000_000_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r": expected a head and at least one fleet, found none$"),
        ('{"schema":"gpucache.fleet-trace/1"}\n', r": expected a head and at least one fleet, found none$"),
        ('{"schema":"other/1"}\n', r":1: expected \{\"schema\":\"gpucache.fleet-trace/1\"\}: the head says"),
        ("not json\n", r":1: expected \{\"schema\""),
        ('{"schema":"gpucache.fleet-trace/1"}\n{"gpus":[],"read_at_ns":0}\n{"gpus":3}\n', r":3: expected a fleet: "),
        ('{"schema":"gpucache.fleet-trace/1"}\n{"gpus":[],"read_at', r":2: expected a fleet: "),
    ],
)
def test_a_damaged_trace_says_where(tmp_path: Path, text: str, message: str) -> None:
    """File, line and what was expected; no half a trace."""
    path = tmp_path / "trace.jsonl"
    path.write_text(text)

    with pytest.raises(ValueError, match=message):
        read_trace(path)


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is the operating system's own error, with its name."""
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        read_trace(tmp_path / "none.jsonl")
