"""Functions and classes of a script's own, and of a notebook's cells: the same there and in a worker that got them by value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import enum, typing
from dataclasses import dataclass, field
import gpucache as gpc

@dataclass
class Settings:
    rate: float = 0.1
    names: list = field(default_factory=list)

@dataclass(frozen=True, slots=True, order=True)
class Point:
    x: int
    y: int = 0

class Plain:
    FACTOR = 3
    def __init__(self):
        self.x = 1
    def scaled(self):
        return self.x * self.FACTOR

class Color(enum.Enum):
    RED = 1

class Pair(typing.NamedTuple):
    a: int = 1

class Shape(typing.TypedDict):
    width: int

VALUES = [Settings(), Point(1), Plain(), Color.RED, Pair(2), Shape(width=3), Settings, Plain().scaled]

@gpc.task
def kind(value) -> str:
    return type(value).__name__

if __name__ == "__main__":
    there = [kind.submit(value) for value in VALUES]
    print([future.result(60) for future in there], [future.state.value for future in there])
    print([kind.explain(value).hit for value in VALUES])
"""


@pytest.mark.slow
def test_values_of_the_scripts_classes_are_the_same_in_a_worker(tmp_path: Path) -> None:
    """The argument's digest is compared after the body, in the worker; one that differs is refused as a mutation."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store"), "GPUCACHE_RUNTIME": "local"}

    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    ran, hits = done.stdout.splitlines()
    assert ran.endswith(str(["ran"] * 8))
    assert hits == str([True] * 8)


CELLS = """
import linecache, sys

def cell(number, text):
    # as a kernel does: a file that is none, whose lines linecache has
    name = f"<ipython-input-{number}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), vars(sys.modules["__main__"]))

cell(1, '''
import gpucache as gpc
FACTOR = 3
def helper(x):
    return x * FACTOR
class Scale:
    def __init__(self, by):
        self.by = by
    def times(self, x):
        return helper(x) * self.by
''')
cell(2, '''
@gpc.task
def scaled(x, scale):
    return scale.times(x)
''')
if __name__ == "__main__":
    for _ in range(2):
        future = scaled.submit(2, Scale(5))
        print(future.result(60), future.state.value)
    print(scaled(2, Scale(5)), scaled.explain(2, Scale(5)).hit)
    cell(3, "def helper(x):\\n    return x * FACTOR + 1")
    print(scaled.submit(2, Scale(5)).result(60))
"""


@pytest.mark.slow
def test_cells_of_a_notebook_are_the_same_in_a_worker(tmp_path: Path) -> None:
    """The worker finds the cells' texts, so what it computes is recorded under the key that the notebook asks for."""
    (tmp_path / "cells.py").write_text(CELLS)
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store"), "GPUCACHE_RUNTIME": "local"}

    done = subprocess.run(
        [sys.executable, "cells.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["30", "ran", "30", "hit", "30", "True", "35"], done.stderr
    assert done.stderr == ""
