"""Damage on the disk is a miss, an event and something in quarantine: never a wrong value, never a crash."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpucache.digests import value_digest
from gpucache.errors import BlobMissing, NoSuchRecord, RecordCorrupt
from gpucache.events import Event, Quarantined, hooks
from gpucache.store import Record, Store
from gpucache.store.index import Index

KEY = b"k" * 16
LARGE = np.arange(10_000, dtype=np.int64)
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "store"


@pytest.fixture
def heard() -> Iterator[list[Quarantined]]:
    """What was set aside from now on."""
    events: list[Quarantined] = []

    def hear(event: Event) -> None:
        if isinstance(event, Quarantined):
            events.append(event)

    hooks.add(hear)
    yield events
    hooks.remove(hear)


def _publish(store: Store, value: Any, key: bytes = KEY, task: str = "t") -> Record:
    manifest = store.write(value, value_digest(value))
    return store.publish(Record(key, task, manifest, b"", 1.0, 1e9), {"code:f": (b"c" * 16, "f")})


def _blob(path: Path) -> Path:
    (found,) = [file for file in (path / "blobs").rglob("*") if file.is_file()]
    return found


def _flip(file: Path) -> None:
    """Change one bit, keeping the size and both times that can be set."""
    status = file.stat()
    file.chmod(0o600)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    while file.stat().st_ctime_ns == status.st_ctime_ns:  # within one tick of the kernel's clock no change shows
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _truncate(file: Path) -> None:
    file.chmod(0o600)
    os.truncate(file, file.stat().st_size // 2)


def _empty(file: Path) -> None:
    file.chmod(0o600)
    os.truncate(file, 0)


def _replace_by_link(file: Path) -> None:
    file.rename(file.with_suffix(".moved"))
    file.symlink_to(file.with_suffix(".moved"))


def _replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


# -------------------------------------------------------------------- blobs


@pytest.mark.parametrize(
    "damage", [_flip, _truncate, _empty, _replace_by_link, _replace_by_pipe, _replace_by_directory]
)
def test_a_damaged_blob_is_set_aside(path: Path, heard: list[Quarantined], damage: Callable[[Path], None]) -> None:
    """It is corrupt once, said once, gone from then on; the same value can be stored anew."""
    with Store(path) as store:
        record = _publish(store, LARGE)
        damage(_blob(path))

        with pytest.raises(RecordCorrupt):
            store.read(record.result)
        with pytest.raises(BlobMissing):
            store.read(record.result)

        assert len(heard) == 1
        assert len(list((path / "quarantine").iterdir())) == 1
        _publish(store, LARGE)
        np.testing.assert_array_equal(store.read(record.result), LARGE)


def test_a_deleted_blob_is_a_miss(path: Path, heard: list[Quarantined]) -> None:
    """BlobMissing, an event, and get() says that the value is not here."""
    with Store(path) as store:
        digest = store.put(LARGE)
        manifest = store.manifest_of(digest.raw)
        assert manifest is not None
        _blob(path).unlink()

        assert not store.contains(digest)
        with pytest.raises(BlobMissing):
            store.read(manifest)
        with pytest.raises(NoSuchRecord):
            store.get(digest)

    assert [event.problem for event in heard] == ["its file is gone"]


def test_a_blob_that_was_only_touched_is_read_again_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another stamp means all of it is hashed; the row then has the new stamp, and it is not hashed again."""
    hashed: list[object] = []
    with Store(path) as store:
        record = _publish(store, LARGE)
        os.utime(_blob(path))
        digest = store.blobs._digest  # type: ignore[attr-defined]  # of those on disk
        monkeypatch.setattr(store.blobs, "_digest", lambda found: hashed.append(found) or digest(found))

        for _ in range(3):
            np.testing.assert_array_equal(store.read(record.result), LARGE)

    assert len(hashed) == 1


