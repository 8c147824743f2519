"""Files that native code opens by a path that no text names: Arrow's readers, which open in C++ what Python never hears of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import functools, os, ssl, sys, tempfile, time
from pathlib import Path
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import gpucache as gpc

def value(path):
    return pq.read_table(path).column("x").to_pylist()

@gpc.task
def formatted(number, call):
    return value(f"data/part-{number}.parquet")

@gpc.task
def joined(number, call):
    return value(Path.cwd() / "data" / "-".join(["part", str(number) + "." + "parquet"]))

@gpc.task
def mapped(number, call):
    return value(pa.memory_map(f"data/part-{number}.parquet"))

@gpc.task
def dataset(number, call):
    return sorted(ds.dataset("da" + "ta").to_table().column("x").to_pylist())[:number]

@functools.cache
def kept(number):
    return value(f"data/part-{number}.parquet")

@gpc.task
def cached(number, call):
    return kept(number)

@gpc.resident
def weights(number):
    return value(f"data/part-{number}.parquet")

@gpc.task
def resident(number, call):
    return weights(number)

@gpc.task
def inner(number):
    return value(f"data/part-{number}.parquet")

def inner_too(number, call):
    return inner(number)

@gpc.task
def nested(number, call):
    return inner(number)

@functools.cache
def threads():
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(1)

@gpc.task
def threaded(number, call):
    return threads().submit(value, f"data/part-{number}.parquet").result()

@gpc.task
def forked(number, call):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.write(theirs, pa.OSFile(f"text/part-{number}.txt").readall())
        os._exit(0)
    os.wait()
    return os.read(ours, 100).decode()

def in_child(call):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.write(theirs, str(call()).encode())
        os._exit(0)
    os.wait()
    return os.read(ours, 100).decode()

@gpc.task
def task_in_fork(number, call):
    return in_child(lambda: inner(number)) + in_child(lambda: [inner(number), formatted(number, call)][0])

@gpc.task
def its_own(number, call):
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pq.read_table(f"data/part-{number}.parquet"), f"{folder}/{number}.parquet")
        pq.write_table(pq.read_table(f"{folder}/{number}.parquet"), f"made-{number}.parquet")
    ssl.create_default_context()
    return value(f"made-{number}.parquet")

@gpc.task
def changing(number, call):
    found = value(f"data/part-{number}.parquet")
    later = time.time_ns() + 10**9  # nothing that this program writes: another might have
    os.utime("data/" + "part-" + str(number) + ".parquet", ns=(later, later))
    return found

@gpc.task
def replacing(number, call):
    found = value(f"data/part-{number}.parquet")
    pq.write_table(pa.table({"x": [9]}), "other.parquet")
    os.replace("other.parquet", "data/" + "part-" + str(number) + ".parquet")
    return found

content = int(sys.argv[1])
os.makedirs("data", exist_ok=True)
os.makedirs("text", exist_ok=True)
pq.write_table(pa.table({"x": [content]}), "data/part-1.parquet")
Path("text/part-1.txt").write_text(str([content]))
states = []
gpc.init(runtime="inline")
from gpucache.events import hooks
hooks.add(lambda event: states.append((event.task, event.state.value)) if hasattr(event, "state") else None)
for way in sys.argv[2:]:
    task = globals()[way]
    for call in range(2):
        found = task(1, call)
        ended = [state for task, state in states if task in (way, way.removesuffix("_too"))]
        print(way, found, ended[-1])
"""
WAYS = ["formatted", "joined", "mapped", "dataset", "cached", "resident", "nested", "threaded", "forked", "its_own"]


def run(folder: Path, content: int, *ways: str, program: str = "program.py") -> list[str]:
    """Two calls in each way, which differ in an argument that the body does not look at; the files have this content."""
    environment = {**os.environ, "GPUCACHE_STORE": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", program, str(content), *ways],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Of four programs, one after another, that read by all ways: the content is 1, 1, 2, and 1 again."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "program.py").write_text(PROGRAM)
    return [run(folder, content, *WAYS) for content in (1, 1, 2, 1)]


