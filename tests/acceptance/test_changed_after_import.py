"""A file that is edited while the program runs: workers run what the program imported, under the key made from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import gpucache as gpc

SCALE = 2

@gpc.resident
def offset():
    return 100

@gpc.task
def scaled(x: int) -> int:
    return x * SCALE + offset()
"""
PROGRAM = """
import os, pathlib
import edited
import gpucache as gpc

file = pathlib.Path(edited.__file__)
file.write_text(file.read_text().replace("x * SCALE", "x * SCALE * 1000"))
print(edited.scaled.submit(3).result(60), edited.scaled.submit(3).state)
gpc.shutdown()
"""


@pytest.mark.slow
def test_worker_runs_what_was_imported(tmp_path: Path) -> None:
    """The file changed after the import; the result is the imported code's."""
    (tmp_path / "edited.py").write_text(MODULE)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store"), "GPUCACHE_RUNTIME": "local"}

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout.split()[:1] == ["106"], done.stderr


STATEFUL = """
import math
import gpucache as gpc
import shared

@gpc.task
def bump(x: int) -> int:
    shared.STATE["n"] += 1
    return x

@gpc.task
def read(x: int) -> int:
    return shared.STATE["n"]

@gpc.task
def patched(x: float) -> float:
    return math.floor(x)

if __name__ == "__main__":
    bump.submit(1).result()
    print(read.submit(1).result(), read.submit(2).result())
    math.floor = lambda x: 1000
    try:
        print(patched.submit(1.5).result())
    except gpc.errors.CodeDiffers as refusal:
        print("refused:", *(name for name in refusal.names if "floor" in name), patched(1.5))
"""


def test_a_worker_with_other_state_runs_nothing(tmp_path: Path) -> None:
    """One that an earlier call has changed is replaced; what the program itself changed while it ran is refused, by name."""
    (tmp_path / "shared.py").write_text("STATE = {'n': 0}\n")
    (tmp_path / "stateful.py").write_text(STATEFUL)
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store"), "GPUCACHE_RUNTIME": "local"}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "stateful.py"],
        cwd=tmp_path,
        env={**environment, "GPUCACHE_MAX_WORKERS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["0 0", "refused: stateful.math.floor 1000"]
    assert "workers are replaced: in one shared.STATE was changed by an earlier call" in done.stderr
