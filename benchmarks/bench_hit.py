"""What does a hit cost? Same function, same arguments, warm process, every store on one disk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import diskcache
import joblib
import numpy as np
import pytest
import xxhash

import gpucache as gpc
from benchmarks.conftest import Contest
from gpucache.flows import current_session

MIB = 2**20


def small(a: int, b: int, c: str) -> tuple[int, str]:
    return a + b, c


def through(array: np.ndarray) -> np.ndarray:
    return array + 1


def summed(array: np.ndarray) -> float:
    return float(array.sum())


def _by_gpucache(fn: Callable, folder: Path) -> Callable:
    gpc.init(store=folder / "store", runtime="inline")
    return gpc.task(fn)


def _by_diskcache(fn: Callable, folder: Path) -> Callable:
    return diskcache.Cache(str(folder), size_limit=8 * 2**30).memoize()(fn)


def _by_joblib(fn: Callable, folder: Path) -> Callable:
    return joblib.Memory(folder, verbose=0).cache(fn)


def _by_joblib_mapped(fn: Callable, folder: Path) -> Callable:
    return joblib.Memory(folder, verbose=0, mmap_mode="r").cache(fn)


def _by_lru_cache(fn: Callable, folder: Path) -> Callable:
    return functools.lru_cache(fn)


STORES = {
    "gpucache": _by_gpucache,
    "diskcache.memoize": _by_diskcache,
    "joblib.Memory": _by_joblib,
    "joblib.Memory, mmap_mode": _by_joblib_mapped,
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    gpc.shutdown()


AGAIN = "gpucache, again in this process"


@pytest.mark.parametrize("contestant", [*STORES, AGAIN, "functools.lru_cache"])
def test_small(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """Two ints and a string: key, look-up and decoding each time, as the peers do.

    AGAIN has decoded the value before, and looks up each time that it still stands; lru_cache keeps nothing beyond the process
    and is there as the limit.
    """
    cached = {**STORES, AGAIN: _by_gpucache, "functools.lru_cache": _by_lru_cache}[contestant](small, tmp_path)
    assert cached(1, 2, "abc") == (3, "abc")
    forget = current_session().store._answers.clear if contestant == "gpucache" else None

    def hit() -> object:
        if forget is not None:
            forget()  # 30 ns
        return cached(1, 2, "abc")

    contest('hit of f(1, 2, "abc")', contestant, hit)


@pytest.mark.parametrize("contestant", STORES)
@pytest.mark.parametrize("mib", [1, 100])
def test_array_in_and_out(contestant: str, mib: int, contest: Contest, tmp_path: Path) -> None:
    """The argument is the user's own array, hashed at each call; the result is whatever the store hands out."""
    cached = STORES[contestant](through, tmp_path)
    array = np.random.default_rng(0).random(mib * MIB // 8)
    assert np.array_equal(cached(array), array + 1)

    contest(f"hit, {mib} MiB array in and out", contestant, lambda: cached(array), rounds=200 if mib == 1 else 15)


def test_array_in_hashed_alone(contest: Contest) -> None:
    """The raw part of the 100 MiB hit: XXH3-128 of the input, in one thread, and nothing else."""
    array = np.random.default_rng(0).random(100 * MIB // 8)

    contest(
        "hit, 100 MiB array in and out", "XXH3 of the input alone", lambda: xxhash.xxh3_128_digest(array), rounds=15
    )


@pytest.mark.parametrize("contestant", STORES)
def test_array_in_and_out_and_read(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """The same, and every byte of the result is read: a mapped array pays for its pages here."""
    cached = STORES[contestant](through, tmp_path)
    array = np.random.default_rng(0).random(100 * MIB // 8)
    cached(array)

    contest("hit, 100 MiB array in and out, result summed", contestant, lambda: cached(array).sum(), rounds=15)


@pytest.mark.parametrize("contestant", STORES)
def test_chained(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """A result goes straight into the next cached call, as in a pipeline."""
    first, then = STORES[contestant](through, tmp_path / "a"), STORES[contestant](summed, tmp_path / "a")
    array = np.random.default_rng(0).random(100 * MIB // 8)
    made = first(array)
    then(made)

    contest("hit of g(x), x a 100 MiB result of the same store", contestant, lambda: then(made), rounds=15)


@pytest.mark.parametrize("contestant", STORES)
def test_miss(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """What storing costs: each round a new 100 MiB array."""
    cached = STORES[contestant](through, tmp_path)
    array = np.random.default_rng(0).random(100 * MIB // 8)

    def change() -> None:
        array[0] += 1

    contest("miss, 100 MiB array in and out", contestant, lambda: cached(array), rounds=5, setup=change)


@pytest.mark.parametrize("contestant", STORES)
def test_small_miss(contestant: str, contest: Contest, tmp_path: Path) -> None:
    """What storing costs for two ints and a string."""
    cached = STORES[contestant](small, tmp_path)
    cached(0, 0, "abc")
    number = iter(range(1, 10_000_000))

    contest('miss of f(n, 2, "abc")', contestant, lambda: cached(next(number), 2, "abc"), rounds=300)
