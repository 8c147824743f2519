"""`gpucache pin`: what a run gave stays, whatever gc is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpucache as gpc
from gpucache.cli.main import status_of

PIPELINE = """
import numpy as np
import gpucache as gpc

@gpc.task
def load(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=20_000)

@gpc.task
def mean(array: np.ndarray) -> float:
    return float(array.mean())

@gpc.flow
def pipeline(seed: int = 0) -> float:
    return mean(load(seed))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUCACHE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GPUCACHE_RUNTIME", "inline")
    (tmp_path / "pinned_pipeline.py").write_text(PIPELINE)
    gpc.shutdown()
    yield tmp_path
    gpc.shutdown()
    sys.modules.pop("pinned_pipeline", None)


def gpucache(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status = status_of([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def two_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        assert gpucache(capsys, "run", "pinned_pipeline.py", "--seed", seed)[0] == 0


@pytest.mark.usefixtures("two_runs")
def test_what_is_pinned_outlives_gc(capsys: pytest.CaptureFixture[str]) -> None:
    """gc down to nothing takes the bytes of the other run alone; unpinned, they go as well."""
    status, document = gpucache(capsys, "pin", "@last~1")
    assert (status, document["schema"], [pin["task"] for pin in document["pins"]]) == (0, "gpucache.pin/1", ["load"])
    assert gpucache(capsys, "pin")[1]["pins"] == document["pins"]

    freed = gpucache(capsys, "gc", "--max-size", "0", "--apply")[1]
    assert (freed["evicted"], freed["kept_bytes"]) == (1, 160_000)

    assert len(gpucache(capsys, "pin", "@last~1", "--remove")[1]["pins"]) == 1
    assert gpucache(capsys, "gc", "--max-size", "0", "--apply")[1]["kept_bytes"] == 0


@pytest.mark.usefixtures("two_runs")
def test_what_is_gone_can_not_be_pinned(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said by the task's name, with exit status 4."""
    gpucache(capsys, "gc", "--max-size", "0", "--apply")

    status, document = gpucache(capsys, "pin", "@last")

    assert status == 4
    assert "bytes of a result of 'load'" in document["message"]


@pytest.mark.usefixtures("two_runs")
def test_a_task_that_was_not_called_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those that were."""
    status, document = gpucache(capsys, "pin", "@last", "--task", "nope")

    assert status == 4
    assert "load, mean" in document["message"]


@pytest.mark.usefixtures("two_runs")
def test_pins_are_listed_by_name_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, not hashes; small results, which lie in the index, need no pin."""
    assert status_of(["pin", "@last"]) == 0
    said = capsys.readouterr().out

    assert "load" in said
    assert "1 result, 156.3 KiB: kept" in said
