"""Files that a body reads by their path, and variables that it asks for, are part of what its call is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

READERS = """
import json, os, pathlib, sqlite3, subprocess, sys, tempfile, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import gpucache as gpc

HERE = pathlib.Path(__file__).parent

@gpc.task
def by_path(name: str) -> str:
    return (HERE / name).read_text()

@gpc.task
def from_here(name: str) -> str:
    with open(name) as file:
        return file.read()

@gpc.task
def perhaps(name: str) -> str:
    try:
        return open(name).read()
    except FileNotFoundError:
        return "default"

@gpc.task
def array(name: str) -> np.ndarray:
    return np.load(HERE / name)

@gpc.task
def listing() -> list[str]:
    return sorted(os.listdir(HERE / "folder"))

@gpc.task
def variable() -> str:
    return os.environ.get("MODE", "none")

@gpc.task
def in_threads() -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda name: open(HERE / name).read(), ["a.txt", "b.txt"]))

@gpc.task
def outer() -> str:
    return by_path("a.txt") + "!"

@gpc.task
def scratch() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "x.txt")
        path.write_text("own")
        return len(path.read_text()) + len(os.listdir(folder))

@gpc.task
def of_file(file: gpc.File) -> str:
    return file.read_text()

@gpc.resident
def table():
    return json.loads((HERE / "table.json").read_text())

@gpc.task
def looked_up(key: str) -> int:
    return table()[key]

@gpc.task(timeout=60)
def in_worker() -> str:
    return (HERE / "a.txt").read_text() + os.environ.get("MODE", "none") + open("b.txt").read()

CALLS = {
    "by_path": lambda: by_path("a.txt"),
    "from_here": lambda: from_here("a.txt"),
    "perhaps": lambda: perhaps("maybe.txt"),
    "array": lambda: array("x.npy").tolist(),
    "listing": lambda: listing(),
    "variable": lambda: variable(),
    "in_threads": lambda: in_threads(),
    "outer": lambda: outer(),
    "scratch": lambda: scratch(),
    "of_file": lambda: of_file(gpc.File(HERE / "a.txt")),
    "looked_up": lambda: looked_up("k"),
}
WHY = {
    "by_path": lambda: by_path.explain("a.txt"),
    "variable": lambda: variable.explain(),
    "listing": lambda: listing.explain(),
    "perhaps": lambda: perhaps.explain("maybe.txt"),
    "outer": lambda: outer.explain(),
}

@gpc.flow
def everything() -> dict:
    return {name: call() for name, call in CALLS.items()}

if __name__ == "__main__":
    why = {name: str(explain()) for name, explain in WHY.items()}
    run = everything.run()
    ran = sorted(call.task for call in run.calls if call.state.value == "ran")
    print(json.dumps({"ran": ran, "values": run.result(), "why": why}))
"""

ALL = [
    *("array", "by_path", "from_here", "in_threads", "listing", "looked_up"),
    *("of_file", "outer", "perhaps", "scratch", "variable"),
]


class Place:
    """A project with files, a store beside it, and processes that run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.store = folder / "store"
        (self.folder / "folder").mkdir(parents=True)
        self.write("pyproject.toml", "")
        self.write("readers.py", READERS)
        for name, text in (("a.txt", "a"), ("b.txt", "b"), ("folder/one", ""), ("table.json", '{"k": 1}')):
            self.write(name, text)
        self.save([1.0, 2.0])

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def save(self, numbers: list[float]) -> None:
        import numpy as np

        np.save(self.folder / "x.npy", np.array(numbers))

    def python(self, *arguments: str, **variables: str) -> str:
        environment = {**os.environ, "GPUCACHE_STORE": str(self.store), "GPUCACHE_RUNTIME": "local", **variables}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, **variables: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.python("readers.py", **variables))
        return document


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_changed_reruns_and_nothing_else_does(place: Place) -> None:
    """Each thing that a body reads, changed in turn; there and back finds the first records again."""
    assert place.run()["ran"] == sorted([*ALL])
    assert place.run()["ran"] == []

    place.write("a.txt", "A")
    changed = place.run()
    assert changed["ran"] == ["by_path", "from_here", "in_threads", "of_file", "outer"]
    assert [changed["values"][name] for name in ("by_path", "in_threads", "outer")] == ["A", ["A", "b"], "A!"]
    assert changed["why"]["by_path"] == "by_path: would run, because file a.txt: its content changed (1 bytes)"
    assert changed["why"]["outer"] == "outer: would run, because file a.txt: its content changed (1 bytes)"

    place.write("b.txt", "B")
    assert place.run()["ran"] == ["in_threads"]

    place.write("a.txt", "a")
    place.write("b.txt", "b")
    back = place.run()
    assert back["ran"] == []
    assert back["values"]["outer"] == "a!"

    place.save([1.0, 3.0])
    saved = place.run()
    assert (saved["ran"], saved["values"]["array"]) == (["array"], [1.0, 3.0])

    place.write("folder/two", "")
    listed = place.run()
    assert (listed["ran"], listed["values"]["listing"]) == (["listing"], ["one", "two"])
    assert listed["why"]["listing"] == "listing: would run, because file folder 1 entries -> 2 entries"

    place.write("maybe.txt", "now")
    there = place.run()
    assert (there["ran"], there["values"]["perhaps"]) == (["perhaps"], "now")
    assert there["why"]["perhaps"] == "perhaps: would run, because file maybe.txt missing -> 3 bytes"

    place.write("table.json", '{"k": 2}')
    loaded = place.run()
    assert (loaded["ran"], loaded["values"]["looked_up"]) == (["looked_up"], 2)


