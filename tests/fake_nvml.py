"""A driver that is not there: csrc/fake_nvml built as libnvidia-ml.so.1, with nvidia-ml-py on top as it is.

`fake_nvml` (tests/conftest.py) gives a FakeNvml whose scenario a test writes, line by line as csrc/fake_nvml/scenario.h says,
and writes again to move time on. In this process the library is put under pynvml; another process finds it by `environment`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[1] / "csrc"
GIB = 2**30

H200 = {
    "name": '"NVIDIA H200"',
    "memory_total_bytes": 141 * GIB,
    "memory_used_bytes": 0,
    "memory_reserved_bytes": GIB,
    "utilisation_percent": 0,
    "memory_bus_percent": 0,
    "sample_period_us": 166_667,
    "power_mw": 76_000,
    "power_limit_mw": 700_000,
    "temperature_c": 31,
    "sm_clock_mhz": 345,
    "memory_clock_mhz": 3201,
    "sm_clock_max_mhz": 1980,
    "memory_clock_max_mhz": 3201,
    "throttle_bits": 1,
    "ecc": 1,
    "ecc_corrected": 0,
    "ecc_uncorrected": 0,
    "rows_corrected": 0,
    "rows_uncorrected": 0,
    "rows_pending": 0,
    "rows_failed": 0,
    "numa_node": 0,
    "pcie_generation": 5,
    "pcie_lanes": 16,
    "compute_capability": 90,
    "mig_mode": 0,
}


def uuid(index: int) -> str:
    """The UUID of the fake GPU of that index; the first eight digits tell them apart."""
    return f"GPU-{index:08x}-1111-2222-3333-444455556666"


def mig_uuid(index: int) -> str:
    return f"MIG-{index:08x}-aaaa-bbbb-cccc-ddddeeeeffff"


def gpu(index: int, without: tuple[str, ...] = (), **values: Any) -> str:
    """A `gpu` line: an idle H200 but for what is given; `without`: what its driver does not support."""
    members = {"uuid": uuid(index), "bus": 16 + index, **H200, **values}
    told = " ".join(f"{key} {value}" for key, value in members.items() if key not in without)
    return f"gpu {index} {told}"


def mig(parent: int, index: int, number: int, memory_gib: int = 16, used_gib: float = 0) -> str:
    return (
        f"mig {parent} index {index} uuid {mig_uuid(number)} gpu_instance {index + 1} compute_instance 0 gpu_slices 1 "
        f"compute_slices 1 memory_total_bytes {memory_gib * GIB} memory_used_bytes {int(used_gib * GIB)}"
    )


def build(folder: Path) -> Path:
    """Compile the library into folder, under the name that pynvml asks for. Skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here to build the fake NVML with")
    library = folder / "libnvidia-ml.so.1"
    flags = ["-std=c17", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden"]
    sources = [str(path) for path in sorted(SOURCES.glob("fake_nvml/*.c"))]
    names = [f"-Wl,-soname,{library.name}", f"-I{SOURCES}", "-o", str(library)]
    subprocess.run([compiler, *flags, *sources, *names], check=True)
    return library


class FakeNvml:
    """A scenario that can be changed, and where the library is."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library = library
        self.scenario = folder / "scenario"
        self.says()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment from the start to take this for the machine's driver."""
        return {"LD_LIBRARY_PATH": str(self.library.parent), "FAKE_NVML_SCENARIO": str(self.scenario)}

    def says(self, *lines: str) -> None:
        """From now on this is the machine. The file changes at once, so that no reader sees half of it."""
        written = self.scenario.with_suffix(".new")
        head = "driver 570.86.15 cuda 12080"
        written.write_text("\n".join((head, *lines)) + "\n")
        os.replace(written, self.scenario)


@contextmanager
def under_pynvml(fake: FakeNvml) -> Iterator[FakeNvml]:
    """pynvml of this process talks to the fake; afterwards nothing hangs any more and it is as it was before."""
    import pynvml

    from gpucache import telemetry

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_NVML_SCENARIO", str(fake.scenario))  # by putenv: the library reads it by getenv
        patch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(fake.library)))
        patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        telemetry._source.cache_clear()
        yield fake
        fake.says()
        telemetry._source.cache_clear()
        # A reading that is under way holds handles of the fake, which a real driver must never see.
        for thread in threading.enumerate():
            if thread.name in ("gpucache-nvml", "gpucache-sampler", "gpucache-xids"):
                thread.join(5)
