"""`gpucache simulate`: workloads from tables of two forms and from recorded runs; a table, JSON, a picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpucache.errors import BadTable
from gpucache.placement import Demand
from gpucache.placement.swf import read_jobs

DATA = Path(__file__).parents[1] / "data" / "openb_small"
NODES = str(DATA / "nodes.csv")

PIPELINE = """
import gpucache as gpc

@gpc.task(cpus=2)
def part(n: int) -> int:
    return n

@gpc.flow
def flow(n: int = 4) -> int:
    return sum(part(i) for i in range(n))
"""


def simulate(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GPUCACHE_RUNTIME": "inline"}
    if folder is not None:
        environment["GPUCACHE_STORE"] = str(folder / "store")
    command = [sys.executable, "-m", "gpucache", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_jobs_of_the_standard_workload_format(tmp_path: Path) -> None:
    """By name, in any order; what is unknown (-1) is left out; GPUs from columns of their own."""
    path = tmp_path / "jobs.csv"
    path.write_text(
        "submit_time,run_time,requested_processors,requested_memory,num_gpu,gpu_milli\n"
        "0,100,4,1024,1,500\n5,-1,4,1024,0,\n7,50,8,-1,2,\n"
    )

    jobs = read_jobs(str(path), memory=True)

    assert [(job.arrives_s, job.takes_s) for job in jobs] == [(0, 100), (7, 50)]
    assert jobs[0].demand == Demand(gpus=0.5, gpu_memory_bytes=0, cpus=4, memory_bytes=4 * 2**20)
    assert jobs[1].demand == Demand(gpus=2, gpu_memory_bytes=0, cpus=8)


@pytest.mark.parametrize(
    ("row", "column"),
    [("soon,1,1,0,", "submit_time"), ("0,1,1,2,500", "gpu_milli"), ("0,1,99999999,0,", "requested_processors")],
)
def test_bad_jobs_are_located(tmp_path: Path, row: str, column: str) -> None:
    """File, line, column and what was expected."""
    path = tmp_path / "jobs.csv"
    path.write_text(f"submit_time,run_time,requested_processors,num_gpu,gpu_milli\n0,1,1,0,\n{row}\n")

    with pytest.raises(BadTable) as raised:
        read_jobs(str(path))

    assert (raised.value.line, raised.value.column) == (3, column)


@pytest.mark.slow
def test_a_table_of_jobs_is_known_by_its_header(tmp_path: Path) -> None:
    """The same option takes both forms."""
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("submit_time,run_time,requested_processors\n0,100,4\n10,100,4\n")

    found = document(
        simulate("simulate", "--nodes", NODES, "--tasks", str(jobs), "--departures", "--policy", "packed", "--json")
    )

    assert found["results"][0]["makespan_s"] == 110


@pytest.mark.slow
def test_recorded_runs_are_a_workload(tmp_path: Path) -> None:
    """What a run's calls asked for and took, on another cluster."""
    (tmp_path / "pipe.py").write_text(PIPELINE)
    assert simulate("run", "pipe.py", folder=tmp_path).returncode == 0

    found = document(
        simulate("simulate", "--nodes", NODES, "--run", "@last", "--policy", "packed", "--json", folder=tmp_path)
    )

    assert found["results"][0]["tasks"] == found["results"][0]["placed"] == 4
    missing = simulate("simulate", "--nodes", NODES, "--run", "no-such-run", folder=tmp_path)
    assert missing.returncode == 4
    assert "no-such-run" in missing.stderr


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--departures",)])
def test_a_picture(tmp_path: Path, more: tuple[str, ...]) -> None:
    """A PNG beside the table; a format that is none is said."""
    pytest.importorskip("matplotlib")
    tasks = str(DATA / "tasks.csv")

    done = simulate(
        "simulate", "--nodes", NODES, "--tasks", tasks, "--policy", "packed", "--plot", str(tmp_path / "p.png"), *more
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    wrong = simulate("simulate", "--nodes", NODES, "--tasks", tasks, "--plot", str(tmp_path / "p.nothing"), *more)
    assert wrong.returncode == 2
    assert "not supported" in wrong.stderr


@pytest.mark.slow
def test_one_workload_must_be_given() -> None:
    """Neither, or both, is a mistake in words."""
    assert "give one of them" in simulate("simulate", "--nodes", NODES).stderr