def test_a_blob_of_another_boot_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a file can have its size and times and hold zeros: its stamp counts for nothing."""
    from gpucache.store import blobs

    with Store(path) as store:
        record = _publish(store, LARGE)
        file = _blob(path)
        row = store.values.blob_row(record.result.parts[0].blob or b"")
        assert row is not None
        file.chmod(0o600)
        file.write_bytes(bytes(file.stat().st_size))
        after = os.stat(file)
        stamp = (after.st_ino, after.st_mtime_ns, after.st_ctime_ns)
        lying = blobs.BlobRow(row.name, row.nbytes, stamp, row.boot)
        store.values._restamp(record.result.parts[0].blob or b"", row, lying)
        monkeypatch.setattr(blobs, "boot_id", lambda: "the next one")

        with pytest.raises(RecordCorrupt):
            store.read(record.result)


def test_what_is_mapped_survives_what_happens_to_its_file(path: Path) -> None:
    """Unlinked, evicted or replaced: a value that was handed out stays as it is."""
    with Store(path) as store:
        found = store.get(store.put(LARGE))
        store.collect(max_bytes=0, apply=True)
    shutil.rmtree(path)

    np.testing.assert_array_equal(found, LARGE)


# -------------------------------------------------------------------- rows


@pytest.mark.parametrize("database", ["records", "values", "parts", "blobs"])
def test_a_damaged_row_is_absent(path: Path, heard: list[Quarantined], database: str) -> None:
    """One wrong bit anywhere in a row: it is set aside, once, and the value can be published again."""
    with Store(path) as store:
        record = _publish(store, LARGE)
        key = {"records": KEY, "values": record.result.digest, "parts": record.parts}.get(
            database, record.result.parts[0].blob or b""
        )
        _damage_row(store, database, key)

        assert store.rows.get(database, key) is None
        assert store.rows.get(database, key) is None
        assert [event.name for event in heard] == [f"row {key.hex()[:12]} of {database}"]
        assert (path / "quarantine" / f"{database}-{key.hex()}").exists()
        assert (store.lookup(KEY) is None) == (database == "records")
        _publish(store, LARGE)
        np.testing.assert_array_equal(store.get(str_digest(record)), LARGE)


def str_digest(record: Record) -> str:
    """The digest of a record's result as text."""
    return f"xxh3-128:{record.result.digest.hex()}"


