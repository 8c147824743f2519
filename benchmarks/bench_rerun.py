"""What does a rerun cost in which nothing changed, as a whole process: interpreter, imports, look-ups, last result?"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from benchmarks.conftest import Contest

FIVE = "five steps, 100 MiB between them, whole process"
DEMO = "the demo, whole process"


def _five_steps(contestant: str, folder: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.programs.five_steps", contestant, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("contestant", ["gpucache", "joblib", "diskcache"])
def test_five_steps_again(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """Everything hits."""
    _five_steps(contestant, tmp_path)

    contest(FIVE, f"{contestant}, all hit", lambda: _five_steps(contestant, tmp_path), rounds=5)


@pytest.mark.parametrize("contestant", ["gpucache", "joblib", "diskcache", "no cache"])
def test_five_steps_cold(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """Everything runs and is stored; without a cache nothing is."""
    contest(
        FIVE,
        f"{contestant}, cold" if contestant != "no cache" else contestant,
        lambda: _five_steps(contestant, tmp_path / "store"),
        rounds=1 if contestant == "diskcache" else 3,  # it takes ten seconds
        setup=lambda: shutil.rmtree(tmp_path / "store", ignore_errors=True),
    )


def _demo(contestant: str, folder: Path) -> None:
    """One run of the demo's pipeline file, as its user would start it; the file is written if it is not there."""
    file, store = folder / "pipeline.py", folder / "store"
    if not file.exists():
        file.write_text(resources.files("gpucache.demo.digits").joinpath("pipeline.py").read_text())
    commands = {
        "gpucache": ["gpucache", "run", str(file), "--store", str(store)],
        "joblib": ["benchmarks.programs.under_joblib", str(file), str(store), "digits"],
    }
    subprocess.run([sys.executable, "-m", *commands[contestant]], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("contestant", ["gpucache", "joblib"])
def test_demo_again(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """Everything hits."""
    _demo(contestant, tmp_path)

    contest(DEMO, f"{contestant}, all hit", lambda: _demo(contestant, tmp_path), rounds=5)


@pytest.mark.parametrize("contestant", ["gpucache", "joblib"])
def test_demo_cold(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """Everything runs and is stored."""
    contest(
        DEMO,
        f"{contestant}, cold",
        lambda: _demo(contestant, tmp_path),
        rounds=3,
        setup=lambda: shutil.rmtree(tmp_path / "store", ignore_errors=True),
    )
