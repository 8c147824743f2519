"""A run in which everything hits: nothing is started, nothing heavy is imported; many processes, one computation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

FLOW = """
import json, pathlib, sys, threading
import numpy as np
import gpucache as gpc

@gpc.task
def load(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=float)

@gpc.task(gpus=0.5)
def total(table: np.ndarray) -> float:
    return float(table.sum())

@gpc.task
def summary(table: np.ndarray, sums: list[float]) -> dict:
    return {"rows": len(table), "sums": sums}

@gpc.flow
def small(rows: int) -> dict:
    table = load.submit(rows)
    return summary(table, [total(table), total.submit(table)])

if __name__ == "__main__":
    run = small.run(20_000)
    heavy = {"ray", "torch", "pyarrow", "pandas", "cloudpickle", "pynvml"} & set(sys.modules)
    children = pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    states = [call.state.value for call in run.calls]
    print(json.dumps({"result": run.result(), "states": states, "heavy": sorted(heavy), "children": children}))
"""

ONCE = """
import os, pathlib, sys
import gpucache as gpc

@gpc.task
def slow(x: int) -> int:
    with open("ran", "a") as log:
        log.write("x")
    print("in", flush=True)
    sys.stdin.read()  # until the test has seen that the others wait
    return x + 1

@gpc.task
def quick(x: int) -> int:
    with open("ran", "a") as log:
        log.write("q")
    return x + 1

if __name__ == "__main__":
    if "slow" in sys.argv:
        print(slow(1))
    else:
        print(sum(quick(x) for x in range(20)))
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "GPUCACHE_STORE": str(folder / "store"), "GPUCACHE_RUNTIME": "local"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_started_and_nothing_heavy_imported(tmp_path: Path) -> None:
    """The second process has no children and neither Ray, torch, pyarrow nor NVML; its values are the first one's."""
    (tmp_path / "flow.py").write_text(FLOW)
    documents: list[dict[str, Any]] = []
    for _ in range(2):
        out, err = start(tmp_path, "flow.py").communicate(timeout=120)
        assert out, err
        documents.append(json.loads(out))
    first, second = documents

    assert "ran" in first["states"]
    assert set(second["states"]) == {"hit"}
    assert second["heavy"] == []
    assert second["children"] == []
    assert second["result"] == first["result"] == {"rows": 20_000, "sums": [199_990_000.0, 199_990_000.0]}


def test_processes_side_by_side_run_each_call_once(tmp_path: Path) -> None:
    """Four processes make the same twenty calls at the same time: twenty bodies run."""
    (tmp_path / "once.py").write_text(ONCE)

    ended = [process.communicate(timeout=120) for process in [start(tmp_path, "once.py") for _ in range(4)]]

    assert [out.strip() for out, _ in ended] == ["210"] * 4, ended
    assert (tmp_path / "ran").read_text() == "q" * 20


def test_who_waits_takes_over_from_a_killed_process(tmp_path: Path) -> None:
    """A process killed in the middle of a body lets go of the call: the next one runs it, and its record is whole."""
    (tmp_path / "once.py").write_text(ONCE)
    first = start(tmp_path, "once.py", "slow")
    assert first.stdout is not None
    assert first.stdout.readline() == "in\n"

    first.kill()
    first.communicate()
    out, err = start(tmp_path, "once.py", "slow").communicate(timeout=60)
    again, _ = start(tmp_path, "once.py", "slow").communicate(timeout=60)

    assert out.split() == ["in", "2"], err
    assert again.split() == ["2"]
    assert (tmp_path / "ran").read_text() == "xx"
