"""`gpucache explain --demand`: what calls took, and what the next asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_nvml import GIB, FakeNvml, gpu

import gpucache as gpc
from gpucache.cli.main import status_of
from gpucache.errors import RemoteError
from gpucache.flows.demands import observe
from gpucache.placement.learned import Observation
from gpucache.residence import is_out_of_memory
from gpucache.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    gpc.shutdown()
    with Store(tmp_path / "store") as opened:
        for _ in range(3):
            observe(opened, "m:embed", Observation(2**20, 6 * GIB, 2.0))
    return tmp_path / "store"


@pytest.mark.usefixtures("store")
def test_the_next_call_is_explained(fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    """Four times the input asks for four times the memory, and the margin, of this machine's device."""
    fake_nvml.says(gpu(0))

    assert status_of(["explain", "--demand", "m:embed", "--input-bytes", str(2**22), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["peak_bytes"] for one in document["seen"]] == [6 * GIB] * 3
    assert 26.4 * GIB <= document["next"]["memory_bytes"] <= 30 * GIB
    assert document["next"]["seconds"] == 2.0
    assert status_of(["explain", "--demand", "m:embed"]) == 0
    assert "3 calls of like size" in capsys.readouterr().out
    gpc.shutdown()


@pytest.mark.usefixtures("store")
def test_a_task_that_was_never_measured_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Not found, by its exit status and by its name."""
    assert status_of(["explain", "--demand", "m:other"]) == 4
    assert "m:other" in capsys.readouterr().err
    gpc.shutdown()


@pytest.mark.parametrize(
    ("problem", "is_it"),
    [
        (RuntimeError("CUDA error: out of memory"), True),
        (MemoryError(), True),
        (RemoteError("torch.cuda.OutOfMemoryError", "Tried to allocate"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(problem: Exception, is_it: bool) -> None:
    """By type and words, whether the exception itself could travel or not."""
    assert is_out_of_memory(problem) is is_it
