"""A script's own tasks go to workers by value: whatever their text mentions, they are there what they are here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_support import REPOSITORY

pytestmark = pytest.mark.slow

SCRIPT = """
import threading
import gpucache as gpc

LOCK, LIMIT = threading.Lock(), 5

def old(x):
    return x

def newer(x):
    return x + 1
    return old(x)  # what an early return leaves

@gpc.task
def unreached(x):
    if 0:  # switched off for now
        with LOCK:
            print(old(x))
    return newer(x)

@gpc.task
def with_class(x):
    class Local:
        limit = LIMIT
    return Local.limit + x

if __name__ == "__main__":
    values = [task.submit(1).result() for task in (unreached, with_class) for _ in range(2)]
    print(values, unreached.explain(1).hit, with_class.explain(1).hit)
"""


def test_dead_code_and_classes_within_tasks(tmp_path: Path) -> None:
    """A global named in code that never runs need not arrive, nor have an identity; one that a nested class reads does arrive."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store"), "PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout == "[2, 2, 6, 6] True True\n", done.stderr
