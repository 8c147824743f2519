"""What does the store cost by itself? Values put under a name and taken out again, every store on one disk.

The peers sync nothing; ours syncs its index at each put, unless it is volatile. np.save and a plain write are the limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diskcache
import joblib
import numpy as np
import pytest

from benchmarks.conftest import Contest
from gpucache.store import Store

MIB = 2**20
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
@pytest.mark.parametrize("mib", [100, 1024])
def test_get_array(contestant: str, is_read: bool, mib: int, contest: Contest, tmp_path: Path) -> None:
    """Until the array is in hand, and until all of it was read."""
    if contestant == "diskcache" and mib == 1024:
        pytest.skip("SQLite's limit: it can't store it")
    put, get = ARRAYS[contestant](tmp_path)
    name = put(np.random.default_rng(0).random(mib * MIB // 8))
    what = f"get of a {mib} MiB array" if mib < 1024 else "get of a 1 GiB array"

    if is_read:
        contest(f"{what}, and its sum", contestant, lambda: get(name).sum(), rounds=15 if mib < 1024 else 7)
    else:
        contest(what, contestant, lambda: get(name), rounds=30)


PUTS = ["gpucache", "gpucache, durable", "joblib.dump", "np.save, np.load", "a plain write", "a plain write, synced"]


@pytest.mark.parametrize("contestant", PUTS)
def test_put_array(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """1 GiB, each time another; a plain write of the same bytes to a new file, synced or not, is the limit."""
    array = np.random.default_rng(0).random(1024 * MIB // 8)
    put = _writers(tmp_path)[contestant]()

    def change() -> None:
        array[0] += 1
        for file in tmp_path.rglob("*"):
            if file.is_file() and file.stat().st_size >= 1024 * MIB:
                file.unlink()  # each writes to fresh blocks, and the disk does not fill up
        os.sync()  # nobody pays for what another contestant left in memory

    contest("put of a 1 GiB array", contestant, lambda: put(array), rounds=5, setup=change)


def _writers(folder: Path) -> dict[str, Callable[[], Put]]:
    ours = {"gpucache": "relaxed", "gpucache, durable": "durable"}
    return {
        **{name: partial(lambda durability: _gpucache(folder, durability)[0], how) for name, how in ours.items()},
        "joblib.dump": lambda: _joblib(folder)[0],
        "np.save, np.load": lambda: _numpy(folder)[0],
        "a plain write": lambda: _plain_write(folder),
        "a plain write, synced": lambda: _plain_write(folder, is_synced=True),
    }


def _plain_write(folder: Path, *, is_synced: bool = False) -> Put:
    names = iter(range(10**9))

    def put(array: np.ndarray) -> None:
        view, name = memoryview(array).cast("B"), folder / str(next(names))
        with name.open("wb", buffering=0) as file:
            while view:
                view = view[file.write(view) :]
            if is_synced:
                os.fdatasync(file.fileno())
        if is_synced:
            place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(place)
            os.close(place)

    return put