def _damage_row(store: Store, database: str, key: bytes) -> None:
    def damage(rows: Any) -> None:
        row = bytearray(rows.raw(database, key))
        row[len(row) // 2] ^= 4
        rows._transaction.put(key, bytes(row), db=rows._databases[database])

    store.rows.update(damage)


def test_a_row_under_another_key_is_damaged(path: Path) -> None:
    """The check binds a row to its key and database: a page in the wrong place gives no wrong record."""
    with Store(path) as store:
        _publish(store, "mine")

        def move(rows: Any) -> None:
            row = rows.raw("records", KEY)
            rows._transaction.put(b"o" * 16, row, db=rows._databases["records"])
            rows._transaction.put(KEY, row, db=rows._databases["values"])

        store.rows.update(move)

        assert store.lookup(b"o" * 16) is None
        assert store.manifest_of(KEY) is None
        assert store.lookup(KEY) is not None


def test_a_row_of_another_format_is_a_miss(path: Path) -> None:
    """Whole, but not what this gpucache writes: no record, no error; verify says so."""
    with Store(path) as store:
        store.rows.update(lambda rows: rows.put("records", KEY, b"\x93\x01\x02\x03"))

        assert store.lookup(KEY) is None
        assert list(store.records()) == []
        assert [problem for _, problem in store.verify().problems] == ["it is not what this gpucache writes"]
        store.collect(max_bytes=0, apply=True)


# -------------------------------------------------------------------- the index


def _filled(path: Path, count: int = 3000) -> None:
    with Store(path) as store:
        record = _publish(store, LARGE)
        for start in range(0, count, 500):
            rows = {f"{number:06d}".encode(): b"r" * 200 for number in range(start, start + 500)}
            store.table_put_many("runs", rows)
        store.publish(record, {})


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_index_is_made_anew(path: Path, heard: list[Quarantined], keep: float) -> None:
    """Reading beyond the end of a mapped file is SIGBUS: the index is filled up, and what can be read is saved."""
    _filled(path)
    data = path / "index" / "data.mdb"
    size = data.stat().st_size
    os.truncate(data, max(2 * PAGE, int(size * keep)))

    with Store(path) as store:
        saved = dict(store.table_scan("runs"))
        assert set(saved.values()) <= {b"r" * 200}
        assert store.verify().problems == ()
        _publish(store, LARGE)
        assert store.lookup(KEY) is not None

    assert heard[0].name == "the index"
    assert any(name.name.startswith("index-") for name in (path / "quarantine").iterdir())


def test_a_file_that_is_no_index_is_set_aside(path: Path, heard: list[Quarantined]) -> None:
    """Garbage where the index was: an empty index, the garbage in quarantine."""
    _filled(path, 500)
    (path / "index" / "data.mdb").write_bytes(b"garbage " * 5000)

    with Store(path) as store:
        assert store.lookup(KEY) is None
        _publish(store, 1)
        assert store.lookup(KEY) is not None

    assert heard[0].name == "the index"


DAMAGED = """
import random, sys
from pathlib import Path
from gpucache.store import Store
path, seed = Path(sys.argv[1]), int(sys.argv[2])
with Store(path) as store:
    rows = list(store.table_scan("runs"))
    assert {row for _, row in rows} <= {b"r" * 200}, "a wrong row"
    for number in range(0, 3000, 7):
        assert store.table_get("runs", b"%06d" % number) in (None, b"r" * 200), "a wrong row"
    store.table_put("runs", b"new", b"r" * 200)
    assert store.table_get("runs", b"new") == b"r" * 200
    store.verify(repair=True)
    assert store.verify().problems == (), "not repaired"
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_page_of_garbage_gives_no_wrong_row(path: Path, seed: int) -> None:
    """Whatever page it is, rows are right or absent, the store goes on, and verify mends it. A crash would fail this."""
    import random

    _filled(path)
    data = path / "index" / "data.mdb"
    chance = random.Random(seed)
    page = chance.randrange(2, data.stat().st_size // PAGE)
    with data.open("r+b") as file:
        file.seek(page * PAGE + (16 if seed % 2 else 0))
        file.write(chance.randbytes(PAGE - 16))

    done = subprocess.run([sys.executable, "-c", DAMAGED, path, str(seed)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"page {page}: {done.stderr[-2000:]}"


def test_another_process_mended_it(path: Path) -> None:
    """A handle whose index was replaced goes on with the new one when it stumbles."""
    _filled(path, 500)
    with Store(path) as store:
        index = store.rows
        assert isinstance(index, Index)
        index.mend("a test")

        assert store.lookup(KEY) is not None
        assert len(list(store.table_scan("runs"))) == 500


def test_what_is_written_after_another_process_mended_it_is_not_lost(path: Path) -> None:
    """A handle that has the old index open sees, before it writes, that there is a new one."""
    _filled(path, 500)
    mend = "import sys; from gpucache.store import Store; Store(sys.argv[1]).rows.mend('a test')"
    with Store(path) as store:
        subprocess.run([sys.executable, "-c", mend, path], check=True)
        store.table_put("runs", b"after", b"it")
    look = "import sys; from gpucache.store import Store; print(Store(sys.argv[1]).table_get('runs', b'after'))"

    done = subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "b'it'"


# -------------------------------------------------------------------- verify


def test_verify_finds_what_no_stamp_shows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A content that changed without its times is trusted when it is opened; verify reads it all, and repairs."""
    with Store(path) as store:
        record = _publish(store, LARGE)
        _flip(_blob(path))
        blob = record.result.parts[0].blob or b""
        row = store.values.blob_row(blob)
        assert row is not None
        status = _blob(path).stat()
        from gpucache.store.record import BlobRow

        rotten = BlobRow(row.name, row.nbytes, (status.st_ino, status.st_mtime_ns, status.st_ctime_ns), row.boot)
        store.values._restamp(blob, row, rotten)

        assert [problem for _, problem in store.verify().problems] == ["its content is not what its digest says"]
        assert store.has(record.result)
        assert store.verify(repair=True).repaired
        assert not store.has(record.result)
        assert store.verify().problems == ()


def test_verify_finds_damaged_rows_and_lost_files(path: Path) -> None:
    """Both are named; after the repair nothing is wrong."""
    with Store(path) as store:
        _publish(store, LARGE)
        _publish(store, 2, b"o" * 16)
        _damage_row(store, "records", b"o" * 16)
        _blob(path).unlink()

        found = store.verify()
        store.verify(repair=True)

        assert sorted(problem for _, problem in found.problems) == ["its check does not match", "its file is gone"]
        assert store.verify().problems == ()


# -------------------------------------------------------------------- permissions


def test_blobs_can_not_be_written_by_accident(path: Path) -> None:
    """Read-only for everyone; the store is its user's alone."""
    with Store(path) as store:
        store.put(LARGE)

    assert stat.S_IMODE(_blob(path).stat().st_mode) & 0o222 == 0
    for folder in (path, path / "blobs", path / "index", path / "tmp", path / "quarantine"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
