"""What does a rerun cost in which nothing changed, as a whole process: interpreter, imports, look-ups, last result?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
        rounds=3,
        setup=lambda: shutil.rmtree(tmp_path / "store", ignore_errors=True),
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline file that `gpucache demo` writes, and the folder that it runs in."""
    folder = tmp_path_factory.mktemp("demo")
    _gpucache("demo", "--help", cwd=folder, store=folder / "store")
    return folder


def _gpucache(*arguments: str, cwd: Path, store: Path) -> None:
    command = [str(Path(sys.executable).parent / "gpucache"), *arguments]
    env = {**os.environ, "GPUCACHE_STORE": str(store)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd, env=env)
