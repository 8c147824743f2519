"""gpc.Store by itself, as someone uses it who wants bytes by content and no tasks."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import pytest

import gpucache as gpc
from gpucache.errors import BadSetting, NoSuchRecord, RecordCorrupt, StoreClosed, StoreUnusable

LARGE = np.arange(100_000)


def test_a_value_comes_back_in_another_process(tmp_path: Path) -> None:
    """put here, get there, by the digest's text."""
    with gpc.Store(tmp_path / "store") as store:
        digest = store.put({"weights": LARGE, "name": "m"})
    program = (
        "import sys, gpucache as gpc\n"
        "found = gpc.Store(sys.argv[1]).get(sys.argv[2])\n"
        "print(found['name'], found['weights'].sum())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "store", str(digest)], capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["m", str(LARGE.sum())], done.stderr


def test_equal_values_are_stored_once(tmp_path: Path) -> None:
    """One digest, one blob, however often and from whichever object it is put."""
    with gpc.Store(tmp_path / "store") as store:
        assert store.put(LARGE) == store.put(LARGE.copy()) == store.put(np.arange(100_000))
        assert store.stats().blobs == 1
        assert store.stats().blob_bytes == LARGE.nbytes


def test_what_get_gave_outlives_the_store(tmp_path: Path) -> None:
    """Closed, collected and deleted: the array is still what it was, and can't be written to."""
    store = gpc.Store(tmp_path / "store")
    found = store.get(store.put(LARGE))
    store.collect(max_bytes=0, apply=True)
    store.close()
    (tmp_path / "store").rename(tmp_path / "elsewhere")

    np.testing.assert_array_equal(found, LARGE)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_arrays_that_are_held_are_mapped_once(tmp_path: Path) -> None:
    """Each get() gives an array of its own over the same memory; what changes on the disk is noticed all the same."""
    with gpc.Store(tmp_path / "store") as store:
        digest = store.put(LARGE)
        first, second = store.get(digest), store.get(digest)
        assert first is not second
        assert np.shares_memory(first, second)
        second.shape = (100, 1000)  # numpy lets one do that to a read-only array
        assert first.shape == LARGE.shape
        writable = {"a": store.get(store.put(bytearray(LARGE.tobytes())))}
        writable["a"][0] = 1
        assert store.get(digest)[0] == 0

        (blob,) = [file for file in (tmp_path / "store" / "blobs").rglob("*") if file.stem == _blob_of(store, digest)]
        content = blob.read_bytes()
        blob.unlink()
        blob.write_bytes(bytes(len(content)))
        with pytest.raises(RecordCorrupt):
            store.get(digest)
        np.testing.assert_array_equal(first, LARGE)


def _blob_of(store: gpc.Store, digest: gpc.Digest) -> str:
    manifest = store.manifest_of(digest.raw)
    assert manifest is not None
    return (manifest.parts[0].blob or b"").hex()


def test_pins_keep_and_unpinned_values_go(tmp_path: Path) -> None:
    """collect says beforehand what it would free; a pinned value is not in it."""
    with gpc.Store(tmp_path / "store") as store:
        kept, other = store.put(LARGE), store.put(LARGE + 1)
        store.pin(kept)

        assert store.collect(max_bytes=0).evicted_bytes == LARGE.nbytes
        assert store.contains(other)
        store.collect(max_bytes=0, apply=True)

        assert store.contains(kept)
        assert not store.contains(other)
        with pytest.raises(NoSuchRecord, match="put"):
            store.get(other)
        assert store.unpin(kept)


def test_threads_may_share_one_store(tmp_path: Path) -> None:
    """8 threads putting and getting the same few values through one handle: each gets what it put."""
    wrong: list[object] = []

    def work(store: gpc.Store, seed: int) -> None:
        for number in range(20):
            value = np.full(3000, (seed + number) % 10)
            if not np.array_equal(store.get(store.put(value)), value):
                wrong.append(number)

    with gpc.Store(tmp_path / "store") as store:
        threads = [threading.Thread(target=work, args=(store, seed)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []
        assert store.stats().blobs == 10


def test_two_handles_of_one_store_are_one_store(tmp_path: Path) -> None:
    """Opened twice in a process, by whatever path; closing one leaves the other."""
    (tmp_path / "link").symlink_to(tmp_path / "store")
    first = gpc.Store(tmp_path / "store")
    with gpc.Store(tmp_path / "link") as second:
        digest = second.put("value")
    assert first.get(digest) == "value"
    first.close()
    with pytest.raises(StoreClosed, match="open it again"):
        first.get(digest)


def _in_child(store: gpc.Store, digest: gpc.Digest, path: Path) -> None:
    assert (store.get(digest) == LARGE).all()
    path.write_text(str(store.put("from the child")))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_and_its_parent_go_on(tmp_path: Path) -> None:
    """Both with the handle that they have; each sees what the other put."""
    with gpc.Store(tmp_path / "store") as store:
        digest = store.put(LARGE)
        child = multiprocessing.get_context("fork").Process(target=_in_child, args=(store, digest, tmp_path / "said"))
        child.start()
        child.join()

        assert child.exitcode == 0
        assert store.get((tmp_path / "said").read_text()) == "from the child"
        np.testing.assert_array_equal(store.get(digest), LARGE)


FORKS_UNDER_LOAD = """
import os, sys, threading
import numpy as np
import gpucache as gpc

store, ended = gpc.Store(sys.argv[1]), threading.Event()
digest = store.put(np.arange(50_000))

def work(number):
    while not ended.is_set():
        number += 10
        store.put(np.full(5000, number))
        store.get(digest)

threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for number in range(10):
    child = os.fork()
    if child == 0:
        assert store.get(digest)[-1] == 49_999
        if number % 2:  # as a grandchild's parent, who had one thread
            grandchild = os.fork()
            assert store.get(store.put(("of", os.getpid()))) == ("of", os.getpid())
            assert grandchild == 0 or os.waitpid(grandchild, 0)[1] == 0
        sys.exit(0)  # not _exit: an interpreter that ends frees what it inherited
    assert os.waitpid(child, 0)[1] == 0
    print(number, flush=True)
idle = os.fork()
if idle == 0:
    sys.exit(0)
assert os.waitpid(idle, 0)[1] == 0
ended.set()
for thread in threads:
    thread.join()
assert store.verify().problems == ()

print("done")
"""


def test_children_forked_while_threads_write_go_on(tmp_path: Path) -> None:
    """Another thread is within LMDB when the process forks, most often: ten children and their children read, write and end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS_UNDER_LOAD, tmp_path / "store"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.split() == [*map(str, range(10)), "done"], done.stderr


FORKS_WITHIN_A_TRANSACTION = """
import os, sys, threading
import gpucache as gpc
from gpucache.store import gate

gate.WAIT_S = 0.1
store, begun, ended = gpc.Store(sys.argv[1]), threading.Event(), threading.Event()
digest = store.put("value")
slow = threading.Thread(target=store.update, args=(lambda rows: begun.set() or ended.wait(),))
slow.start()
begun.wait()
child = os.fork()
if child == 0:
    try:
        store.get(digest)
    except gpc.errors.StoreUnusable as problem:
        print(problem, flush=True)
    print(gpc.Store(sys.argv[1] + " of its own").put("other"), flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
ended.set()
slow.join()
print(store.get(digest))
"""


def test_a_child_forked_within_a_long_transaction_is_told(tmp_path: Path) -> None:
    """A fork does not wait for ever: the child does without that store, ends as others do, and can use others."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS_WITHIN_A_TRANSACTION, tmp_path / "store"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    told, other, value = done.stdout.splitlines()
    assert "at work for long when this process was forked; start processes by spawn" in told, done.stderr
    assert other.startswith("xxh3-128:")
    assert value == "value"


@pytest.mark.parametrize("level", ["structure", "sample", "everything"])
def test_each_level_of_verify_finds_what_it_looks_at(tmp_path: Path, level) -> None:
    """A blob cut short is found by all, one with another content by those that read; repair leaves nothing to find."""
    with gpc.Store(tmp_path / "store") as store:
        short, changed = store.put(LARGE), store.put(LARGE + 1)
        for digest, content in ((short, b"short"), (changed, bytes(LARGE.nbytes))):
            manifest = store.manifest_of(digest.raw)
            assert manifest is not None
            row = store.values.blob_row(manifest.parts[0].blob or b"")
            assert row is not None
            file = tmp_path / "store" / "blobs" / row.name
            file.unlink()
            file.write_bytes(content)

        report = store.verify(level=level, repair=True)

        names = {name for name, _ in report.problems}
        assert len(names) == (1 if level == "structure" else 2)
        assert report.repaired
        assert store.verify(level=level).problems == ()
        assert not store.contains(short)


@pytest.mark.parametrize("wrong", [5, None, b"x" * 16, LARGE])
@pytest.mark.parametrize("ask", ["get", "contains", "pin", "unpin"])
def test_what_is_no_digest_is_refused_in_words(tmp_path: Path, ask: str, wrong: object) -> None:
    """A number, nothing, bytes, the value itself: what was asked for by what."""
    with gpc.Store(tmp_path / "store") as store, pytest.raises(TypeError, match=type(wrong).__name__):
        getattr(store, ask)(wrong)


@pytest.mark.parametrize("asked", [{"max_bytes": -1}, {"max_bytes": "1GB"}, {"max_bytes": np.nan}, {"spared_s": -1.0}])
def test_a_limit_below_nothing_removes_nothing(tmp_path: Path, asked: dict[str, Any]) -> None:
    """A wrong sign, a text, no number: refused before anything goes."""
    with gpc.Store(tmp_path / "store") as store:
        digest = store.put(LARGE)
        with pytest.raises(BadSetting, match="0 or more"):
            store.collect(apply=True, **asked)
        assert store.contains(digest)


@pytest.mark.parametrize("max_bytes", [0, -1, "1GB"])
def test_a_limit_that_is_none_makes_no_store(tmp_path: Path, max_bytes: Any) -> None:
    """Said before anything is made."""
    with pytest.raises(BadSetting, match="max_bytes"):
        gpc.Store(tmp_path / "store", max_bytes=max_bytes)
    assert not (tmp_path / "store").exists()


def test_a_store_is_neither_pickled_nor_copied_nor_entered_when_closed(tmp_path: Path) -> None:
    """Two handles would be one, and close each other: the words say what to do; its repr says where it is."""
    store = gpc.Store(tmp_path / "store")
    assert repr(store) == f"Store('{tmp_path / 'store'}')"
    for make in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="give its path"):
            make(store)
    store.close()
    with pytest.raises(StoreClosed), store:
        pass


def test_what_was_put_is_counted(tmp_path: Path) -> None:
    """Small values, too, which take no file."""
    with gpc.Store(tmp_path / "store") as store:
        for value in (1, "two", LARGE, LARGE):
            store.put(value)
        assert store.stats().values == 3
        assert store.stats().blobs == 1


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_comes_back(tmp_path: Path) -> None:
    """numpy's old matrix, which sums of scipy's sparse ones are: it holds nothing of its user's."""
    with gpc.Store(tmp_path / "store") as store:
        found = store.get(store.put(np.matrix([[1, 2], [3, 4]])))

    assert type(found) is np.matrix
    assert found.tolist() == [[1, 2], [3, 4]]


def test_a_store_that_was_deleted_is_said_to_be_gone(tmp_path: Path) -> None:
    """Under a running process: each method gives an answer or our own error; what was handed out stays; another is made there."""
    store = gpc.Store(tmp_path / "store")
    digest = store.put(LARGE)
    held = store.get(digest)
    shutil.rmtree(tmp_path / "store")

    with pytest.raises(NoSuchRecord):
        store.get(digest)
    assert not store.contains(digest)
    for ask in (store.stats, store.verify, store.collect, lambda: store.collect(apply=True), lambda: store.put(LARGE)):
        with pytest.raises(StoreUnusable):
            ask()
    np.testing.assert_array_equal(held, LARGE)
    store.close()
    with gpc.Store(tmp_path / "store") as again:
        np.testing.assert_array_equal(again.get(again.put(LARGE)), LARGE)


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    """With the levels that there are."""
    with gpc.Store(tmp_path / "store") as store, pytest.raises(BadSetting, match="structure, sample, everything"):
        store.verify(level="all")  # type: ignore[arg-type]


def test_a_store_is_its_users_alone(tmp_path: Path) -> None:
    """No permission for anyone else on anything in it."""
    with gpc.Store(tmp_path / "store") as store:
        store.put(LARGE)

    assert os.stat(tmp_path / "store").st_mode & 0o077 == 0


def _reaches_the_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that bring something to the disk from now on, in order; what they are of."""
    called: list[str] = []
    from gpucache.store.index import Index

    for name in ("fdatasync", "fsync"):
        real = getattr(os, name)

        def noted(descriptor: int, name: str = name, real=real) -> None:
            called.append(f"{name} {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))[:2]}")
            real(descriptor)

        monkeypatch.setattr(os, name, noted)
    flush = Index.flush
    monkeypatch.setattr(Index, "flush", lambda self: called.append("index") or flush(self))
    return called


def test_a_durable_put_reaches_the_disk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes, then their names, then the index; also for bytes that a relaxed writer had left in memory."""
    with gpc.Store(tmp_path / "store") as relaxed, gpc.Store(tmp_path / "store", durability="durable") as durable:
        called = _reaches_the_disk(monkeypatch)
        relaxed.put(LARGE)
        assert called == []

        digest = durable.put(LARGE)

        manifest = durable.manifest_of(digest.raw)
        assert manifest is not None
        content = (manifest.parts[0].blob or b"").hex()[:2]
        assert called == [f"fdatasync {content}", f"fsync {content}", "fsync bl", "index"]
        called.clear()
        durable.put(LARGE + 1)
        assert [call.split()[0] for call in called] == ["fdatasync", "fsync", "fsync", "index"]
        np.testing.assert_array_equal(durable.get(digest), LARGE)


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    """With those that there are; nothing is made."""
    with pytest.raises(BadSetting, match="durable, relaxed or volatile"):
        gpc.Store(tmp_path / "store", durability="none")  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


def test_a_volatile_store_is_made_anew_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one boot nothing is lost; in the next, pages may be missing: every row is checked into a new index."""
    path = tmp_path / "store"
    with gpc.Store(path, durability="volatile") as store:
        digest = store.put(LARGE)
    with gpc.Store(path) as store:
        assert store.contains(digest)
        assert not list((path / "quarantine").iterdir())

    (path / "index" / "unsynced").write_text("the boot before")
    with gpc.Store(path) as store:
        np.testing.assert_array_equal(store.get(digest), LARGE)

    assert [name.name[:6] for name in (path / "quarantine").iterdir()] == ["index-"]
    assert not (path / "index" / "unsynced").exists()


def test_what_blobs_are_named_by_is_chosen_once(tmp_path: Path) -> None:
    """Who opens the store later need not know; who asks for another is refused, and nothing changes."""
    path = tmp_path / "store"
    with gpc.Store(path, content="blake3") as store:
        digest = store.put(LARGE)
    (blob,) = [file for file in (path / "blobs").rglob("*") if file.is_file()]
    assert blob.name.split(".")[0] == blake3.blake3(blob.read_bytes()).hexdigest()

    with gpc.Store(path) as store:
        np.testing.assert_array_equal(store.get(digest), LARGE)
        assert store.verify().problems == ()
    with pytest.raises(StoreUnusable, match="named by blake3, not by xxh3-128"):
        gpc.Store(path, content="xxh3-128")
    with pytest.raises(BadSetting, match="xxh3-128 or blake3"):
        gpc.Store(path, content="md5")  # type: ignore[arg-type]


def test_a_blake3_store_has_a_format_that_older_ones_refuse(tmp_path: Path) -> None:
    """They would take every blob for damaged. A store by XXH3 is what it was."""
    with gpc.Store(tmp_path / "a", content="blake3"), gpc.Store(tmp_path / "b", content="xxh3-128"):
        pass

    assert json.loads((tmp_path / "a" / "format.json").read_text()) == {
        "gpucache_store": True,
        "format": 2,
        "content": "blake3",
    }
    assert json.loads((tmp_path / "b" / "format.json").read_text()) == {"gpucache_store": True, "format": 1}


def test_a_blake3_store_without_the_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install; nothing is made."""
    monkeypatch.setitem(sys.modules, "blake3", None)

    with pytest.raises(StoreUnusable, match=r"pip install gpucache\[blake3\]"):
        gpc.Store(tmp_path / "store", content="blake3")
    assert not (tmp_path / "store").exists()


def test_files_and_damage_in_a_blake3_store(tmp_path: Path) -> None:
    """A file comes back by link; bytes that were exchanged are found by their digest, and are never given out."""
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 200)
    with gpc.Store(tmp_path / "store", content="blake3") as store:
        given = store.get(store.put(gpc.File(tmp_path / "file.bin")))
        assert given.read_bytes() == bytes(range(256)) * 200
        digest = store.put(LARGE)
        (blob,) = (
            file
            for file in (tmp_path / "store" / "blobs").rglob("*")
            if file.is_file() and file.stat().st_size == LARGE.nbytes
        )
        blob.chmod(0o600)
        blob.write_bytes(bytes(LARGE.nbytes))

        with pytest.raises(RecordCorrupt):
            store.get(digest)
        assert store.verify().problems == ()
