"""What a worker says that a call took: on the fake NVML, where no PyTorch counts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fake_nvml import GIB, FakeNvml, gpu, mig, mig_uuid, uuid

from gpucache.flows import measure as measuring
from gpucache.flows.measure import GPU_PEAK, HOST_GROWTH, Measure
from gpucache.workers import context

MINE = f"pid {os.getpid()}"


@pytest.fixture
def in_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This thread is a worker's with the first GPU, and NVML counts process ids as we do."""
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: False)
    monkeypatch.setattr(measuring, "cuda_in_use", lambda: None)
    context.enter(context.WorkerContext("w0", "cuda:0", (uuid(0),)), whole_process=False)
    yield
    context._thread_context.set(None)


@pytest.mark.usefixtures("in_worker")
def test_what_the_driver_says_of_this_process(fake_nvml: FakeNvml) -> None:
    """Its own memory on its own GPU counts, and nobody else's."""
    fake_nvml.says(gpu(0), gpu(1))
    with Measure() as taken:
        fake_nvml.says(
            gpu(0),
            gpu(1),
            f"process 0 {MINE} memory_bytes {3 * GIB}",
            f"process 0 pid 1 memory_bytes {9 * GIB}",
            f"process 1 {MINE} memory_bytes {7 * GIB}",
        )

    assert taken.gpu_peak_bytes == 3 * GIB
    assert taken.note()[GPU_PEAK] == 3 * GIB
    assert HOST_GROWTH in taken.note()


@pytest.mark.usefixtures("in_worker")
def test_a_driver_that_does_not_say_is_not_zero(fake_nvml: FakeNvml) -> None:
    """A process without memory in NVML, as under MIG and WDDM: nobody can say."""
    fake_nvml.says(gpu(0), f"process 0 {MINE} memory_bytes na")
    with Measure() as taken:
        pass

    assert taken.gpu_peak_bytes is None
    assert GPU_PEAK not in taken.note()


@pytest.mark.usefixtures("in_worker")
def test_ids_of_the_host_are_not_ours(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the process with our number is another one."""
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: True)
    fake_nvml.says(gpu(0), f"process 0 {MINE} memory_bytes {3 * GIB}")
    with Measure() as taken:
        pass

    assert taken.gpu_peak_bytes is None


def test_a_worker_without_a_gpu_has_host_memory_alone() -> None:
    """No GPU was held, so none is asked about."""

    def no_driver(**_: object) -> object:
        raise AssertionError("asked")

    with Measure(no_driver) as taken:  # type: ignore[arg-type]  # never called
        pass

    assert list(taken.note()) == [HOST_GROWTH]


class Cuda:
    """torch.cuda of a process that keeps so much in its pools, and had so much in tensors at most."""

    def __init__(self, *kept_and_peak: tuple[int, int]) -> None:
        self._devices = kept_and_peak

    def device_count(self) -> int:
        return len(self._devices)

    def memory_reserved(self, index: int) -> int:
        return self._devices[index][0]

    def max_memory_allocated(self, index: int) -> int:
        return self._devices[index][1]

    def reset_peak_memory_stats(self, index: int) -> None:
        """Nothing: the peak is given."""


@pytest.mark.usefixtures("in_worker")
@pytest.mark.parametrize(
    ("used_gib", "beside_gib"),
    [(2.5, 0.5), (60, 1), (1, 0)],
    ids=["alone, all beside is the context", "with neighbours, what a context takes at most", "never below PyTorch's"],
)
def test_in_a_container_the_context_is_counted_too(
    fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, used_gib: float, beside_gib: float
) -> None:
    """PyTorch does not count the CUDA context, and NVML can't say whose memory it is: a demand without it would be short."""
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: True)
    monkeypatch.setattr(measuring, "cuda_in_use", lambda: Cuda((2 * GIB, 3 * GIB)))
    fake_nvml.says(gpu(0, memory_used_bytes=int(used_gib * GIB)), f"process 0 {MINE} memory_bytes {40 * GIB}")
    with Measure() as taken:
        pass

    assert taken.gpu_peak_bytes == 3 * GIB + int(beside_gib * GIB)


@pytest.mark.usefixtures("in_worker")
def test_a_process_on_a_mig_instance(fake_nvml: FakeNvml) -> None:
    """Its memory on its own instance, not what it holds on another."""
    context.enter(context.WorkerContext("w0", "cuda:0", (mig_uuid(5),)), whole_process=False)
    on = [f"process 0 {MINE} memory_bytes {size * GIB} gpu_instance {place}" for place, size in ((1, 3), (2, 9))]
    fake_nvml.says(gpu(0, mig_mode=1), mig(0, 0, 5), mig(0, 1, 6), *on)
    with Measure() as taken:
        pass

    assert taken.gpu_peak_bytes == 3 * GIB


@pytest.mark.usefixtures("in_worker")
def test_the_context_on_a_mig_instance(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instance's memory counts, not the whole GPU's; NVML has no processes for it."""
    monkeypatch.setattr(measuring, "cuda_in_use", lambda: Cuda((2 * GIB, 3 * GIB)))
    context.enter(context.WorkerContext("w0", "cuda:0", (mig_uuid(5),)), whole_process=False)
    fake_nvml.says(gpu(0, mig_mode=1, memory_used_bytes=90 * GIB), mig(0, 0, 5, used_gib=2.5))
    with Measure() as taken:
        pass

    assert taken.gpu_peak_bytes == int(3.5 * GIB)
