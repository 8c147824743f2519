"""Mutated blobs and rows: the value that was stored or a miss, never another value and never a crash.

GPUCACHE_TEST_MUTATIONS is how many (default 400; the long run takes 100 000).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpucache.digests import Dir, File, value_digest
from gpucache.errors import GpuCacheError, RecordCorrupt
from gpucache.events import hooks, log_event
from gpucache.store import Record, Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if "GPUCACHE_TEST_MUTATIONS" in os.environ else 180)]

MUTATIONS = int(os.environ.get("GPUCACHE_TEST_MUTATIONS", "400"))
INLINE_MAX_BYTES = 512
MUTATED_ROWS = ("records", "values", "blobs", "parts", "recent")


@pytest.fixture(autouse=True)
def _without_log() -> Iterator[None]:
    hooks.remove(log_event)
    yield
    hooks.add(log_event)


def _values(folder: Path) -> list[Any]:
    (folder / "some").mkdir()
    (folder / "some" / "file.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "some" / "other.txt").write_text("text")
    array = np.arange(500.0)
    return [
        7,
        "text " * 400,
        array,
        np.arange(40, dtype=np.int8),
        [array, {"a": np.ones((30, 30)), "b": (1, None)}],
        b"\0" * 3000,
        File(folder / "some" / "file.bin"),
        Dir(folder / "some"),
    ]


def _publish(store: Store, values: list[Any]) -> None:
    for number, value in enumerate(values):
        digest = value_digest(value)
        manifest = store.write(value, digest)
        store.publish(Record(bytes([number]) * 16, "t", manifest, b"", 1.0, 1e9), {"arg:x": (digest, "x")})
        store.put(value)


def _same(found: Any, wanted: Any) -> bool:
    """Whether it is the value, by its content alone: what a store hands out carries a digest along."""
    if isinstance(wanted, Dir):
        return {name: path.read_bytes() for name, path in found.files()} == {
            name: path.read_bytes() for name, path in wanted.files()
        }
    if isinstance(wanted, File):
        return bool(found.read_bytes() == wanted.read_bytes())
    if isinstance(wanted, np.ndarray):
        return bool(found.dtype == wanted.dtype and np.array_equal(found, wanted))
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(_same(found[key], wanted[key]) for key in wanted)
    return type(found) is type(wanted) and bool(found == wanted)


def _mutated(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Never the same content."""
    at = chance.randrange(len(content) + 1)
    size = chance.choice([1, 2, 8, 64, 4096])
    mutant = bytearray(content)
    kind = chance.randrange(7)
    if kind == 0 and content:
        mutant[at % len(content)] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del mutant[at:]
    elif kind == 2:
        del mutant[at : at + size]
    elif kind == 3:
        mutant[at:at] = chance.randbytes(size)
    elif kind == 4:
        mutant[at : at + size] = chance.randbytes(len(mutant[at : at + size]))
    elif kind == 5:
        mutant[at : at + size] = bytes(len(mutant[at : at + size]))
    else:
        mutant[:] = chance.choice(others)
    return bytes(mutant) if bytes(mutant) != content else content + b"\xff"


def _damage_a_blob(store: Store, chance: random.Random) -> None:
    files = sorted(file for file in (store.path / "blobs").rglob("*") if file.is_file())
    file = chance.choice(files)
    mutant = _mutated(file.read_bytes(), [other.read_bytes() for other in files], chance)
    if chance.random() < 0.5:
        file.unlink()  # another file under its name; else its own bytes change
    else:
        file.chmod(0o600)
    file.write_bytes(mutant)
    os.utime(file, ns=(1, time.time_ns()))  # two writes within one tick of the kernel's clock look alike


def _damage_a_row(store: Store, chance: random.Random) -> None:
    """As a failing disk would: the row changes, its check does not."""
    database = chance.choice(MUTATED_ROWS)

    def damage(rows: Any) -> None:
        keys = [key for key, _ in rows.scan(database)]
        if not keys:
            return  # what was damaged before cost them all
        key = chance.choice(keys)
        rows._transaction.put(
            key,
            _mutated(rows.raw(database, key), [rows.raw(database, other) for other in keys], chance),
            db=rows._databases[database],
        )

    store.rows.update(damage)


def _forge_a_row(store: Store, chance: random.Random) -> None:
    """As a gpucache that writes other rows would, or whoever wants to do harm: its check is right."""
    database = chance.choice(MUTATED_ROWS)

    def forge(rows: Any) -> None:
        found = dict(rows.scan(database))
        if not found:
            return  # what was forged before cost them all
        key = chance.choice(sorted(found))
        rows.put(database, key, _mutated(found[key], list(found.values()), chance))

    store.rows.update(forge)


def _read_all(store: Store, check: Callable[[Any, int], None], count: int) -> int:
    """Read every record in every way; how many were misses."""
    misses = 0
    for number in range(count):
        record = store.lookup(bytes([number]) * 16)
        if record is None:
            misses += 1
            continue
        try:
            check(store.read(record.result), number)
        except RecordCorrupt:
            misses += 1
        store.has(record.result)
        store.parts_of(record)
    list(store.records("t"))
    return misses


@pytest.mark.parametrize("damage", [_damage_a_blob, _damage_a_row])
def test_damage_gives_the_value_or_a_miss(tmp_path: Path, damage: Callable[[Store, random.Random], None]) -> None:
    """After each mutation every record is read: right, or a miss; publishing again makes the store whole again."""
    values, chance = _values(tmp_path), random.Random(2)

    def check(found: Any, number: int) -> None:
        assert _same(found, values[number]), f"value {number} is another: {found!r}"

    misses = 0
    with Store(tmp_path / "store", inline_max_bytes=INLINE_MAX_BYTES) as store:
        _publish(store, values)
        for _ in range(MUTATIONS // 3):
            damage(store, chance)
            misses += _read_all(store, check, len(values))
            store.stats()
            _publish(store, values)
            assert _read_all(store, check, len(values)) == 0, "publishing again did not heal it"
        store.verify(repair=True)
        assert store.verify().problems == ()

    assert misses > MUTATIONS // 30, "hardly anything was damaged: nothing was tried"


def test_a_forged_row_gives_an_answer_or_an_error_of_ours(tmp_path: Path) -> None:
    """A row whose check is right and whose content is garbage: no error but gpucache's own, from reading, counting or sweeping."""
    values, chance = _values(tmp_path), random.Random(3)
    with Store(tmp_path / "store", inline_max_bytes=INLINE_MAX_BYTES) as store:
        _publish(store, values)
        for number in range(MUTATIONS // 3):
            _forge_a_row(store, chance)
            for act in (
                lambda: _read_all(store, lambda *_: None, len(values)),
                store.stats,
                partial(store.collect, max_bytes=10_000, apply=number % 10 == 0),
                store.verify,
            ):
                try:
                    act()
                except GpuCacheError:
                    pass
            if number % 10 == 9:
                for key in range(len(values)):
                    store.forget(bytes([key]) * 16)
                store.verify(repair=True)
                _publish(store, values)