@pytest.mark.parametrize("way", WAYS)
def test_what_native_code_reads_counts(outputs: list[list[str]], way: str) -> None:
    """By its content, in every call: the same content hits, another runs, the first again hits."""
    said = [[line.removeprefix(f"{way} ") for line in output if line.startswith(f"{way} ")] for output in outputs]

    assert said == [["[1] ran"] * 2, ["[1] hit"] * 2, ["[2] ran"] * 2, ["[1] hit"] * 2]


def test_tasks_in_forked_children(tmp_path: Path) -> None:
    """What a task in a child of a body reads natively is that task's, and the body's; so it is in a child of the program."""
    (tmp_path / "program.py").write_text(PROGRAM)
    in_fork = (
        PROGRAM.replace("        found = task(1, call)\n", "        found = in_child(lambda: task(1, call))\n")
        .replace("ended[-1])", "task.explain(1, call).hit)")
        .replace('        ended = [state for task, state in states if task in (way, way.removesuffix("_too"))]\n', "")
    )
    (tmp_path / "forking.py").write_text(in_fork)

    assert run(tmp_path, 1, "task_in_fork") == ["task_in_fork [1][1] ran"] * 2
    assert run(tmp_path, 2, "inner_too") == ["inner_too [2] ran", "inner_too [2] hit"]
    assert run(tmp_path, 2, "task_in_fork") == ["task_in_fork [2][2] ran"] * 2
    assert run(tmp_path, 1, "task_in_fork") == ["task_in_fork [1][1] hit"] * 2
    assert run(tmp_path, 3, "formatted", program="forking.py") == ["formatted [3] True"] * 2
    assert run(tmp_path, 4, "formatted", program="forking.py") == ["formatted [4] True"] * 2


def test_a_file_that_changes_after_native_code_read_it(tmp_path: Path) -> None:
    """Nobody knows what was read: the value is given and not kept."""
    (tmp_path / "program.py").write_text(PROGRAM)

    assert run(tmp_path, 1, "changing") == ["changing [1] uncached"] * 2


def test_a_file_that_the_body_replaces_after_native_code_read_it(tmp_path: Path) -> None:
    """It counts as it was when it was read, like one that Python has read."""
    (tmp_path / "program.py").write_text(PROGRAM)

    assert run(tmp_path, 1, "replacing") == ["replacing [1] ran", "replacing [9] ran"]
    # The second call has not met that content: the first one had replaced it.
    assert run(tmp_path, 1, "replacing") == ["replacing [1] hit", "replacing [1] ran"]


def test_who_does_not_want_libraries_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUCACHE_NATIVE_READS=0 leaves them alone: then such a file is not seen."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("GPUCACHE_NATIVE_READS", "0")

    assert run(tmp_path, 1, "joined") == ["joined [1] ran"] * 2
    assert run(tmp_path, 2, "joined") == ["joined [1] hit"] * 2


FULL = """
import pyarrow as pa
from gpucache.memo import _opens
assert _opens.install(4096) == 0
import gpucache as gpc

@gpc.task
def many(count):
    for number in range(count):
        pa.OSFile("data" + "/" + str(number))
    return count

gpc.init(runtime="inline")
from pathlib import Path
Path("data").mkdir(exist_ok=True)
for number in range(200):
    Path("data", str(number)).touch()
for count in (200, 20, 20):
    many(count)
    print(many.explain(count).hit)
"""


def test_more_files_than_there_is_room_to_note(tmp_path: Path) -> None:
    """Who opened more than could be noted has no record; the next one, who opened fewer, has."""
    (tmp_path / "program.py").write_text(FULL)
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store")}

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["False", "True", "True"], done.stderr
    assert "one of the files that it opened (too many for all to be noted)" in done.stderr
