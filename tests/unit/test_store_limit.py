"""A limit in bytes holds by itself: whoever writes makes room, and what was just written or read stays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gpucache.digests import value_digest
from gpucache.errors import BadSetting, BlobMissing, StoreFull
from gpucache.events import Degraded, Event, hooks
from gpucache.store import Record, Store, limit
from gpucache.store.limit import LOOKS, MAKING_ROOM, Limit

NBYTES = 50_000
MAX_BYTES = 10 * NBYTES


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", max_bytes=MAX_BYTES) as store:
        yield store


def publish(store: Store, number: int, seconds: float = 1.0) -> None:
    value = np.full(NBYTES, number, np.uint8)
    manifest = store.write(value, value_digest(value))
    store.publish(Record(number.to_bytes(16, "big"), "t", manifest, b"", seconds, 1e9), {})


def is_here(store: Store, number: int) -> bool:
    record = store.lookup(number.to_bytes(16, "big"))
    assert record is not None, "a record outlives its bytes"
    try:
        assert store.read(record.result)[0] == number
    except BlobMissing:
        return False
    return True


def test_who_writes_makes_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times the limit is written, and never more than the limit and a fifth of it is there."""
    monkeypatch.setattr(limit, "SPARED_S", 0.0)
    most = 0
    for number in range(50):
        publish(store, number)
        most = max(most, store.blob_bytes())

    assert MAX_BYTES / 2 < most <= MAX_BYTES * 1.2


def test_what_is_dear_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is made by what it costs to have a value again, as collect() has it."""
    monkeypatch.setattr(limit, "SPARED_S", 0.0)
    publish(store, 0, seconds=1e6)
    for number in range(1, 50):
        publish(store, number)

    assert is_here(store, 0)
    assert sum(is_here(store, number) for number in range(50)) < 15


def test_what_was_just_written_stays(store: Store) -> None:
    """A limit that is smaller than what is at work costs room, and no value."""
    for number in range(30):
        publish(store, number)

    assert all(is_here(store, number) for number in range(30))


def test_pinned_values_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they are more than the limit."""
    monkeypatch.setattr(limit, "SPARED_S", 0.0)
    digests = [store.put(np.full(NBYTES, number, np.uint8)) for number in range(5)]
    for digest in digests:
        store.pin(digest)
    for number in range(30):
        publish(store, 100 + number)

    assert all(store.contains(digest) for digest in digests)


@pytest.mark.parametrize(("lot", "looks"), [(0.999, 1), (1.001, 0)])
def test_a_write_looks_by_its_share_of_the_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch, lot: float, looks: int
) -> None:
    """The chance is its bytes over a thirty-second of the limit."""
    seen: list[int] = []
    bounds = Limit(store, 100 * MAX_BYTES, lambda: lot * LOOKS * NBYTES / (100 * MAX_BYTES))
    monkeypatch.setattr(bounds, "keep", lambda: seen.append(1))
    value = np.full(NBYTES, 1, np.uint8)

    bounds.grew(store.write(value, value_digest(value)))
    bounds.grew(store.write(1, value_digest(1)))  # which takes no blob

    assert len(seen) == looks


def test_one_makes_room_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds another at it goes on."""
    monkeypatch.setattr(limit, "SPARED_S", 0.0)
    for number in range(5):
        publish(store, number)
    with ThreadPoolExecutor(1) as other, store.flight(MAKING_ROOM):
        other.submit(Limit(store, NBYTES).keep).result()
        assert store.blob_bytes() == 5 * NBYTES
    Limit(store, NBYTES).keep()

    assert store.blob_bytes() <= NBYTES


def test_a_disk_that_fails_costs_no_call(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value is stored; that no room could be made is said."""
    heard: list[Event] = []
    bounds = Limit(store, 1, lambda: 0.0)
    monkeypatch.setattr(bounds, "keep", lambda: (_ for _ in ()).throw(StoreFull("a disk", 1, 0)))
    value = np.full(NBYTES, 1, np.uint8)
    hooks.add(heard.append)
    try:
        bounds.grew(store.write(value, value_digest(value)))
    finally:
        hooks.remove(heard.append)

    assert [type(event) for event in heard] == [Degraded]


def test_the_programs_own_lots_are_its_own(store: Store) -> None:
    """A program that seeded random draws what it would without a limit."""
    random.seed(1)
    publish(store, 1)
    drawn = random.random()
    random.seed(1)

    assert drawn == random.random()


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, max_bytes: int) -> None:
    """Before anything is made."""
    with pytest.raises(BadSetting, match="max_bytes"):
        Store(tmp_path / "store", max_bytes=max_bytes)

    assert not (tmp_path / "store").exists()
