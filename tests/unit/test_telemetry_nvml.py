"""What the GPUs say, through nvidia-ml-py on a driver that is not there (csrc/fake_nvml)."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import fields, replace

import pytest
from fake_nvml import GIB, H200, FakeNvml, gpu, mig, mig_uuid, uuid

from gpucache.telemetry import Fleet, GpuReading, MigReading, NvLink, PathBetween, ProcessReading, RowRemaps
from gpucache.telemetry.from_nvml import NvmlSource
from gpucache.telemetry.process_ids import are_hosts
from gpucache.telemetry.rows import process_rows


def only(fleet: Fleet) -> GpuReading:
    (one,) = fleet.gpus
    return one


@pytest.mark.slow
def test_another_process_finds_the_fake_as_the_machines_driver(fake_nvml: FakeNvml) -> None:
    """LD_LIBRARY_PATH is all it takes: read_fleet(), unchanged, sees the scenario's GPUs."""
    fake_nvml.says(gpu(0), gpu(1))
    script = "from gpucache.telemetry import read_fleet; print(*[gpu.uuid for gpu in read_fleet().gpus])"

    done = subprocess.run(
        [sys.executable, "-c", script], env=fake_nvml.environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == [uuid(0), uuid(1)]


def test_every_gpu_is_read(fake_nvml: FakeNvml) -> None:
    """Several GPUs, by index, each with its own UUID; the driver's versions beside them."""
    fake_nvml.says(*map(gpu, range(8)))

    fleet = NvmlSource().read()

    assert [(one.index, one.uuid) for one in fleet.gpus] == [(index, uuid(index)) for index in range(8)]
    assert (fleet.driver_version, fleet.cuda_version, fleet.problems, fleet.lost) == ("570.86.15", "12.8", (), ())


def test_each_value_in_its_unit(fake_nvml: FakeNvml) -> None:
    """Milliwatts are watts, percent are fractions, bits are words; every number lands in its own field."""
    values = {
        "memory_used_bytes": 40 * GIB,
        "utilisation_percent": 75,
        "memory_bus_percent": 20,
        "power_mw": 412_500,
        "temperature_c": 63,
        "sm_clock_mhz": 1755,
        "memory_clock_mhz": 3100,
        "throttle_bits": 0x4 | 0x40 | 0x8000,
        "ecc_corrected": 3,
        "ecc_uncorrected": 1,
        "rows_corrected": 1,
        "rows_uncorrected": 2,
        "rows_pending": 1,
        "numa_node": 1,
    }
    fake_nvml.says(gpu(0, **values))

    assert only(NvmlSource().read()) == GpuReading(
        uuid=uuid(0),
        index=0,
        name="NVIDIA H200",
        memory_total_bytes=141 * GIB,
        memory_used_bytes=40 * GIB,
        memory_free_bytes=100 * GIB,
        memory_reserved_bytes=GIB,
        utilisation_fraction=0.75,
        utilisation_window_s=0.166667,
        memory_bus_fraction=0.2,
        power_w=412.5,
        power_limit_w=700.0,
        temperature_c=63.0,
        clock_sm_mhz=1755,
        clock_memory_mhz=3100,
        clock_sm_max_mhz=1980,
        clock_memory_max_mhz=3201,
        throttle_reasons=("software power cap", "hardware thermal slowdown", "unknown (0x8000)"),
        ecc_is_on=True,
        ecc_corrected_count=3,
        ecc_uncorrected_count=1,
        row_remaps=RowRemaps(1, 2, is_pending=True, has_failed=False),
        xids=None,
        mig_is_on=False,
        mig=None,
        compute_capability=(9, 0),
        pci_bus_id="00000000:10:00.0",
        numa_node=1,
        pcie_generation=5,
        pcie_lanes=16,
        nvlinks=None,
        processes=None,
        absent=(
            ("nvlinks", "Not Supported"),
            ("mig", "MIG is off"),
            ("processes", "not asked for"),
            ("xids", "nobody watches; a Sampler does"),
        ),
    )


# What each key of a scenario's `gpu` line gives, by the name of the reading.
FIELD_OF = {
    "utilisation_percent": "utilisation_fraction",
    "sample_period_us": "utilisation_window_s",
    "power_mw": "power_w",
    "power_limit_mw": "power_limit_w",
    "temperature_c": "temperature_c",
    "sm_clock_mhz": "clock_sm_mhz",
    "memory_clock_mhz": "clock_memory_mhz",
    "sm_clock_max_mhz": "clock_sm_max_mhz",
    "memory_clock_max_mhz": "clock_memory_max_mhz",
    "throttle_bits": "throttle_reasons",
    "ecc": "ecc_is_on",
    "ecc_corrected": "ecc_corrected_count",
    "ecc_uncorrected": "ecc_uncorrected_count",
    "rows_failed": "row_remaps",
    "numa_node": "numa_node",
    "pcie_generation": "pcie_generation",
    "pcie_lanes": "pcie_lanes",
    "compute_capability": "compute_capability",
    "mig_mode": "mig_is_on",
    "memory_reserved_bytes": "memory_reserved_bytes",
    "memory_total_bytes": "memory_total_bytes",
}


@pytest.mark.parametrize("key", sorted(FIELD_OF))
def test_what_is_not_supported_is_absent_with_the_reason(fake_nvml: FakeNvml, key: str) -> None:
    """A value that the driver does not support is None, with its words; all others are as they were."""
    fake_nvml.says(gpu(0, without=(key,)))

    reading = only(NvmlSource().read())

    assert getattr(reading, FIELD_OF[key]) is None
    assert reading.why_absent(FIELD_OF[key]) == "Not Supported"
    assert reading.uuid == uuid(0)
    assert reading.why_absent("name") is None


@pytest.mark.parametrize("supported", [True, False])
def test_nothing_is_absent_without_a_reason(fake_nvml: FakeNvml, supported: bool) -> None:
    """On a driver that gives all and on one that gives only names, each None has its reason and nothing else has."""
    fake_nvml.says(gpu(0, without=() if supported else tuple(set(H200) - {"name"})))

    reading = only(NvmlSource().read(processes=True))

    missing = {one.name for one in fields(reading) if getattr(reading, one.name) is None}
    assert {field for field, _ in reading.absent} == missing
    assert len(reading.absent) == len(missing)
    assert all(reason for _, reason in reading.absent)


def test_memory_by_version_1_where_there_is_no_version_2(fake_nvml: FakeNvml) -> None:
    """WSL and old drivers refuse version 2: version 1 counts what is reserved as used, and the reading says so."""
    fake_nvml.says(gpu(0, memory_used_bytes=40 * GIB), "fail nvmlDeviceGetMemoryInfo_v2 3")

    reading = only(NvmlSource().read())

    assert (reading.memory_used_bytes, reading.memory_free_bytes) == (41 * GIB, 100 * GIB)
    assert reading.memory_reserved_bytes is None
    assert reading.why_absent("memory_reserved_bytes") == "Not Supported"


@pytest.mark.parametrize("node", [0, 1, 63, 64, 300])
def test_the_numa_node_of_a_gpu_on_pcie(fake_nvml: FakeNvml, node: int) -> None:
    """The driver says by affinity which node is near; the call named for it answers only where a GPU is a node itself."""
    fake_nvml.says(gpu(0, numa_node=node), "fail nvmlDeviceGetNumaNodeId 3")
    assert only(NvmlSource().read()).numa_node == node

    fake_nvml.says(gpu(0, numa_node=node), "fail nvmlDeviceGetMemoryAffinity 3")
    assert only(NvmlSource().read()).numa_node == node


def test_temperature_by_the_older_call(fake_nvml: FakeNvml) -> None:
    """A driver without nvmlDeviceGetTemperatureV is asked as before."""
    fake_nvml.says(gpu(0, temperature_c=55), "fail nvmlDeviceGetTemperatureV 13")

    assert only(NvmlSource().read()).temperature_c == 55


def test_a_wrong_layout_would_be_seen(fake_nvml: FakeNvml) -> None:
    """The fake refuses a struct of another version, as the driver does: what passes was laid out right."""
    import pynvml

    fake_nvml.says(gpu(0))
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    with pytest.raises(pynvml.NVMLError) as refused:
        pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2 + 1)
    assert refused.value.value == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