def test_variables_count_by_their_value(place: Place) -> None:
    """The variable that the body asks for counts, another does not."""
    place.run()

    other = place.run(OTHER="x", TMPDIR=str(place.folder / "folder"))
    changed = place.run(MODE="fast")
    again = place.run(MODE="fast")

    assert other["ran"] == []
    assert (changed["ran"], changed["values"]["variable"]) == (["variable"], "fast")
    assert changed["why"]["variable"] == "variable: would run, because variable MODE unset -> 'fast'"
    assert again["ran"] == []


def test_touched_copied_and_moved_files_are_the_same(place: Place) -> None:
    """A new time, a new inode, and another place of the whole project change nothing."""
    place.run()

    os.utime(place.folder / "a.txt", (1, 1))
    (place.folder / "copy").write_text("b")
    os.replace(place.folder / "copy", place.folder / "b.txt")
    touched = place.run()
    place.folder = place.folder.rename(place.folder.parent / "elsewhere")
    moved = place.run()

    assert touched["ran"] == []
    assert moved["ran"] == []


PROGRAM = """
import os, pathlib
import gpucache as gpc
from readers import in_worker, HERE

print(in_worker())
(HERE / "a.txt").write_text("A")
print(in_worker(), in_worker.submit().state.value)
os.environ["MODE"] = "fast"
print(in_worker())
(HERE / "elsewhere").mkdir()
(HERE / "elsewhere" / "b.txt").write_text("BB")
os.chdir(HERE / "elsewhere")
print(in_worker(), in_worker.submit().state.value)
del os.environ["MODE"]
os.chdir(HERE)
print(in_worker(), in_worker.submit().state.value)
gpc.shutdown()
"""


def test_warm_workers_see_what_the_program_sees(place: Place) -> None:
    """A worker that is warm reads files, variables and relative paths as the program would now; and its answers are found again."""
    place.write("program.py", PROGRAM)

    assert place.python("program.py").split() == [
        "anoneb",
        "Anoneb",
        "hit",
        "Afastb",
        "AfastBB",
        "hit",
        "Anoneb",
        "hit",
    ]


RESIDENT = """
import gpucache as gpc
from readers import HERE, looked_up

stays = looked_up.with_(timeout=60)
print(stays("k"))
(HERE / "table.json").write_text('{"k": 7}')
print(stays("k"))
gpc.shutdown()
"""


def test_a_resident_is_loaded_again_when_its_file_changed(place: Place) -> None:
    """A warm worker's loaded value is not older than the file it came from."""
    place.write("program.py", RESIDENT)

    assert place.python("program.py").split() == ["1", "7"]


UNSTABLE = """
import os, pathlib, warnings
import gpucache as gpc

HERE = pathlib.Path(__file__).parent

@gpc.task
def grows() -> str:
    path = HERE / "a.txt"
    text = path.read_text()
    path.write_text(text + "+")  # seen: the result is of what was read before
    return text

@gpc.task
def cut() -> str:
    text = (HERE / "b.txt").read_text()
    os.truncate(HERE / "b.txt", 0)  # not seen as the body's own doing
    return text

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    print(grows(), grows(), cut(), cut() or "empty")
print([str(warning.message).partition(" was changed")[0] for warning in said])
print(cut.explain().hit)
"""


def test_a_file_that_changes_while_the_body_runs_is_not_believed(place: Place) -> None:
    """Nobody knows what was read: the value is returned, not stored, and it is said. What the body wrote itself is known."""
    place.write("program.py", UNSTABLE)

    values, said, hit = place.python("program.py").splitlines()

    assert values == "a a+ b empty"
    assert said.count("not stored") == said.count("b.txt") == 1
    assert hit == "True"  # of the second cut(): the empty file, as it is now
