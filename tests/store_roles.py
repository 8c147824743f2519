"""What processes do with a store until they are killed, for tests/crash: each says what it did, when it is done."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from gpucache.digests import value_digest
from gpucache.errors import NoSuchRecord, RecordCorrupt
from gpucache.store import Record, Store
from gpucache.store.upkeep import GRACE_S

VALUES = 12
STEPS_A_CYCLE = 10_000

Say = Callable[[str], None]


def value_of(number: int) -> object:
    """Every other one is a blob."""
    return np.arange(3000 + number) * (number + 1) if number % 2 else f"value {number}"


def key_of(step: int) -> bytes:
    """The key of a writer's step."""
    return step.to_bytes(16, "big")


def is_right(found: object, number: int) -> bool:
    """Whether these are the bytes of the value: compared, not believed by the digest that they carry."""
    return bool(np.array_equal(found, value_of(number)))  # type: ignore[arg-type]  # text compares as an array of text


def run(role: str, path: Path, cycle: int, out: Connection) -> None:
    """Do it for ever."""
    store = Store(path, durability="durable" if role == "write durably" else "relaxed")
    out.send_bytes(b"ready")
    for step in itertools.count(cycle * STEPS_A_CYCLE):
        for said in ROLES[role](store, step):
            out.send_bytes(said.encode())


def write(store: Store, step: int) -> list[str]:
    """Publish a record of its own key; it is acknowledged."""
    value = value_of(step % VALUES)
    store.publish(Record(key_of(step), "t", store.write(value, value_digest(value)), b"", 1.0, 1e9), {})
    return [str(step)]


def read(store: Store, step: int) -> list[str]:
    """Read what the writer of this cycle may have written."""
    start = step - step % STEPS_A_CYCLE
    record = store.lookup(key_of(start + step % 20))
    if record is None:
        return []
    try:
        return [] if is_right(store.read(record.result), (start + step % 20) % VALUES) else ["WRONG"]
    except RecordCorrupt:
        return []  # evicted


def collect(store: Store, step: int) -> list[str]:
    """Make room, in ever changing amounts."""
    store.collect(max_bytes=step % 4 * 30_000, apply=True)
    return []


def hold(store: Store, step: int) -> list[str]:
    """Hold one of three locks, and use the store meanwhile."""
    with store.flight((step % 3).to_bytes(16, "big")):
        digest = store.put(value_of(step % VALUES))
        try:
            return [] if is_right(store.get(digest), step % VALUES) else ["WRONG"]
        except (NoSuchRecord, RecordCorrupt):
            return []  # evicted in between


ROLES: dict[str, Callable[[Store, int], list[str]]] = {
    "write": write,
    "write durably": write,
    "read": read,
    "collect": collect,
    "hold": hold,
}


def assert_swept(path: Path) -> None:
    """Long after the last kill, collect() leaves nothing that no row names, and verify finds nothing wrong."""
    with Store(path, clock=lambda: time.time() + 2 * GRACE_S) as store:
        store.collect(apply=True)

        assert os.listdir(path / "tmp") == []
        assert os.listdir(path / "quarantine") == []
        files = sum(1 for file in (path / "blobs").rglob("*") if file.is_file())
        assert files == store.stats().blobs
        assert store.verify().problems == ()
        assert list(store.rows.scan("claims")) == []


def compute_each(path: Path, log: Path, seed: int, keys: int) -> None:
    """Single flight: take each key's lock, in an order of one's own, and run its body if nobody has."""
    from random import Random

    order = list(range(keys))
    Random(seed).shuffle(order)
    with Store(path) as store:
        for number in order:
            key = key_of(number)
            with store.flight(key):
                if store.lookup(key) is None:
                    with log.open("a") as file:
                        file.write(f"{number}\n")
                    store.publish(Record(key, "t", store.write(number, value_digest(number)), b"", 1.0, 1e9), {})
            record = store.lookup(key)
            assert record is not None
            assert store.read(record.result) == number
