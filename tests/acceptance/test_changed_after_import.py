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
