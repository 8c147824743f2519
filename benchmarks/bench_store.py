"""What does the store cost by itself? Values put under a name and taken out again, every store on one disk.

The peers sync nothing; ours syncs its index at each put, unless it is volatile. np.save and a plain write are the limit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diskcache
import joblib
import numpy as np
import pytest

from benchmarks.conftest import Contest
from gpucache.digests import value_digest
from gpucache.store import Record, Store

MIB = 2**20
FEW, MANY = 10_000, 200_000
SMALL = (3, "abc")

Put = Callable[[Any], Any]
Get = Callable[[Any], Any]


def _gpucache(folder: Path, durability: Any = "relaxed") -> tuple[Put, Get]:
    store = Store(folder / "store", durability=durability)
    return store.put, store.get


def _gpucache_durable(folder: Path) -> tuple[Put, Get]:
    return _gpucache(folder, "durable")


def _gpucache_volatile(folder: Path) -> tuple[Put, Get]:
    return _gpucache(folder, "volatile")


def _diskcache(folder: Path) -> tuple[Put, Get]:
    cache, names = diskcache.Cache(str(folder), size_limit=64 * 2**30), iter(range(10**9))

    def put(value: Any) -> int:
        name = next(names)
        cache[name] = value
        return name

    return put, cache.__getitem__


def _joblib(folder: Path) -> tuple[Put, Get]:
    """joblib.dump and load with mmap_mode: what joblib.Memory does with a result."""
    names = iter(range(10**9))

    def put(value: Any) -> Path:
        name = folder / f"{next(names)}.pkl"
        joblib.dump(value, name)
        return name

    return put, lambda name: joblib.load(name, mmap_mode="r")


def _numpy(folder: Path) -> tuple[Put, Get]:
    names = iter(range(10**9))

    def put(value: np.ndarray) -> Path:
        name = folder / f"{next(names)}.npy"
        np.save(name, value)
        return name

    return put, lambda name: np.load(name, mmap_mode="r")


STORES = {"gpucache": _gpucache, "diskcache": _diskcache, "joblib.dump": _joblib}
OTHERS = {"gpucache, durable": _gpucache_durable, "gpucache, volatile": _gpucache_volatile}
ARRAYS = {**STORES, "np.save, np.load": _numpy}


@pytest.mark.parametrize("contestant", STORES)
def test_get_small(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """An int and a string, the same again and again."""
    put, get = STORES[contestant](tmp_path)
    name = put(SMALL)
    assert get(name) == SMALL

    contest("get of (3, 'abc')", contestant, lambda: get(name))


@pytest.mark.parametrize("contestant", [*STORES, *OTHERS])
def test_put_small(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """1 KiB, each time another."""
    put, _ = {**STORES, **OTHERS}[contestant](tmp_path)
    numbers = iter(range(10**9))

    contest("put of 1 KiB", contestant, lambda: put(next(numbers).to_bytes(1024, "big")), rounds=500)


@pytest.mark.parametrize("contestant", ARRAYS)
@pytest.mark.parametrize("is_read", [False, True])
def test_get_array(contestant: str, is_read: bool, contest: Contest, tmp_path: Path) -> None:
    """100 MiB: until the array is in hand, and until all of it was read."""
    put, get = ARRAYS[contestant](tmp_path)
    name = put(np.random.default_rng(0).random(100 * MIB // 8))

    if is_read:
        contest("get of a 100 MiB array, and its sum", contestant, lambda: get(name).sum(), rounds=15)
    else:
        contest("get of a 100 MiB array", contestant, lambda: get(name), rounds=30)


@pytest.mark.parametrize("contestant", [*ARRAYS, "a plain write"])
def test_put_array(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """256 MiB, each time another; a plain write of the same bytes to a new file is the limit."""
    array = np.random.default_rng(0).random(256 * MIB // 8)
    put = _plain_write(tmp_path) if contestant == "a plain write" else ARRAYS[contestant](tmp_path)[0]

    def change() -> None:
        array[0] += 1
        os.sync()  # nobody pays for what another contestant left in memory

    contest("put of a 256 MiB array", contestant, lambda: put(array), rounds=5, setup=change)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_lookup_among(count: int, contest: Contest, tmp_path: Path) -> None:
    """A record among many: the index is a tree, and most of it is in memory."""
    with _records(tmp_path / "store", count) as store:
        keys = [np.random.default_rng(seed).bytes(16) for seed in range(0, count, count // 1000)]

        def look_up() -> None:
            for key in keys:
                store.lookup(key)

        contest("lookup of a record, random", f"gpucache, {count:,} records", look_up, rounds=20, calls=len(keys))


def _plain_write(folder: Path) -> Put:
    names = iter(range(10**9))

    def put(array: np.ndarray) -> None:
        with (folder / str(next(names))).open("wb", buffering=0) as file:
            file.write(array)

    return put


@contextlib.contextmanager
def _records(path: Path, count: int) -> Iterator[Store]:
    """A store of so many records, written in groups: one commit each would take minutes."""
    from gpucache.store.record import encode_row

    with Store(path) as store:
        manifest = store.write(SMALL, value_digest(SMALL))
        for start in range(0, count, 10_000):

            def write(rows: Any, start: int = start) -> None:
                for seed in range(start, min(start + 10_000, count)):
                    key = np.random.default_rng(seed).bytes(16)
                    rows.put("records", key, encode_row(Record(key, "t", manifest, b"", 1.0, 1e9)))

            store.rows.update(write)
        yield store
