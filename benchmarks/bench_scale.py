"""What does a store of ten million records cost: a look-up, its disk, its memory? GPUCACHE_BENCH_RECORDS makes it another number.

Records are those of a task with one argument and a small result, written as publish() writes them, many in a transaction.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from benchmarks.conftest import Contest
from benchmarks.table import RANDOM
from gpucache.digests import hash128, value_digest
from gpucache.store import Record, Store
from gpucache.store.by_key import Records
from gpucache.store.environment import MAX_READERS
from gpucache.store.index import Index

FEW, MANY = 10_000, int(os.environ.get("GPUCACHE_BENCH_RECORDS", "10000000"))
ROWS_A_COMMIT = 20_000
LOOKUPS = 20_000


def key_of(number: int) -> bytes:
    """The key of a record."""
    return hash128(b"key %d" % number)


@pytest.fixture(scope="module", params=[FEW, MANY])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A store's path, and how many records it has."""
    path, count = tmp_path_factory.mktemp("filled") / "store", int(request.param)
    with Store(path, durability="volatile") as store:
        for start in range(0, count, ROWS_A_COMMIT):
            _fill(store, start, min(start + ROWS_A_COMMIT, count))
    yield path, count
    for name in ("data.mdb", "lock.mdb"):
        (path / "index" / name).unlink()


def _fill(store: Store, start: int, end: int) -> None:
    def publish(rows: object) -> None:
        records = Records(rows, lambda change: change(rows))  # type: ignore[arg-type]  # within this transaction
        for number in range(start, end):
            value = number * 0.37
            digest = value_digest(value)
            records.publish(
                Record(
                    key=key_of(number),
                    task="project.module:task",
                    result=store.write(value, digest),
                    parts=b"",
                    seconds=0.25,
                    created_at=1.76e9 + number * 0.01,
                    run_id="2026-11-23-abcd",
                ),
                {"code:project.module:task": (hash128(b"code"), "module.py:12 task"), "arg:x": (digest, str(value))},
            )

    store.rows.update(publish)


def _sample(count: int) -> list[bytes]:
    chance = random.Random(count)
    return [key_of(chance.randrange(count)) for _ in range(LOOKUPS)]


@pytest.mark.parametrize("contestant", ["gpucache", "LMDB alone, a transaction each"])
def test_lookup(contestant: str, filled: tuple[Path, int], contest: Contest) -> None:
    """Random ones, others each time; the file is in the page cache."""
    path, count = filled
    keys = _sample(count)
    with Store(path) as store:
        if contestant == "gpucache":
            assert store.lookup(keys[0]) is not None

            def look_up() -> None:
                for key in keys:
                    store.lookup(key)
        else:
            assert isinstance(store.rows, Index)
            env, databases = store.rows._here()
            records = databases["records"]

            def look_up() -> None:
                for key in keys:
                    with env.begin(records) as transaction:
                        transaction.get(key)

        what = RANDOM if contestant == "gpucache" else f"{RANDOM}, {contestant}"
        contest(what, f"among {count:,}", look_up, rounds=15, calls=len(keys))


def test_bytes(filled: tuple[Path, int], contest: Contest) -> None:
    """Pages in use and the file as a whole, which has free pages too."""
    path, count = filled
    with lmdb.open(str(path / "index"), readonly=True, max_dbs=20, max_readers=MAX_READERS, lib_version=0) as env:
        page_bytes = env.stat()["psize"]
        used = 0
        with env.begin() as transaction:
            for name in ("records", "recent", "parts", "values"):
                stat = transaction.stat(env.open_db(name.encode(), txn=transaction, create=False))
                used += page_bytes * (stat["leaf_pages"] + stat["branch_pages"] + stat["overflow_pages"])
    on_disk = (path / "index" / "data.mdb").stat().st_blocks * 512
    contest.told(
        f"index of {count:,} records", "gpucache", 0.0, bytes_a_record=used / count, file_bytes_a_record=on_disk / count
    )


MEASURE_MEMORY = """
import random, sys
from gpucache.digests import hash128
from gpucache.store import Store
count = int(sys.argv[2])
def memory():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return [int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]
before = memory()
store = Store(sys.argv[1])
opened = memory()
for _ in range(20_000):
    assert store.lookup(hash128(b"key %d" % random.randrange(count))) is not None
print(*before, *opened, *memory())
"""


def test_memory(filled: tuple[Path, int], contest: Contest) -> None:
    """A process that opens it and looks 20 000 records up. Mapped pages are the page cache's, and go when anyone needs memory."""
    path, count = filled
    told = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY, str(path), str(count)], check=True, capture_output=True, text=True
    ).stdout.split()
    _, _, own_opened, mapped_opened, own, mapped = map(int, told)
    contest.told(
        f"memory of a process with {count:,} records",
        "gpucache",
        0.0,
        own_bytes_opened=own_opened,
        own_bytes=own,
        mapped_bytes_opened=mapped_opened,
        mapped_bytes=mapped,
    )
