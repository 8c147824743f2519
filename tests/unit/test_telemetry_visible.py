"""CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, resolved to UUIDs in one place."""

from __future__ import annotations

import pytest

from gpucache.telemetry import CudaSettings, Fleet, GpuReading, MigReading, resolve, visible

GIB = 2**30


def whole(index: int, uuid: str, name: str = "H200") -> GpuReading:
    return GpuReading(uuid, index, name, 80 * GIB, 0, 80 * GIB, mig_is_on=False)


def cut(index: int, uuid: str, *instances: str) -> GpuReading:
    mig = tuple(MigReading(one, number, 0, "1g", 16 * GIB, 0, 16 * GIB) for number, one in enumerate(instances, 1))
    return GpuReading(uuid, index, "H200", 80 * GIB, 0, 80 * GIB, mig_is_on=True, mig=mig)


FOUR = Fleet(tuple(whole(index, f"GPU-{index}{index}-abcd") for index in range(4)), 0)
TWINS = Fleet((whole(0, "GPU-12ab-0"), whole(1, "GPU-12cd-1")), 0)
CUT = Fleet((whole(0, "GPU-a"), cut(1, "GPU-b", "MIG-1a", "MIG-1b"), cut(2, "GPU-c")), 0)
MIXED = Fleet((whole(0, "GPU-a", "L4"), whole(1, "GPU-b", "H200")), 0)


@pytest.mark.parametrize(
    ("fleet", "setting", "uuids"),
    [
        (FOUR, None, ["GPU-00-abcd", "GPU-11-abcd", "GPU-22-abcd", "GPU-33-abcd"]),
        (FOUR, "2,0", ["GPU-22-abcd", "GPU-00-abcd"]),
        (FOUR, " 3 , GPU-11-abcd", ["GPU-33-abcd", "GPU-11-abcd"]),
        (FOUR, "GPU-22-abcd", ["GPU-22-abcd"]),
        (FOUR, "GPU-1", ["GPU-11-abcd"]),
        (FOUR, "", []),
        (FOUR, "-1", []),
        (FOUR, "1,-1,2", ["GPU-11-abcd"]),
        (FOUR, "1,", ["GPU-11-abcd"]),
        (TWINS, "GPU-12a", ["GPU-12ab-0"]),
        (CUT, None, ["GPU-a", "MIG-1a", "MIG-1b"]),
        (CUT, "MIG-1b,0", ["MIG-1b", "GPU-a"]),
        (CUT, "1", ["MIG-1a"]),
        (CUT, "GPU-b", ["MIG-1a"]),
        (CUT, "MIG-GPU-b/2/0", ["MIG-1b"]),
    ],
)
def test_what_an_entry_names(fleet: Fleet, setting: str | None, uuids: list[str]) -> None:
    """Indices, UUIDs, short UUIDs, MIG UUIDs in both spellings, in the order given; an end mark ends the list."""
    resolved = resolve(fleet, CudaSettings(setting))

    assert (list(resolved.uuids), resolved.problems) == (uuids, ())


@pytest.mark.parametrize(
    ("fleet", "setting", "uuids", "why"),
    [
        (FOUR, "0,7,1", ["GPU-00-abcd"], "index 7 names no device: there are 4 GPUs"),
        (FOUR, "0,,1", ["GPU-00-abcd"], "'' names no device"),
        (FOUR, "٣", [], "'٣' names no device"),
        (FOUR, "0,GPU-99", ["GPU-00-abcd"], "'GPU-99' names no device"),
        (FOUR, "0,gpu-11", ["GPU-00-abcd"], "'gpu-11' names no device"),
        (FOUR, "all", [], "'all' names no device"),
        (FOUR, "1,GPU-11", [], "GPU-11-abcd is named twice"),
        (TWINS, "GPU-12", [], "'GPU-12' names 2 devices, not one"),
        (CUT, "2", [], "index 2 is a GPU in MIG mode without instances"),
        (CUT, "MIG-GPU-b/7/0", [], "'MIG-GPU-b/7/0' names no device"),
        (MIXED, "0", [], "set CUDA_DEVICE_ORDER=PCI_BUS_ID or name UUIDs"),
    ],
)
def test_what_names_nothing_hides_the_rest(fleet: Fleet, setting: str, uuids: list[str], why: str) -> None:
    """As CUDA does, entries count up to the first that names no one device; what was not followed is said, not guessed."""
    resolved = resolve(fleet, CudaSettings(setting))

    assert list(resolved.uuids) == uuids
    assert [why in problem for problem in resolved.problems] == [True]


def test_an_index_counts_as_the_order_says() -> None:
    """With PCI_BUS_ID an index is NVML's, whatever models there are, and whichever order they were read in."""
    shuffled = Fleet(MIXED.gpus[::-1], 0)

    assert resolve(shuffled, CudaSettings("0", "PCI_BUS_ID")).uuids == ("GPU-a",)
    assert resolve(MIXED, CudaSettings("GPU-b", "FASTEST_FIRST")).uuids == ("GPU-b",)


def test_the_fleet_that_is_left() -> None:
    """Only visible GPUs and instances stay; hiding all is said."""
    left = visible(CUT, CudaSettings("MIG-1b"))

    assert [device.uuid for device in left.devices] == ["MIG-1b"]
    assert left.problems == ()
    assert visible(CUT, CudaSettings("")).problems == ("CUDA_VISIBLE_DEVICES='' hides all 3 GPUs",)
    assert visible(FOUR, CudaSettings()) == FOUR


def test_settings_come_from_an_environment() -> None:
    """Not set and set to nothing are two things: all GPUs, and none."""
    assert CudaSettings.from_env({}) == CudaSettings(None, None)
    assert CudaSettings.from_env({"CUDA_VISIBLE_DEVICES": "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == CudaSettings(
        "", "PCI_BUS_ID"
    )
