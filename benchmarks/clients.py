"""Several processes at one store at the same time: how many calls they answer, or records they write, per second in all."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpucache as gpc
from gpucache.digests import value_digest
from gpucache.store import Record, Store

WARM_UP_S = 0.2


@dataclass(frozen=True, slots=True)
class Rate:
    """What all processes did together.

    Attributes:
        per_second: How often, in all.
        cpu_s: CPU time of each, s: what one core would need for one.
    """

    per_second: float
    cpu_s: float


def rate(role: str, folder: Path, *, processes: int, threads: int = 1, seconds: float = 3.0) -> Rate:
    """Let so many processes of so many threads act in a role of ROLES, all at the same time, for so long."""
    context = multiprocessing.get_context("spawn")
    ready, counts = context.Barrier(processes), context.Queue()
    clients = [
        context.Process(target=_client, args=(role, folder, number, threads, seconds, ready, counts))
        for number in range(processes)
    ]
    for client in clients:
        client.start()
    counted = [counts.get() for _ in clients]
    for client in clients:
        client.join()
    done = sum(count for count, _, _ in counted)
    return Rate(
        sum(count / took_s for count, took_s, _ in counted), sum(cpu_s for _, _, cpu_s in counted) / max(1, done)
    )


def _client(  # noqa: PLR0917  # Process passes them so
    role: str, folder: Path, number: int, threads: int, seconds: float, ready: Any, counts: Any
) -> None:
    prepare = ROLES[role]
    acts = [prepare(folder, number * threads + thread) for thread in range(threads)]
    for act in acts:
        act()
    done = [0] * threads
    ready.wait()
    started_at, cpu_at = time.perf_counter(), time.process_time()
    ends_at = started_at + seconds

    def go(thread: int) -> None:
        act, count = acts[thread], 0
        while time.perf_counter() < ends_at:
            act()
            count += 1
        done[thread] = count

    going = [threading.Thread(target=go, args=(thread,)) for thread in range(threads)]
    for one in going:
        one.start()
    for one in going:
        one.join()
    counts.put((sum(done), time.perf_counter() - started_at, time.process_time() - cpu_at))


HITS_AN_ACT = 100


def small(a: int, b: int, c: str) -> tuple[int, str]:
    return a + b, c


def _hits(folder: Path, number: int) -> Callable[[], object]:
    gpc.init(store=folder / "store", runtime="inline")
    cached = gpc.task(small)
    cached(1, 2, "abc")

    def act() -> None:
        for _ in range(HITS_AN_ACT):
            cached(1, 2, "abc")

    return act


def _lookups(folder: Path, number: int) -> Callable[[], object]:
    store = Store(folder / "store")
    keys = [_key(0, count) for count in range(HITS_AN_ACT)]
    for count, key in enumerate(keys):
        if store.lookup(key) is None:
            _publish(store, key, (0, count))

    def act() -> None:
        for key in keys:
            store.lookup(key)

    return act


def _writes(durability: Any) -> Callable[[Path, int], Callable[[], object]]:
    def prepare(folder: Path, number: int) -> Callable[[], object]:
        store, counted = Store(folder / "store", durability=durability), iter(range(10**9))

        def act() -> None:
            count = next(counted)
            _publish(store, _key(number, count), (number, count))

        return act

    return prepare


def _diskcache_writes(folder: Path, number: int) -> Callable[[], object]:
    import diskcache

    cache, counted = diskcache.Cache(str(folder / "diskcache"), sqlite_synchronous=2), iter(range(10**9))
    return lambda: cache.set(_key(number, next(counted)), (number, 1))


def _diskcache_reads(folder: Path, number: int) -> Callable[[], object]:
    import diskcache

    cache = diskcache.Cache(str(folder / "diskcache"))
    cached = cache.memoize()(small)

    def act() -> None:
        for _ in range(HITS_AN_ACT):
            cached(1, 2, "abc")

    return act


def _syncs(folder: Path, number: int) -> Callable[[], object]:
    """The raw part: one page written over, and fdatasync, each process its own file."""
    import os

    descriptor = os.open(folder / f"raw.{number}", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(descriptor, bytes(4096), 0)

    def act() -> None:
        os.pwrite(descriptor, os.urandom(16), 0)
        os.fdatasync(descriptor)

    return act


def _key(number: int, count: int) -> bytes:
    return hashlib.blake2b(b"%d.%d" % (number, count), digest_size=16).digest()


def _publish(store: Store, key: bytes, value: tuple[int, int]) -> None:
    manifest = store.write(value, value_digest(value))
    record = Record(key, "module.task", manifest, b"", 1.0, 1e9 + value[1], "run")
    store.publish(record, {"code:module.task": (b"c" * 16, "module.py:1 task"), "arg:x": (key, str(value[1]))})


ROLES: dict[str, Callable[[Path, int], Callable[[], object]]] = {
    "hits": _hits,
    "lookups": _lookups,
    "durable writes": _writes("durable"),
    "relaxed writes": _writes("relaxed"),
    "diskcache writes": _diskcache_writes,
    "diskcache hits": _diskcache_reads,
    "fdatasync": _syncs,
}
