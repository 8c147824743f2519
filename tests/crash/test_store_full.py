"""A disk that fills up while processes write and read, and a /dev/shm without a byte: readers live, what was acknowledged stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_operations import problem_of, publish

from gpucache.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DISK_BYTES = 6 * 2**20
WRITERS, REFUSED_MAX = 2, 20

WRITER = """
import sys
from fault_operations import publish
from gpucache.errors import StoreFull
from gpucache.store import Store
refused, step = 0, int(sys.argv[2])
with Store(sys.argv[1], durability=sys.argv[3]) as store:
    while refused < int(sys.argv[4]):
        try:
            publish(store, step)
            print("ack", step, flush=True)
        except StoreFull as problem:
            refused += 1
            assert "has no room" in str(problem), problem
            print("full", flush=True)
        step += 1
"""

READER = """
import sys
from fault_operations import problem_of
from gpucache.store import Store
steps = [int(step) for step in sys.argv[2:]]
with Store(sys.argv[1]) as store:
    print("ready", flush=True)
    for line in sys.stdin:
        for step in steps:
            problem = problem_of(store, step, may_miss=False)
            if problem:
                print(problem, flush=True)
        print("read", flush=True)
"""

ON_A_FULL_DEV_SHM = """
mount -t tmpfs -o size=4k tmpfs /dev/shm || exit 77
cat /dev/zero > /dev/shm/ballast 2> /dev/null
exec "$@"
"""

SHM_WRITER = """
import sys
from fault_operations import problem_of, publish
from gpucache.store import Store
try:
    with open("/dev/shm/more", "wb") as file:
        file.write(bytes(4096))
except OSError:
    print("no room there", flush=True)
with Store(sys.argv[1]) as store:
    for step in range(8):
        publish(store, step)
        with store.flight(step.to_bytes(16, "big")):
            assert not problem_of(store, step, may_miss=False)
    store.collect(apply=True)
print("lives", flush=True)
"""


def _start(program: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    tests = Path(__file__).parents[1]
    return subprocess.Popen(
        [*before, sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tests.parent), str(tests)))},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a few MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("durability", ["relaxed", "durable", "volatile"])
def test_writers_fill_the_disk_and_lose_nothing(disk: Path, durability: str) -> None:
    """Writers go on until they are refused, in words; a reader reads meanwhile; what was acknowledged is there."""
    path, ballast = disk / "store", disk / "ballast"
    old = list(range(4))
    with Store(path) as store:
        for step in old:
            publish(store, step)
    ballast.write_bytes(bytes(2**20))  # taken away at the end: room to look in
    reader = _start(READER, path, *old)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"

    writers = [_start(WRITER, path, 1000 * number, durability, REFUSED_MAX) for number in range(1, WRITERS + 1)]
    said = [writer.communicate() for writer in writers]
    read, problem = reader.communicate("once\nagain\n")

    assert [writer.returncode for writer in writers] == [0] * WRITERS, [problem for _, problem in said]
    assert (reader.returncode, read) == (0, "read\nread\n"), problem
    acknowledged = [int(line.split()[1]) for lines, _ in said for line in lines.splitlines() if line.startswith("ack")]
    assert len(acknowledged) > WRITERS, "the disk was full from the start: nothing was tried"
    ballast.unlink()
    with Store(path) as store:
        problems = [problem_of(store, step, may_miss=False) for step in [*old, *acknowledged]]
        assert [problem for problem in problems if problem] == []
        assert store.verify().problems == ()
        publish(store, 9999)


def test_a_full_dev_shm_is_nothing_to_a_store(tmp_path: Path) -> None:
    """No byte of a store lies there: what processes share of it are files of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can give a process a /dev/shm of its own")
    path = tmp_path / "store"
    writer = _start(SHM_WRITER, path, before=("unshare", "-m", "sh", "-c", ON_A_FULL_DEV_SHM, "sh"))
    said, problem = writer.communicate()
    if writer.returncode == 77 or "unshare failed" in problem:
        pytest.skip(f"nothing can be mounted here: {problem.strip()}")

    assert (writer.returncode, said) == (0, "no room there\nlives\n"), problem
    with Store(path) as store:
        assert [problem_of(store, step, may_miss=False) for step in range(8)] == [""] * 8
        assert store.verify().problems == ()