def test_layouts_are_those_of_pynvml() -> None:
    """The sizes that csrc/fake_nvml/abi.h asserts are those that the installed nvidia-ml-py passes."""
    import ctypes

    import pynvml

    sizes = {
        pynvml.c_nvmlMemory_v2_t: 40,
        pynvml.c_nvmlProcessInfo_v2_t: 24,
        pynvml.nvmlPciInfo_t: 68,
        pynvml.c_nvmlSample_t: 16,
        pynvml.c_nvmlDeviceAttributes: 40,
        pynvml.c_nvmlEventData_t: 32,
    }

    assert {layout: ctypes.sizeof(layout) for layout in sizes} == sizes


# ---------------------------------------------------------------- processes


def test_processes_when_asked_for(fake_nvml: FakeNvml) -> None:
    """Each with its memory; None where the driver does not say. Without being asked, none is looked for."""
    lines = ["process 0 pid 100 memory_bytes 1073741824", "process 1 pid 7", "process 0 pid 101 memory_bytes na"]
    fake_nvml.says(gpu(0), gpu(1), gpu(2), *lines)
    source = NvmlSource()

    listed = [one.processes for one in source.read(processes=True).gpus]

    assert listed == [(ProcessReading(100, GIB), ProcessReading(101, None)), (ProcessReading(7, None),), ()]
    assert source.read().gpus[0].why_absent("processes") == "not asked for"


