"""What NVML says about the GPU that is really here, and that CUDA means the same one.

`python -m benchmarks.real_gpu` runs these and keeps what they saw (record_property) in benchmarks/results/.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields

import pytest

from gpucache.telemetry import CudaSettings, Fleet, Sampler, read_fleet, resolve

pytestmark = pytest.mark.gpu

Record = Callable[[str, object], None]


@pytest.fixture
def fleet() -> Fleet:
    return read_fleet(processes=True)


def test_every_field_of_the_card(fleet: Fleet, record_property: Record) -> None:
    """Each GPU has what every card has; the rest is there or has the driver's reason."""
    for gpu in fleet.gpus:
        record_property(f"GPU {gpu.index}", asdict(gpu))
    record_property("driver", fleet.driver_version)
    record_property("cuda", fleet.cuda_version)
    record_property("paths", [asdict(path) for path in fleet.paths])
    record_property("pids_are_hosts", fleet.pids_are_hosts)

    assert fleet.problems == ()
    for gpu in fleet.gpus:
        assert re.fullmatch(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", gpu.uuid)
        assert gpu.name
        missing = {one.name for one in fields(gpu) if getattr(gpu, one.name) is None}
        assert {field for field, _ in gpu.absent} == missing


def test_the_parts_of_memory_add_up(fleet: Fleet) -> None:
    """Used, free and reserved are the total, to a MiB: nothing is counted twice or left out."""
    for gpu in fleet.gpus:
        if None in (gpu.memory_total_bytes, gpu.memory_used_bytes, gpu.memory_free_bytes, gpu.memory_reserved_bytes):
            pytest.skip(f"no memory by version 2: {gpu.why_absent('memory_reserved_bytes')}")
        assert gpu.memory_used_bytes + gpu.memory_free_bytes + gpu.memory_reserved_bytes == pytest.approx(
            gpu.memory_total_bytes, abs=2**20
        )


def test_shares_are_shares_and_units_are_right(fleet: Fleet) -> None:
    """Fractions lie in 0..1, power near its limit at most, temperature where silicon lives."""
    for gpu in fleet.gpus:
        assert gpu.utilisation_fraction is None or 0 <= gpu.utilisation_fraction <= 1
        assert gpu.memory_bus_fraction is None or 0 <= gpu.memory_bus_fraction <= 1
        assert gpu.utilisation_window_s is None or 0 < gpu.utilisation_window_s <= 2
        assert gpu.temperature_c is None or 0 < gpu.temperature_c < 120
        assert gpu.power_w is None or gpu.power_limit_w is None or 0 < gpu.power_w < 1.5 * gpu.power_limit_w
        assert gpu.clock_sm_mhz is None or gpu.clock_sm_max_mhz is None or gpu.clock_sm_mhz <= gpu.clock_sm_max_mhz


def test_a_reading_is_cheap(record_property: Record) -> None:
    """After the first, which opens NVML, a reading takes a small part of the second between two of the sampler's."""
    read_fleet()
    took_s = []
    for _ in range(20):
        began = time.perf_counter()
        read_fleet()
        took_s.append(time.perf_counter() - began)
    record_property("reading_median_s", statistics.median(took_s))
    began = time.perf_counter()
    read_fleet(processes=True)
    record_property("reading_with_processes_s", time.perf_counter() - began)

    assert statistics.median(took_s) < 0.5


def test_xids_are_watched(record_property: Record) -> None:
    """The sampler listens for Xids on this card, or says why it can't."""
    with Sampler() as sampler:
        sample = sampler.wait(60)

    assert sample is not None
    for gpu in sample.fleet.gpus:
        record_property(f"xids of GPU {gpu.index}", gpu.why_absent("xids") or [event.code for event in gpu.xids or ()])
        assert gpu.xids is not None or gpu.why_absent("xids")


# ---------------------------------------------------------------- with CUDA, by torch

CUDA_SEES = """
import torch
print(*[f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(torch.cuda.device_count())])
"""


def needs_cuda() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} has no CUDA, or can't use it here")


@pytest.mark.slow
@pytest.mark.parametrize("choose", [lambda gpu: "0", lambda gpu: gpu.uuid, lambda gpu: gpu.uuid[:12]])
def test_cuda_sees_what_was_resolved(fleet: Fleet, choose: Callable[..., str]) -> None:
    """An index, a UUID and a short UUID name to CUDA the GPU that they name to us."""
    needs_cuda()
    if any(gpu.mig_is_on for gpu in fleet.gpus):
        pytest.skip("torch gives no UUID of a MIG instance")
    setting = choose(fleet.gpus[0])
    variables = {"CUDA_VISIBLE_DEVICES": setting, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    done = subprocess.run(
        [sys.executable, "-c", CUDA_SEES], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )

    assert tuple(done.stdout.split()) == resolve(fleet, CudaSettings.from_env(variables)).uuids


@pytest.mark.slow
def test_memory_that_cuda_takes_is_seen(record_property: Record) -> None:
    """A GiB that torch takes is used memory in the next reading, on the GPU where it lies."""
    needs_cuda()
    import torch

    torch.empty(1, device="cuda")  # the context has its own memory, taken now
    here = f"GPU-{torch.cuda.get_device_properties(0).uuid}"

    def used_bytes() -> int:
        (used,) = [gpu.memory_used_bytes for gpu in read_fleet().gpus if gpu.uuid == here]
        assert used is not None
        return used

    before = used_bytes()
    taken = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    grown = used_bytes() - before
    record_property("a_gib_taken_is_seen_as_bytes", grown)
    del taken

    assert grown == pytest.approx(2**30, rel=0.1)
