"""When an index's file is walked before LMDB gets it: whenever it may have been damaged, and no time else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpucache.events import Event, Quarantined, hooks
from gpucache.store import Store, sound
from gpucache.store._walk import problem_of

ROWS = 500
HELD = """
import sys
from gpucache.store import Store
store = Store(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with some rows, closed."""
    with Store(tmp_path / "store") as store:
        for number in range(ROWS):
            store.table_put("runs", b"%06d" % number, b"r" * 200)
    return tmp_path / "store"


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of each file that was walked."""
    lengths: list[int] = []

    def walk(data: memoryview, page_bytes: int) -> str | None:
        lengths.append(len(data))
        return problem_of(data, page_bytes)

    monkeypatch.setattr(sound, "problem_of", walk)
    return lengths


@contextmanager
def elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open."""
    with subprocess.Popen(
        [sys.executable, "-c", HELD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield other
        other.kill()


def flip(path: Path, page: int) -> None:
    """Change a page's kind, as a disk might."""
    with (path / "index" / "data.mdb").open("r+b") as file:
        file.seek(page * os.sysconf("SC_PAGESIZE") + 10)
        file.write(b"\xff\xff")


def page_in_use(path: Path) -> int:
    """One that the walk looks at."""
    data = bytearray((path / "index" / "data.mdb").read_bytes())
    page_bytes = os.sysconf("SC_PAGESIZE")
    for page in range(2, len(data) // page_bytes):
        changed = data[:]
        changed[page * page_bytes + 10 : page * page_bytes + 12] = b"\xff\xff"
        if problem_of(changed, page_bytes) is not None:
            return page
    raise AssertionError("no page is in use")


def test_what_was_closed_is_not_walked_again(path: Path, walks: list[int]) -> None:
    """The next program starts at once, however large the index is."""
    Store(path).close()

    assert walks == []


def test_what_changed_since_it_was_closed_is_walked(path: Path, walks: list[int]) -> None:
    """A restored backup, a copy, a disk that wrote elsewhere."""
    data = path / "index" / "data.mdb"
    os.utime(data, ns=(1, 1))
    Store(path).close()

    assert walks == [data.stat().st_size]


def test_what_a_killed_process_left_is_walked(path: Path, walks: list[int]) -> None:
    """It closed nothing; its writes made the file another than the one that was closed before."""
    with elsewhere(path) as other:
        with Store(path) as store:
            store.table_put("runs", b"more", b"r" * 200)
        (path / "index" / sound.STAMP).unlink()
        other.kill()
        other.wait()
    Store(path).close()

    assert len(walks) == 1


def test_what_someone_has_open_is_not_walked(path: Path, walks: list[int]) -> None:
    """He has walked it: a second worker costs no second walk."""
    (path / "index" / sound.STAMP).unlink()
    with elsewhere(path):
        Store(path).close()

    assert walks == []


def test_a_forked_child_is_no_holder(path: Path) -> None:
    """It lets go of what its parent holds, and the parent holds it still."""
    store = Store(path)
    pid = os.fork()
    if pid == 0:
        with Store(path) as again:
            os._exit(0 if again.table_get("runs", b"000001") == b"r" * 200 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.table_get("runs", b"000001") == b"r" * 200
    (path / "index" / sound.STAMP).unlink(missing_ok=True)
    looked = "import sys; from gpucache.store import Store, sound; sound.problem_of = None; Store(sys.argv[1])"

    done = subprocess.run([sys.executable, "-c", looked, path], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    store.close()


def test_a_damaged_page_never_reaches_lmdb(path: Path) -> None:
    """The file is set aside, its rows are saved as far as they can be read, and the store goes on."""
    flip(path, page_in_use(path))
    heard: list[Event] = []
    hooks.add(heard.append)
    try:
        with Store(path) as store:
            rows = dict(store.table_scan("runs"))
    finally:
        hooks.remove(heard.append)

    assert [event.name for event in heard if isinstance(event, Quarantined)] == ["the index"]
    assert set(rows.values()) <= {b"r" * 200}
    assert list((path / "quarantine").iterdir())


def test_verify_walks_what_is_open(path: Path, walks: list[int]) -> None:
    """Damage done under an open store is found by verify, without LMDB."""
    with Store(path) as store:
        assert store.verify(level="structure").problems == ()

    assert len(walks) == 1
