"""A script's own functions and globals, in our executor and in the standard library's: the same output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, threading
from concurrent.futures import ProcessPoolExecutor

MODEL = None
STATE = {"v": 0}
CACHE = {}
LIMIT = 3
LOCK = threading.Lock()

class Point:
    def __init__(self, x):
        self.x = x

    def moved(self):
        return Point(self.x + LIMIT)

ORIGIN = Point(1)

def helper(x):
    return x * LIMIT

HANDLERS = {"helper": helper, "again": lambda x: HANDLERS["helper"](x) + 1}

def init(value):
    global MODEL
    MODEL = value
    STATE["v"] = value

def get(_):
    return MODEL, STATE["v"]

def counted(x):
    CACHE[x] = helper(x)
    return len(CACHE)

def guarded(x):
    with LOCK:
        return HANDLERS["again"](x)

def recursive(n):
    return 0 if n == 0 else n + recursive(n - 1)

def called(x):
    called.times = getattr(called, "times", 0) + 1
    return called.times

def moved(point):
    return point.moved().x + ORIGIN.x, isinstance(point, Point), type(ORIGIN) is Point

def executor():
    if sys.argv[1] == "ours":
        import gpucache
        return gpucache.Executor(1, initializer=init, initargs=(7,), runtime="local")
    return ProcessPoolExecutor(1, initializer=init, initargs=(7,))

if __name__ == "__main__":
    with executor() as pool:
        print(list(pool.map(get, range(2))))
        print([pool.submit(counted, x).result() for x in (1, 2, 3)])
        print(list(pool.map(guarded, range(3))), pool.submit(recursive, 4).result())
        print([pool.submit(called, x).result() for x in range(3)])
        print(pool.submit(moved, Point(5)).result())
"""


def test_globals_of_the_main_file_live_on(tmp_path: Path) -> None:
    """What an initializer sets and calls change is there for the next call; tables, locks, classes and recursion work."""
    (tmp_path / "program.py").write_text(PROGRAM)

    outputs = [
        subprocess.run([sys.executable, "program.py", whose], cwd=tmp_path, capture_output=True, text=True, check=False)
        for whose in ("ours", "theirs")
    ]

    assert outputs[0].returncode == 0, outputs[0].stderr
    assert outputs[0].stdout == outputs[1].stdout


CHANGES = """
import gpucache

RATE = 1
TABLE = {"calls": 0}
CONNECTION = None

def rated(x):
    TABLE["calls"] += 1
    return x * RATE, TABLE["calls"]

def connected():
    return CONNECTION

if __name__ == "__main__":
    with gpucache.Executor(1, runtime="local") as pool:
        print(pool.submit(rated, 2).result())
        RATE = 10
        print(pool.submit(rated, 2).result())
        CONNECTION = (line for line in "ab")
        try:
            pool.submit(connected).result()
        except Exception as problem:
            print(type(problem).__name__, problem)
"""


def test_what_the_program_changes_arrives(tmp_path: Path) -> None:
    """A global that the program binds anew is new in workers, too, and the others stay; one that can't be sent is named."""
    (tmp_path / "program.py").write_text(CHANGES)

    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[:2] == ["(2, 1)", "(20, 2)"], done.stderr
    assert "global 'CONNECTION' of the main file can't be sent to a worker" in done.stdout
    assert "make it in the initializer" in done.stdout
