"""A driver that is missing, mismatched, gone, or hangs: what is known stays, why is said, and nobody waits for long."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from fake_nvml import GIB, FakeNvml, gpu, mig, uuid

from gpucache.events import Degraded, hooks
from gpucache.telemetry import declared_gpu
from gpucache.telemetry.from_nvml import NvmlSource

SOON_S = 0.25  # a time limit that a test can wait for; the fake answers in microseconds
LATER_S = 30.0  # one that is never reached


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What was said to whoever listens, in order."""
    heard: list[str] = []

    def hear(event: object) -> None:
        if isinstance(event, Degraded):
            heard.append(event.what)

    hooks.add(hear)
    yield heard
    hooks.remove(hear)


@pytest.mark.slow
def test_no_driver_at_all(tmp_path) -> None:
    """Where there is no library the fleet is empty and says so; nothing raises."""
    script = (
        "import ctypes, sys, pynvml\n"
        "def none(name, *rest, **more): raise OSError(name)\n"
        "pynvml.CDLL = none\n"
        "from gpucache.telemetry import read_fleet\n"
        "fleet = read_fleet()\n"
        "print(len(fleet.gpus), *fleet.problems, sep='|')"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0|NVML can't be used: NVML Shared Library Not Found"


@pytest.mark.parametrize(
    ("status", "words"), [(18, "NVML/RM version mismatch"), (9, "Driver Not Loaded"), (4, "Insufficient Permissions")]
)
def test_a_driver_that_cant_be_opened(fake_nvml: FakeNvml, status: int, words: str) -> None:
    """A version mismatch (driver upgraded under a running kernel module), no module, no permission: no GPUs, and why."""
    fake_nvml.says(gpu(0), f"fail nvmlInitWithFlags {status}")

    fleet = NvmlSource().read()

    assert fleet.gpus == ()
    assert words in fleet.problems[0]


def test_a_driver_that_comes_back(fake_nvml: FakeNvml) -> None:
    """What could not be opened is tried again at the next reading."""
    source = NvmlSource()
    fake_nvml.says(gpu(0), "fail nvmlInitWithFlags 9")
    assert source.read().gpus == ()

    fake_nvml.says(gpu(0))

    assert [one.uuid for one in source.read().gpus] == [uuid(0)]


def test_a_gpu_that_falls_off_the_bus(fake_nvml: FakeNvml, said: list[str]) -> None:
    """It is lost between two readings: the others are read on, it is named, and that is said once."""
    source = NvmlSource()
    fake_nvml.says(gpu(0), gpu(1), gpu(2))
    assert len(source.read().gpus) == 3

    fake_nvml.says(gpu(0), gpu(1), gpu(2), "vanish 1 after 0")
    fleets = [source.read() for _ in range(3)]

    for fleet in fleets:
        assert [one.uuid for one in fleet.gpus] == [uuid(0), uuid(2)]
        assert fleet.lost == (uuid(1),)
        assert fleet.problems == (f"GPU 1 ({uuid(1)}) can't be read: GPU is lost",)
    assert said == [f"{uuid(1)} is lost"]


@pytest.mark.parametrize("calls", range(0, 24, 3))
def test_a_gpu_that_is_lost_within_a_reading(fake_nvml: FakeNvml, calls: int) -> None:
    """At whichever call it goes, there is no half a reading of it."""
    source = NvmlSource()
    fake_nvml.says(gpu(0), gpu(1))
    source.read()

    fake_nvml.says(gpu(0), gpu(1), f"vanish 1 after {calls}")
    one, two = source.read(), source.read()

    assert {len(one.gpus), len(two.gpus)} <= {1, 2}
    assert [reading.uuid for reading in two.gpus] == [uuid(0)]
    for fleet in (one, two):
        assert set(fleet.lost) | {reading.uuid for reading in fleet.gpus} == {uuid(0), uuid(1)}


def test_a_gpu_that_was_never_there(fake_nvml: FakeNvml) -> None:
    """One that has no handle from the start is a problem, not the end of the others."""
    fake_nvml.says(gpu(0), gpu(1), "vanish 0 after 0")

    fleet = NvmlSource().read()

    assert [one.index for one in fleet.gpus] == [1]
    assert fleet.problems == ("GPU 0 can't be opened: GPU is lost",)


def test_all_gpus_unplugged_and_plugged_in(fake_nvml: FakeNvml) -> None:
    """When nothing is left NVML is opened anew, so that what comes later is found."""
    source = NvmlSource()
    fake_nvml.says(gpu(0))
    source.read()
    fake_nvml.says()
    assert source.read().gpus == ()

    fake_nvml.says(gpu(0), gpu(1))

    assert [one.uuid for one in source.read().gpus] == [uuid(0), uuid(1)]


def test_the_driver_is_unloaded(fake_nvml: FakeNvml, said: list[str]) -> None:
    """When NVML can't be opened any more, the GPUs stay with their sizes, without readings, with the reason."""
    source = NvmlSource()
    fake_nvml.says(gpu(0, memory_used_bytes=GIB))
    source.read()
    fake_nvml.says("fail nvmlInitWithFlags 9")
    assert source.read().lost == (uuid(0),)

    fleet = source.read()

    assert [(one.uuid, one.memory_total_bytes, one.memory_used_bytes) for one in fleet.gpus] == [
        (uuid(0), 141 * GIB, None)
    ]
    assert fleet.problems == ("NVML can't be used: Driver Not Loaded; sizes are those read earlier",)
    assert said == [f"{uuid(0)} is lost", "GPUs are taken to be what was read earlier"]


def test_the_driver_is_upgraded_under_us(fake_nvml: FakeNvml, said: list[str]) -> None:
    """The library and the kernel's module differ from one call to the next: sizes stay, it is said once, a new driver is found."""
    source = NvmlSource()
    fake_nvml.says(gpu(0))
    source.read()
    mismatch = ("fail nvmlDeviceGetPowerUsage 18", "fail nvmlInitWithFlags 18")
    fake_nvml.says(gpu(0), *mismatch)
    fleets = [source.read() for _ in range(4)]

    assert fleets[0].lost == (uuid(0),)
    for fleet in fleets[1:]:
        assert re.fullmatch(r"NVML can't be used: .*version mismatch.*; sizes are those read earlier", *fleet.problems)
    assert said == [f"{uuid(0)} is lost", "GPUs are taken to be what was read earlier"]
    fake_nvml.says(gpu(0))
    assert source.read().problems == ()


def test_an_older_nvidia_ml_py(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that the installed bindings don't have is one absent value, with that reason."""
    monkeypatch.delattr("pynvml.nvmlDeviceGetRemappedRows")
    fake_nvml.says(gpu(0))

    (reading,) = NvmlSource().read().gpus

    assert reading.row_remaps is None
    why = "this version of nvidia-ml-py does not know the call (nvmlDeviceGetRemappedRows)"
    assert reading.why_absent("row_remaps") == why


def test_whatever_the_bindings_raise_is_an_answer(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the bindings is a problem in words, at once; it is neither raised nor taken for a hang."""

    def broken(handle: object) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr("pynvml.nvmlDeviceGetName", broken)
    fake_nvml.says(gpu(0))

    fleet = NvmlSource(LATER_S).read()

    assert fleet.gpus == ()
    assert fleet.problems[0].startswith("NVML can't be used: 'utf-8' codec can't decode byte 0xff")


# ---------------------------------------------------------------- hanging


def test_a_call_that_hangs_costs_the_time_limit(fake_nvml: FakeNvml, said: list[str]) -> None:
    """The caller goes on after the limit, with sizes in the place of readings, and hears which call it was."""
    fake_nvml.says(gpu(0, memory_used_bytes=GIB))
    source = NvmlSource(LATER_S)
    before = source.read().gpus[0]
    source._time_limit_s = SOON_S

    fake_nvml.says(gpu(0), "hang nvmlDeviceGetPowerUsage on 0")
    began = time.monotonic()
    fleet = source.read()
    took_s = time.monotonic() - began

    (reading,) = fleet.gpus
    assert took_s < LATER_S
    assert (reading.uuid, reading.memory_total_bytes) == (before.uuid, before.memory_total_bytes)
    assert (reading.memory_used_bytes, reading.memory_free_bytes, reading.power_w) == (None, None, None)
    why = "NVML did not answer within 0.25 s (nvmlDeviceGetPowerUsage on GPU 0)"
    assert fleet.problems == (f"{why}; sizes are those read earlier",)
    assert reading.why_absent("power_w") == why
    assert said == ["GPUs are taken to be what was read earlier"]


def test_what_was_read_before_a_call_that_hangs_counts(fake_nvml: FakeNvml, said: list[str]) -> None:
    """One GPU hangs at the very first reading: those before it are not lost with it; it is named, and nobody is given it."""
    fake_nvml.says(gpu(0, memory_used_bytes=GIB), gpu(1), gpu(2), "hang nvmlDeviceGetPowerUsage on 1")
    source = NvmlSource(SOON_S)

    fleet, next_one = source.read(), source.read()

    assert [(one.uuid, one.memory_used_bytes) for one in fleet.gpus] == [(uuid(0), GIB)]
    why = "NVML did not answer within 0.25 s (nvmlDeviceGetPowerUsage on GPU 1)"
    assert fleet.problems == (f"{why}; nothing is read of {uuid(1)}, {uuid(2)}",)
    assert fleet.driver_version == "570.86.15"
    assert [(one.memory_total_bytes, one.memory_used_bytes) for one in next_one.gpus] == [(141 * GIB, None)]
    assert said == ["not all GPUs are read", "GPUs are taken to be what was read earlier"]


def test_gpus_that_were_read_earlier_stay_beside_those_read_now(fake_nvml: FakeNvml) -> None:
    """With their sizes, in order, and the reason in the place of readings."""
    fake_nvml.says(gpu(0), gpu(1), gpu(2))
    source = NvmlSource(LATER_S)
    source.read()
    source._time_limit_s = SOON_S

    fake_nvml.says(gpu(0, power_mw=99_000), gpu(1), gpu(2), "hang nvmlDeviceGetPowerUsage on 1")
    fleet = source.read()

    assert [(one.uuid, one.memory_total_bytes, one.power_w) for one in fleet.gpus] == [
        (uuid(0), 141 * GIB, 99.0),
        (uuid(1), 141 * GIB, None),
        (uuid(2), 141 * GIB, None),
    ]
    assert fleet.lost == ()


def test_while_a_call_hangs_nobody_waits_again(fake_nvml: FakeNvml, said: list[str]) -> None:
    """Until the call has come back, each reading answers at once, and nothing more is said."""
    fake_nvml.says(gpu(0))
    source = NvmlSource(LATER_S)
    source.read()
    fake_nvml.says(gpu(0), "hang nvmlDeviceGetPowerUsage")
    source._time_limit_s = SOON_S
    source.read()

    source._time_limit_s = LATER_S
    began = time.monotonic()
    fleets = [source.read() for _ in range(50)]

    assert time.monotonic() - began < LATER_S
    assert {fleet.problems for fleet in fleets} == {
        ("NVML has not answered an earlier call yet (nvmlDeviceGetPowerUsage on GPU 0); sizes are those read earlier",)
    }
    assert said == ["GPUs are taken to be what was read earlier"]


def test_a_call_that_comes_back(fake_nvml: FakeNvml) -> None:
    """Once the driver answers again, so do readings."""
    fake_nvml.says(gpu(0), "hang nvmlDeviceGetPowerUsage")
    source = NvmlSource(SOON_S)
    source.read()
    hanging = source._hanging
    assert hanging is not None

    fake_nvml.says(gpu(0, power_mw=99_000))
    hanging.join(LATER_S)
    source._time_limit_s = LATER_S

    fleet = source.read()
    assert [one.power_w for one in fleet.gpus] == [99.0]
    assert fleet.problems == ()


@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetUUID"])
def test_declared_sizes_where_nothing_was_ever_read(fake_nvml: FakeNvml, said: list[str], function: str) -> None:
    """A driver that hangs from the first call on leaves what the owner declared, said once."""
    fake_nvml.says(gpu(0), f"hang {function}")
    source = NvmlSource(SOON_S, declared=[declared_gpu("GPU-mine", 80 * GIB)])

    fleets = [source.read(), source.read()]

    for fleet in fleets:
        assert [(device.uuid, device.room_bytes) for device in fleet.devices] == [("GPU-mine", 80 * GIB)]
        assert fleet.problems[0].endswith("sizes are those declared")
        assert fleet.gpus[0].why_absent("numa_node") == "declared, not read"
        assert (fleet.gpus[0].why_absent("memory_free_bytes") or "").startswith("NVML ")
    assert said == ["GPUs are taken to be what was declared"]


def test_what_is_declared_gives_way_to_what_is_read(fake_nvml: FakeNvml) -> None:
    """Declared sizes are for where no driver answers; one that answers knows better."""
    fake_nvml.says(gpu(0), gpu(1))

    fleet = NvmlSource(declared=[declared_gpu("GPU-mine", 80 * GIB)]).read()

    assert [one.uuid for one in fleet.gpus] == [uuid(0), uuid(1)]


def test_a_declared_size_is_a_size() -> None:
    """No GPU has no memory: the value and the limit are in the message."""
    with pytest.raises(ValueError, match=r"memory_total_bytes=0 of GPU-x: a GPU has more than 0"):
        declared_gpu("GPU-x", 0)


def test_without_sizes_there_is_no_room(fake_nvml: FakeNvml) -> None:
    """A GPU whose driver gives no memory (unified memory) promises none; a full one promises none either."""
    sizes = ("memory_total_bytes", "memory_reserved_bytes")
    fake_nvml.says(gpu(0, without=sizes), gpu(1, memory_used_bytes=140 * GIB), gpu(2, mig_mode=1), mig(2, 0, 5))

    assert [device.room_bytes for device in NvmlSource().read().devices] == [0, 0, 16 * GIB]


def test_a_scenario_that_cant_be_read_is_no_machine(fake_nvml: FakeNvml, capfd: pytest.CaptureFixture[str]) -> None:
    """The fake itself fails loudly: a typo in a scenario is not a machine without that value."""
    fake_nvml.says(gpu(0), gpu(1, powr_mw=3))

    fleet = NvmlSource().read()

    assert fleet.gpus == ()
    assert ":3 can't be read" in capfd.readouterr().err
