"""A store that is not as it should be, seen by who calls tasks: an error in words before anything ran, or the value."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

import gpucache as gpc
from gpucache.errors import NoSuchRecord, StoreFormatUnknown, StoreUnusable, Untrusted
from gpucache.events import CallEnded, Degraded, Event, NotStored, Quarantined, State, hooks
from gpucache.memo import ResultNotStored

MIB = 2**20
SMALL_DISK_BYTES = 8 * MIB


@gpc.task
def doubled(number: int) -> int:
    """A small result."""
    return 2 * number


@gpc.task
def array(mib: int) -> np.ndarray:
    """A large result."""
    return np.full(mib * MIB // 8, mib, dtype=np.int64)


@gpc.task
def total(numbers: np.ndarray) -> int:
    """Of a large argument."""
    return int(numbers.sum())


class Thing:
    """What only pickle can store: it has a __reduce__ of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and other.name == self.name

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Thing, (self.name,)


@gpc.task
def thing(name: str) -> Thing:
    """A result that needs unpickling."""
    return Thing(name)


@pytest.fixture(autouse=True)
def _no_session_stays() -> Iterator[None]:
    yield
    gpc.shutdown()


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """The events from now on."""
    events: list[Event] = []
    hooks.add(events.append)
    yield events
    hooks.remove(events.append)


def _states(heard: list[Event]) -> list[str]:
    """How the calls ended, in order."""
    return [event.state for event in heard if isinstance(event, CallEnded)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    size = f"size={SMALL_DISK_BYTES}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
    yield place
    gpc.shutdown()
    subprocess.run(["umount", "--lazy", place], check=True)


# -------------------------------------------------------------------- what is refused before anything ran


@pytest.mark.parametrize("found", [{"gpucache_store": True, "format": 99}, {"format": "x"}, [], {}])
def test_a_store_of_another_format_is_refused(tmp_path: Path, found: object, heard: list[Event]) -> None:
    """In words, with the remedy; the task did not run and nothing in the directory changed."""
    path = tmp_path / "store"
    with gpc.Store(path):
        pass
    (path / "format.json").write_bytes(msgspec.json.encode(found))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}

    with pytest.raises(StoreFormatUnknown, match="use the gpucache that wrote it, or another path"):
        gpc.Store(path)
    gpc.init(store=path, runtime="inline")
    with pytest.raises(StoreFormatUnknown):
        doubled(1)

    assert _states(heard) == []
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_a_marker_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """Garbage in format.json says nothing about the format, so nothing is touched."""
    path = tmp_path / "store"
    with gpc.Store(path):
        pass
    (path / "format.json").write_bytes(b"\0garbage")

    with pytest.raises(StoreUnusable, match=r"format\.json can't be read"):
        gpc.Store(path)


def _under_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file" / "store"


def _a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file"