def test_processes_on_mig_instances(fake_nvml: FakeNvml) -> None:
    """Each is on the instance that the driver names; one that names none can't be told, and on a whole GPU there is no doubt."""
    instances = mig(0, 0, 5), mig(0, 1, 6)
    fake_nvml.says(gpu(0, mig_mode=1), *instances, "process 0 pid 7 memory_bytes 9 gpu_instance 2", "process 0 pid 8")
    cut = only(NvmlSource().read(processes=True))
    fake_nvml.says(gpu(0), "process 0 pid 7")
    whole = only(NvmlSource().read(processes=True))

    assert [cut.device_of(process) for process in cut.processes or ()] == [mig_uuid(6), None]
    assert [whole.device_of(process) for process in whole.processes or ()] == [uuid(0)]
    assert [cells[:2] for cells in process_rows(Fleet((cut,), 0))] == [("0.1", "7"), ("0", "8")]


def test_two_compute_instances_of_one_gpu_instance() -> None:
    """They share its memory and are two devices: the compute instance tells them apart, or nothing does."""
    parts = tuple(MigReading(f"MIG-{number}", 1, number, "half") for number in range(2))
    cut = GpuReading("GPU-0", 0, "a GPU", None, None, None, mig_is_on=True, mig=parts)

    assert cut.device_of(ProcessReading(7, 1, 1, 1)) == "MIG-1"
    assert cut.device_of(ProcessReading(7, 1, 1)) is None


def test_processes_that_may_not_be_listed(fake_nvml: FakeNvml) -> None:
    """No permission to list them leaves everything else readable."""
    fake_nvml.says(gpu(0), "fail nvmlDeviceGetComputeRunningProcesses_v3 4")

    reading = only(NvmlSource().read(processes=True))

    assert (reading.processes, reading.why_absent("processes")) == (None, "Insufficient Permissions")
    assert reading.memory_total_bytes == 141 * GIB


@pytest.mark.parametrize(("link", "theirs"), [("pid:[4026531836]", False), ("pid:[4026532561]", True), (None, None)])
def test_whose_process_ids_they_are(tmp_path, link: str | None, theirs: bool | None) -> None:
    """In the first namespace NVML's ids are ours; in another they are the host's; unknown where the kernel is silent."""
    path = tmp_path / "pid"
    if link is not None:
        path.symlink_to(link)

    assert are_hosts(str(path)) is theirs


