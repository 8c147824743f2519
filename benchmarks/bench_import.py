"""What does a process pay before it has called anything? CPU time of whole processes, theirs and their children's."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from benchmarks.conftest import Contest


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


SCRIPTS = {
    "nothing (bare interpreter)": "pass",
    "gpucache": "import gpucache",
    "diskcache": "import diskcache",
    "joblib": "import joblib",
    "numpy": "import numpy",
    "ray": "import ray",
}


@pytest.mark.parametrize("contestant", SCRIPTS)
@pytest.mark.benchmark(timer=_children_cpu_s)
def test_import(contestant: str, contest: Contest) -> None:
    """`python -c "import X"`, CPU seconds."""
    command = [sys.executable, "-c", SCRIPTS[contestant]]

    contest("CPU of a process that imports it", contestant, lambda: subprocess.run(command, check=True), rounds=15)


def test_help(contest: Contest) -> None:
    """`gpucache --help`, whole process."""
    command = [sys.executable, "-c", "import sys; from gpucache.cli.main import main; sys.exit(main())", "--help"]

    contest(
        "gpucache --help, whole process",
        "gpucache",
        lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL),
        rounds=15,
    )
