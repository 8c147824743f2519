"""Files that a body has read elsewhere count: in pools of threads that were there before it, and in forked processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import asyncio, functools, os, sys, warnings
import gpucache as gpc

warnings.simplefilter("ignore")  # Python 3.12 on: fork beside threads

def read(number):
    with open("data" + str(number) + ".txt") as file:
        return file.read()

@functools.cache
def threads():
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(1)

@functools.cache
def more_threads():
    from multiprocessing.pool import ThreadPool
    return ThreadPool(1)

def forks():
    import multiprocessing
    return multiprocessing.get_context("fork")

@gpc.task
def executor(number, call):
    return threads().submit(read, number).result()

@gpc.task
def thread_pool(number, call):
    return more_threads().map(read, [number])[0]

@gpc.task
def thread_pool_one(number, call):
    return more_threads().apply(read, (number,))

@gpc.task
def thread_pool_each(number, call):
    return list(more_threads().imap(read, [number]))[0]

@gpc.task
async def event_loop(number, call):
    return await asyncio.get_running_loop().run_in_executor(None, read, number)

@gpc.task
def process_pool(number, call):
    with forks().Pool(2) as pool:
        return pool.map(read, [number])[0]

@gpc.task
def process_executor(number, call):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(1, mp_context=forks()) as pool:
        return list(pool.map(read, [number]))[0]

@gpc.task
def process(number, call):
    context = forks()
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(read(number)))
    child.start()
    found = ours.recv()
    child.join()
    return found

@gpc.task
def made_in_a_process(number, call):
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        def work():
            with open(folder + "/made", "w") as file:
                file.write(read(number))
        child = forks().Process(target=work)
        child.start()
        child.join()
        with open(folder + "/made") as file:
            return file.read()

@gpc.task
def grandchild(number, call):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.write(theirs, read(number).encode())
            os._exit(0)
        os.wait()
        os._exit(0)
    os.wait()
    return os.read(ours, 100).decode()

task = globals()[sys.argv[1]]
for call in range(2):
    found = task(1, call)
    if asyncio.iscoroutine(found):
        async def waited(one=found):
            return await one
        found = asyncio.run(waited())
    print(found, task.explain(1, call).hit, task.explain(1, call).notes)
"""
WAYS = ["executor", "thread_pool", "thread_pool_one", "thread_pool_each", "event_loop", "process_pool"]
WAYS += ["process_executor", "process", "made_in_a_process", "grandchild"]


def run(folder: Path, way: str) -> str:
    """What the program prints of two calls, which differ in an argument that the body does not look at."""
    environment = {**os.environ, "GPUCACHE_STORE": str(folder / "store"), "GPUCACHE_RUNTIME": "inline"}
    done = subprocess.run(
        [sys.executable, "program.py", way], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_what_is_read_elsewhere_counts(tmp_path: Path, way: str) -> None:
    """Also in the second call, whose threads were there before it; nothing else does, and what was made is not read."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "data1.txt").write_text("a")
    assert run(tmp_path, way) == "a True ()\n" * 2

    (tmp_path / "data1.txt").write_text("b")
    (tmp_path / "data2.txt").write_text("c")

    assert run(tmp_path, way) == "b True ()\n" * 2


UNSEEN = """
import functools, multiprocessing, os, sys
import gpucache as gpc

@functools.cache
def pool(way):
    return multiprocessing.get_context(way).Pool(1)

@gpc.task
def pooled(way, call):
    return pool(way).apply(abs, (-1,))

if __name__ == "__main__":
    for call in range(2):
        pooled(sys.argv[1], call)
        print(pooled.explain(sys.argv[1], call).notes)
"""


@pytest.mark.parametrize(
    ("way", "first", "second"),
    [
        ("fork", "()", "processes are there that began before it"),
        ("spawn", "it runs a subprocess", "processes are there that began before it"),
    ],
)
def test_what_other_processes_read_is_said(tmp_path: Path, way: str, first: str, second: str) -> None:
    """Nobody sees what a process reads that began with nothing (spawn raises no audit event, either), or before the body."""
    (tmp_path / "program.py").write_text(UNSEEN)

    notes = run(tmp_path, way).splitlines()

    assert first in notes[0]
    assert second in notes[1]