def test_the_fleet_says_whose_process_ids_it_has(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container no pid may be looked up here, and the fleet says so."""
    fake_nvml.says(gpu(0))
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: True)

    assert NvmlSource().read().pids_are_hosts is True


# ---------------------------------------------------------------- parts and joints


def test_mig_instances_are_the_devices(fake_nvml: FakeNvml) -> None:
    """A GPU that is cut has its instances, with their own memory; CUDA's devices are these and the whole GPUs."""
    fake_nvml.says(gpu(0, mig_mode=1), mig(0, 0, number=5, used_gib=4), mig(0, 3, number=6), gpu(1))

    fleet = NvmlSource().read()

    assert fleet.gpus[0].mig == (
        MigReading(mig_uuid(5), 1, 0, "NVIDIA H200 MIG 1g.16gb", 16 * GIB, 4 * GIB, 12 * GIB),
        MigReading(mig_uuid(6), 4, 0, "NVIDIA H200 MIG 1g.16gb", 16 * GIB, 0, 16 * GIB),
    )
    assert [(one.uuid, one.gpu_uuid, one.room_bytes // GIB) for one in fleet.devices] == [
        (mig_uuid(5), uuid(0), 12),
        (mig_uuid(6), uuid(0), 16),
        (uuid(1), uuid(1), 140),
    ]


def test_mig_instances_come_and_go(fake_nvml: FakeNvml) -> None:
    """Instances are made while the driver runs: each reading has those of its moment."""
    source = NvmlSource()
    seen = []

    for lines in ([], [mig(0, 0, 5)], [mig(0, 1, 6)]):
        fake_nvml.says(gpu(0, mig_mode=1), *lines)
        seen.append([one.uuid for one in only(source.read()).mig or ()])

    assert seen == [[], [mig_uuid(5)], [mig_uuid(6)]]


def test_nvlinks_lead_to_uuids(fake_nvml: FakeNvml) -> None:
    """Links name the GPU at their end, a switch, and nothing where they are down; GPUs without NVLink say why."""
    links = ["nvlink 0 link 0 to 1", "nvlink 0 link 1 to 1", "nvlink 1 link 0 to 0", "nvlink 2 link 4 to switch"]
    fake_nvml.says(*map(gpu, range(4)), *links)

    gpus = NvmlSource().read().gpus

    assert gpus[0].nvlinks == (NvLink(0, uuid(1)), NvLink(1, uuid(1)))
    assert gpus[2].nvlinks == (NvLink(4, "switch"),)
    assert (gpus[3].nvlinks, gpus[3].why_absent("nvlinks")) == (None, "Not Supported")


def test_paths_between_gpus(fake_nvml: FakeNvml) -> None:
    """Each pair has the nearest thing that both hang on, and the links that join them directly."""
    numa = [gpu(0), gpu(1), gpu(2, numa_node=1)]
    fake_nvml.says(*numa, "topology 0 1 10", "nvlink 0 link 3 to 1", "nvlink 1 link 3 to 0")

    assert NvmlSource().read().paths == (
        PathBetween(uuid(0), uuid(1), "pcie switch", 1),
        PathBetween(uuid(0), uuid(2), "machine", 0),
        PathBetween(uuid(1), uuid(2), "machine", 0),
    )


def test_a_gpu_in_trouble_says_so(fake_nvml: FakeNvml) -> None:
    """A row that could not be replaced is a reason to send no work; one that waits for a reset, or a power cap, is none."""
    fake_nvml.says(gpu(0, rows_failed=1), gpu(1, rows_pending=1), gpu(2, throttle_bits=4))

    assert [one.troubles for one in NvmlSource().read().gpus] == [
        ("a row of its memory could not be remapped",),
        (),
        (),
    ]


# ---------------------------------------------------------------- Xids


def test_xids_are_heard_while_someone_watches(fake_nvml: FakeNvml) -> None:
    """An Xid lands on its GPU with what it means: one of an application condemns nobody, one off the bus does."""
    fake_nvml.says(gpu(0), gpu(1))
    source = NvmlSource(watch_xids=True)
    assert [one.xids for one in source.read().gpus] == [(), ()]

    fake_nvml.says(gpu(0), gpu(1), "xid 1 13", "xid 0 31", "xid 1 79")
    assert source.watcher is not None
    assert source.watcher.wait_for(uuid(1), 79, timeout_s=30)
    first, second = source.read().gpus

    assert [(event.code, event.condemns) for event in first.xids or ()] == [(31, False)]
    assert [(event.code, event.condemns) for event in second.xids or ()] == [(13, False), (79, True)]
    assert (first.troubles, second.troubles) == ((), ("Xid 79",))
    source.close()


def test_an_xid_of_no_gpu_is_a_problem_of_the_fleet(fake_nvml: FakeNvml) -> None:
    """The driver does not always know which GPU it was: it is said, and put on none of them."""
    fake_nvml.says(gpu(0), "xid any 62", "xid 0 31")
    source = NvmlSource(watch_xids=True)
    source.read()
    assert source.watcher is not None
    assert source.watcher.wait_for(uuid(0), 31, timeout_s=30)

    fleet = source.read()

    assert fleet.problems == ("Xid 62 on a GPU that the driver does not name",)
    assert [event.code for event in only(fleet).xids or ()] == [31]
    source.close()


@pytest.mark.parametrize("function", ["nvmlEventSetCreate", "nvmlDeviceRegisterEvents"])
def test_where_xids_cant_be_watched_the_rest_is_read(fake_nvml: FakeNvml, function: str) -> None:
    """A GPU whose driver reports no events has readings and the reason why it has no Xids."""
    fake_nvml.says(gpu(0), f"fail {function} 3")
    source = NvmlSource(watch_xids=True)

    reading = only(source.read())

    assert reading.xids is None
    assert "Not Supported" in (reading.why_absent("xids") or "")
    source.close()


def test_a_thousand_xids_keep_the_newest(fake_nvml: FakeNvml) -> None:
    """A program that faults in a loop does not fill our memory."""
    fake_nvml.says(gpu(0), *["xid 0 31"] * 60, "xid 0 43")
    source = NvmlSource(watch_xids=True)
    source.read()
    assert source.watcher is not None
    assert source.watcher.wait_for(uuid(0), 43, timeout_s=30)

    xids = only(source.read()).xids

    assert xids is not None
    assert len(xids) == 32
    assert xids[-1] == replace(xids[0], code=43, seen_at_ns=xids[-1].seen_at_ns)
    source.close()


# ---------------------------------------------------------------- the fake itself


def test_what_happens_at_a_given_time(fake_nvml: FakeNvml) -> None:
    """Xids come when they are to, in their order, and a GPU that is to vanish then is there before and lost after."""
    fake_nvml.says(gpu(0), gpu(1), "xid 0 31", "xid 0 13 at 60", "xid 0 79 at 120", "vanish 1 at 400")
    began_ns = time.monotonic_ns()
    source = NvmlSource(watch_xids=True)
    before = source.read()
    watcher = source.watcher
    assert watcher is not None
    assert watcher.wait_for(uuid(0), 79, timeout_s=30)
    source.close()

    codes, times = zip(*((event.code, event.seen_at_ns) for event in watcher.seen(uuid(0)) or ()), strict=True)
    assert codes == (31, 13, 79)
    assert times[2] - began_ns >= 110e6  # the file may have been read a little before
    deadline_s = time.monotonic() + 30
    while not source.read().lost and time.monotonic() < deadline_s:
        pass
    assert len(before.gpus) + len(before.lost) == 2
    assert source.read().lost == (uuid(1),)


def test_more_gpus_than_any_machine_has(fake_nvml: FakeNvml) -> None:
    """All are read, in order, with their paths."""
    fake_nvml.says(*(gpu(index) for index in range(100)))

    fleet = NvmlSource(30.0).read()

    assert [one.uuid for one in fleet.gpus] == [uuid(index) for index in range(100)]
    assert len(fleet.paths) == 100 * 99 // 2
