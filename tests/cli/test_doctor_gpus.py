"""What `gpucache doctor` says about GPUs that are well, in trouble, hidden, or not there."""

from __future__ import annotations

import pytest
from fake_nvml import GIB, FakeNvml, gpu, mig, uuid

from gpucache.cli.doctor import BAD, GOOD, NOTE, Finding, _gpus


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a container, and nobody has chosen GPUs, whatever holds where the tests run."""
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: False)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


def test_each_gpu_with_what_is_free(fake_nvml: FakeNvml) -> None:
    """A well GPU is good, one whose memory can't be repaired is bad and says why."""
    fake_nvml.says(gpu(0, memory_used_bytes=40 * GIB), gpu(1, rows_failed=1))

    assert list(_gpus()) == [
        Finding("GPU 0", GOOD, f"NVIDIA H200, {uuid(0)}, 100.0 GiB free"),
        Finding("GPU 1", BAD, f"NVIDIA H200, {uuid(1)}, 140.0 GiB free; a row of its memory could not be remapped"),
    ]


def test_what_is_out_of_the_ordinary_is_worth_a_note(fake_nvml: FakeNvml) -> None:
    """Errors in memory, a row that waits for a reset, heat, and instances, which take the memory that is free."""
    fake_nvml.says(gpu(0, ecc_uncorrected=3, rows_pending=1, throttle_bits=0x20), gpu(1, mig_mode=1), mig(1, 0, 5))

    assert list(_gpus()) == [
        Finding(
            "GPU 0",
            NOTE,
            f"NVIDIA H200, {uuid(0)}, 140.0 GiB free; 3 uncorrected memory errors since the driver was loaded; "
            "a row of its memory is replaced at the next reset; slowed by software thermal slowdown",
        ),
        Finding("GPU 1", GOOD, f"NVIDIA H200, {uuid(1)}, 140.0 GiB free; MIG instances: 1"),
    ]


def test_no_driver(fake_nvml: FakeNvml) -> None:
    """No GPU is worth knowing, not bad; the driver's words are the reason."""
    fake_nvml.says("fail nvmlInitWithFlags 9")

    assert list(_gpus()) == [
        Finding("GPU", NOTE, "none; everything runs on CPUs (NVML can't be used: Driver Not Loaded)")
    ]


def test_hidden_gpus_and_a_choice_that_names_nothing(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo in CUDA_VISIBLE_DEVICES hides GPUs in silence; here it is said."""
    fake_nvml.says(gpu(0), gpu(1, mig_mode=1), mig(1, 0, 5), mig(1, 1, 6))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,5")

    assert list(_gpus())[2:] == [
        Finding(
            "GPUs",
            NOTE,
            "CUDA_VISIBLE_DEVICES: index 5 names no device: there are 2 GPUs; it and what follows is not seen",
        ),
        Finding("visible GPUs", NOTE, "1 of 3 are this process's, by CUDA_VISIBLE_DEVICES"),
    ]


def test_in_a_container_it_says_whose_process_ids_these_are(
    fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where NVML's process ids are the host's, doctor says so and by what memory is attributed."""
    fake_nvml.says(gpu(0))
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: True)

    (_, finding) = _gpus()

    assert (finding.name, finding.verdict) == ("GPU processes", NOTE)
    assert "process ids as the host counts them" in finding.seen
    assert "workers report" in finding.seen
    assert "pid:[" in finding.seen