def _someone_elses(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("mine")
    return tmp_path / "photos"


def _a_file_system_of_the_kernel(tmp_path: Path) -> Path:
    return Path("/proc/self/store")


def _not_writable(tmp_path: Path) -> Path:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    return tmp_path / "locked" / "store"


def _dangling_link(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "deeper")
    return tmp_path / "link"


PLACES = [_under_a_file, _a_file, _someone_elses, _a_file_system_of_the_kernel, _not_writable, _dangling_link]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_can_not_be_a_store_is_refused(tmp_path: Path, place, heard: list[Event]) -> None:
    """The message names the path, why, and how to choose another; the task did not run; what lay there is untouched."""
    path = place(tmp_path)
    before = sorted((str(file), file.is_file() and file.read_bytes()) for file in tmp_path.rglob("*"))

    with pytest.raises(StoreUnusable, match="GPUCACHE_STORE") as refusal:
        gpc.Store(path)
    gpc.init(store=path, runtime="inline")
    with pytest.raises(StoreUnusable):
        doubled(1)

    assert str(path) in str(refusal.value)
    assert _states(heard) == []
    assert sorted((str(file), file.is_file() and file.read_bytes()) for file in tmp_path.rglob("*")) == before


def test_a_read_only_file_system_is_refused(small_disk: Path) -> None:
    """Not only permissions: a mount that can't be written says so, root or not."""
    with gpc.Store(small_disk / "store"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    with pytest.raises(StoreUnusable, match="GPUCACHE_STORE"):
        gpc.Store(small_disk / "store")


# -------------------------------------------------------------------- a store that others can write


@pytest.mark.parametrize("folder", ["", "index", "blobs"])
def test_nothing_is_unpickled_from_a_store_that_others_can_write(
    tmp_path: Path, folder: str, heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a value is not read: get() says why, a call runs again and still gives its value; plain values are read."""
    path = tmp_path / "store"
    gpc.init(store=path, runtime="inline")
    assert thing("a") == Thing("a")
    assert doubled(2) == 4
    with gpc.Store(path) as store:
        made = store.put(Thing("b"))
    gpc.shutdown()
    (path / folder).chmod(0o777)
    heard.clear()
    import pickle

    import cloudpickle

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(cloudpickle, "loads", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    gpc.init(store=path, runtime="inline")

    with gpc.Store(path) as store, pytest.raises(Untrusted, match="make the store yours alone"):
        store.get(made)
    with pytest.warns(ResultNotStored, match="others may write"):
        assert thing("a") == Thing("a")
    assert doubled(2) == 4
    assert _states(heard) == [State.RAN, State.HIT]


# -------------------------------------------------------------------- damage


def _blobs(path: Path) -> list[Path]:
    return [file for file in (path / "blobs").rglob("*") if file.is_file()]


def test_a_damaged_blob_is_run_again(tmp_path: Path, heard: list[Event]) -> None:
    """One flipped bit: set aside with an event, the body runs once more, and from then on it hits."""
    path = tmp_path / "store"
    gpc.init(store=path, runtime="inline")
    wanted = array(1).copy()
    (blob,) = _blobs(path)
    content = bytearray(blob.read_bytes())
    content[100_000] ^= 16
    blob.chmod(0o600)
    blob.write_bytes(content)

    np.testing.assert_array_equal(array(1), wanted)
    np.testing.assert_array_equal(array(1), wanted)

    assert _states(heard) == [State.RAN, State.RAN, State.HIT]
    assert len([event for event in heard if isinstance(event, Quarantined)]) == 1
    assert len(list((path / "quarantine").iterdir())) == 1


def test_a_deleted_blob_is_run_again(tmp_path: Path, heard: list[Event]) -> None:
    """Someone cleaned up: a miss like any other."""
    gpc.init(store=tmp_path / "store", runtime="inline")
    array(1)
    for blob in _blobs(tmp_path / "store"):
        blob.unlink()

    assert array(1)[5] == 1
    assert _states(heard) == [State.RAN, State.RAN]


def test_an_index_that_is_garbage_is_begun_anew(tmp_path: Path, heard: list[Event]) -> None:
    """Everything is a miss, nothing is wrong, and what was there lies in quarantine."""
    path = tmp_path / "store"
    gpc.init(store=path, runtime="inline")
    doubled(3)
    gpc.shutdown()
    (path / "index" / "data.mdb").write_bytes(b"garbage " * 4096)
    gpc.init(store=path, runtime="inline")

    assert doubled(3) == 6
    assert doubled(3) == 6

    assert _states(heard) == [State.RAN, State.RAN, State.HIT]
    assert [event.name for event in heard if isinstance(event, Quarantined)] == ["the index"]


def test_a_store_that_is_deleted_while_it_is_used(tmp_path: Path) -> None:
    """`rm -r` of the store under a running program: its calls go on, and arrays that it holds stay right."""
    path = tmp_path / "store"
    gpc.init(store=path, runtime="inline")
    held = array(1)
    path.rename(tmp_path / "away")

    with pytest.warns(ResultNotStored):
        assert array(2)[0] == 2
    np.testing.assert_array_equal(held, np.full(MIB // 8, 1))


# -------------------------------------------------------------------- a full disk


def _fill(place: Path) -> None:
    """Leave no byte free."""
    with (place / "ballast").open("wb", buffering=0) as file:
        for piece_bytes in (65536, 4096, 1):
            try:
                while file.write(b"x" * piece_bytes):
                    pass
            except OSError:
                pass


def test_a_value_that_does_not_fit_is_given_all_the_same(small_disk: Path, heard: list[Event]) -> None:
    """The caller gets it, with one warning; what was stored is still there; nothing half-written is left."""
    gpc.init(store=small_disk / "store", runtime="inline")
    kept = array(1).copy()

    with pytest.warns(ResultNotStored, match="has no room"):
        large = array(20)
    assert large.nbytes == 20 * MIB
    assert (large == 20).all()

    np.testing.assert_array_equal(array(1), kept)
    assert _states(heard) == [State.RAN, State.UNCACHED, State.HIT]
    assert list((small_disk / "store" / "tmp").iterdir()) == []
    assert len([event for event in heard if isinstance(event, NotStored)]) == 1


def test_a_full_disk_costs_the_cache_and_nothing_else(small_disk: Path, heard: list[Event]) -> None:
    """No byte free: hits hit, misses are computed and given, and once there is room again they are stored."""
    gpc.init(store=small_disk / "store", runtime="inline")
    kept = array(1).copy()
    assert doubled(1) == 2
    _fill(small_disk)

    np.testing.assert_array_equal(array(1), kept)
    assert doubled(1) == 2
    assert _states(heard) == [State.RAN, State.RAN, State.HIT, State.HIT]
    with pytest.warns(ResultNotStored, match="has no room"):
        assert array(2)[0] == 2
    with pytest.warns(ResultNotStored, match="has no room"):  # some still find a free page in the index
        assert [doubled(number) for number in range(100)] == list(range(0, 200, 2))

    (small_disk / "ballast").unlink()
    heard.clear()
    assert [doubled(99), doubled(99)] == [198, 198]
    assert _states(heard) == [State.RAN, State.HIT]


def test_a_full_disk_lets_other_processes_read(small_disk: Path) -> None:
    """A process that only then opens the store reads it: LMDB's lock file has its blocks already (no SIGBUS)."""
    with gpc.Store(small_disk / "store") as store:
        small, large = store.put("small"), store.put(np.arange(100_000))
    _fill(small_disk)
    program = """
        import sys, numpy as np, gpucache as gpc
        from gpucache.errors import StoreFull
        with gpc.Store(sys.argv[1]) as store:
            assert store.get(sys.argv[2]) == "small"
            assert (store.get(sys.argv[3]) == np.arange(100_000)).all()
            try:
                store.put(np.arange(200_000))
            except StoreFull:
                print("full")
        """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), small_disk / "store", str(small), str(large)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "full"), done.stderr


def test_room_can_be_made_on_a_full_disk(small_disk: Path) -> None:
    """collect() frees blobs when no byte is free: deleting must need no room that is not there."""
    with gpc.Store(small_disk / "store") as store:
        digest = store.put(np.arange(300_000))
        _fill(small_disk)

        store.collect(max_bytes=0, apply=True)

        with pytest.raises(NoSuchRecord):
            store.get(digest)
        store.put(np.arange(200_000))


LIMITED = """
import os, resource, sys, warnings
import numpy as np
import gpucache as gpc
from gpucache.memo import ResultNotStored

gpc.init(store=sys.argv[1], runtime="inline")

@gpc.task
def array(mib):
    return np.full(mib * 2**17, mib)

assert array(1)[0] == 1
limit = 3 * 2**20
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    assert (array(8) == 8).all()
assert [warning.category for warning in said] == [ResultNotStored], said
assert (array(1) == 1).all()
assert not os.listdir(os.path.join(sys.argv[1], "tmp"))
print("lives")
"""


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    """RLIMIT_FSIZE (`ulimit -f`), which needs no root to try: the value arrives, nothing is left behind."""
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)

    done = subprocess.run([sys.executable, script, tmp_path / "store"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, "lives"), done.stderr


@gpc.flow
def both(number: int) -> int:
    """Two calls, one of them too large."""
    return int(array(20)[0]) + doubled(number)


def test_a_flow_on_a_full_disk_gives_its_value(small_disk: Path) -> None:
    """The run itself can't be written down either; its value arrives all the same."""
    gpc.init(store=small_disk / "store", runtime="inline")
    doubled(0)
    _fill(small_disk)

    with pytest.warns(ResultNotStored, match="has no room"):
        results = [both(number) for number in range(60)]

    assert results == [20 + 2 * number for number in range(60)]


def test_what_workers_compute_on_a_full_disk_arrives(small_disk: Path) -> None:
    """Results and arguments that the store has no room for travel as they are, large ones too, and on to other tasks."""
    gpc.init(store=small_disk / "store", runtime="local", max_workers=1)
    assert doubled.submit(0).result() == 0
    _fill(small_disk)

    large = array.submit(2)
    sizes = [total.submit(large), total.submit(np.full(MIB // 8, 3))]

    assert [doubled.submit(number).result() for number in range(1, 30)] == [2 * number for number in range(1, 30)]
    assert large.result().nbytes == 2 * MIB
    assert [size.result() for size in sizes] == [2 * 2 * MIB // 8, 3 * MIB // 8]


def test_a_store_that_can_not_be_read_costs_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[Event]
) -> None:
    """A disk that fails at a look-up: the call runs, and it is said."""
    gpc.init(store=tmp_path / "store", runtime="inline")
    assert doubled(4) == 8

    def fails(*_: object) -> object:
        raise StoreUnusable("the store", "Input/output error", "look at the disk")

    monkeypatch.setattr(gpc.Store, "lookup", fails)

    assert doubled(5) == 10
    assert any(isinstance(event, Degraded) and "not looked for" in event.what for event in heard)
