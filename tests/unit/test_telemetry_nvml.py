"""What the GPUs say, through nvidia-ml-py on a driver that is not there (csrc/fake_nvml)."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fake_nvml import FakeNvml, gpu, uuid

from gpucache.telemetry.from_nvml import NvmlSource


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
    """Several GPUs, by index, each with its own UUID."""
    fake_nvml.says(*map(gpu, range(8)))

    fleet = NvmlSource().read()

    assert [(one.index, one.uuid) for one in fleet.gpus] == [(index, uuid(index)) for index in range(8)]
