"""The store on disk does what its twin in memory does, whatever is asked of both and in whatever order."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gpucache.digests import value_digest
from gpucache.errors import BlobMissing, NoSuchRecord, RecordCorrupt
from gpucache.store import InMemoryStore, Record, Store
from gpucache.store.upkeep import GRACE_S

INLINE_MAX_BYTES = 256
LATER_S = 2 * GRACE_S
BLOBS = [np.arange(size) for size in (200, 300, 400, 500)]
VALUES = [1, "text", [1, 2.5, None], *BLOBS, [BLOBS[0], BLOBS[1]], {"a": BLOBS[0].copy()}, b"z" * 1000]
DIGESTS = [value_digest(value) for value in VALUES]
TASKS = ("one", "other")

LARGE = [3, 4, 5, 6, 7, 8]  # those with blobs
which = st.integers(0, len(VALUES) - 1)
keys = st.integers(0, 3).map(lambda number: bytes([number]) * 16)


def _outcome(act: Callable[[], object]) -> tuple[str, object]:
    """The digest of what an act gives, or how it fails. Of a copy: what a store gives carries its digest along."""
    try:
        found = act()
    except (BlobMissing, NoSuchRecord, RecordCorrupt) as problem:
        return type(problem).__name__, None
    return "given", value_digest(copy.deepcopy(found))


class TwoStores(RuleBasedStateMachine):
    """Both stores, asked the same."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="gpucache-model-"))
        self._ahead_s = 0.0
        self._disk = self._open()
        self._twin = InMemoryStore(inline_max_bytes=INLINE_MAX_BYTES, clock=self._now)

    def _now(self) -> float:
        return time.time() + self._ahead_s

    def _open(self) -> Store:
        return Store(self._folder / "store", inline_max_bytes=INLINE_MAX_BYTES, clock=self._now)

    def teardown(self) -> None:
        """Both go."""
        self._disk.close()
        self._twin.close()
        shutil.rmtree(self._folder)

    @initialize(index=which)
    def begin(self, index: int) -> None:
        """Not empty."""
        self.put(index)

    # ---------------------------------------------------------------- what is asked

    @rule(index=which)
    def put(self, index: int) -> None:
        """The same digest from both, and it can be read at once."""
        assert self._disk.put(VALUES[index]) == self._twin.put(VALUES[index])
        assert self._disk.contains(f"xxh3-128:{DIGESTS[index].hex()}")

    @rule(index=which)
    def get(self, index: int) -> None:
        """The same value, or the same answer why not; what is given is what was put."""
        name = f"xxh3-128:{DIGESTS[index].hex()}"
        found, wanted = _outcome(lambda: self._disk.get(name)), _outcome(lambda: self._twin.get(name))
        assert found == wanted
        assert found[0] != "given" or found[1] == DIGESTS[index]

    @rule(index=which)
    def pin(self, index: int) -> None:
        """Only what is there can be pinned."""
        name = f"xxh3-128:{DIGESTS[index].hex()}"
        assert _outcome(lambda: self._disk.pin(name)) == _outcome(lambda: self._twin.pin(name))

    @rule(index=which)
    def unpin(self, index: int) -> None:
        """Whether it was pinned."""
        name = f"xxh3-128:{DIGESTS[index].hex()}"
        assert self._disk.unpin(name) == self._twin.unpin(name)

    @rule(key=keys, index=which, task=st.sampled_from(TASKS), seconds=st.sampled_from([0.1, 10.0, 1000.0]))
    def publish(self, key: bytes, index: int, task: str, seconds: float) -> None:
        """A record of a value."""
        for store in (self._disk, self._twin):
            manifest = store.write(VALUES[index], DIGESTS[index])
            store.publish(Record(key, task, manifest, b"", seconds, 1e9), {"arg:x": (DIGESTS[index], "x")})

    @rule(key=keys)
    def look_up(self, key: bytes) -> None:
        """The same record, the same value of it."""
        found, wanted = self._disk.lookup(key), self._twin.lookup(key)
        assert found == wanted
        if found is not None and wanted is not None:
            assert _outcome(lambda: self._disk.read(found.result)) == _outcome(lambda: self._twin.read(wanted.result))

    @rule(key=keys)
    def forget(self, key: bytes) -> None:
        """Whether there was one."""
        assert self._disk.forget(key) == self._twin.forget(key)

    @rule(task=st.sampled_from(TASKS))
    def forget_task(self, task: str) -> None:
        """How many there were."""
        assert self._disk.forget_task(task) == self._twin.forget_task(task)

    # ---------------------------------------------------------------- what happens to them

    @rule(limit=st.sampled_from([None, None, None, 0]))
    def collect(self, limit: int | None) -> None:
        """The same goes; a dry run says it beforehand."""
        said = self._disk.collect(max_bytes=limit)
        done, twin = (store.collect(max_bytes=limit, apply=True) for store in (self._disk, self._twin))
        assert (said.evicted, said.evicted_bytes, said.kept_bytes) == (
            done.evicted,
            done.evicted_bytes,
            done.kept_bytes,
        )
        assert (twin.evicted, twin.evicted_bytes, twin.kept_bytes) == (
            done.evicted,
            done.evicted_bytes,
            done.kept_bytes,
        )

    @precondition(lambda self: self._disk.stats().blobs > 2)
    @rule(limit=st.integers(0, 8000))
    def make_room(self, limit: int) -> None:
        """Down to the limit, but for what is pinned or claimed. Who goes depends on file times, so both are emptied then."""
        before = {name: self._disk.contains(name) for name in self._pinned()}
        report = self._disk.collect(max_bytes=limit, apply=True)
        assert report.kept_bytes <= limit or report.kept_bytes == self._disk.collect(max_bytes=0).kept_bytes
        assert {name: self._disk.contains(name) for name in before} == before
        for store in (self._disk, self._twin):
            store.collect(max_bytes=0, apply=True)

    @rule()
    def sweep_later(self) -> None:
        """Two hours on, what nothing names any more goes from both."""
        self._ahead_s = LATER_S
        for store in (self._disk, self._twin):
            store.collect(apply=True)
        self._ahead_s = 0.0

    @rule()
    def reopen(self) -> None:
        """What was stored is still there."""
        self._disk.close()
        self._disk = self._open()

    @rule(index=st.sampled_from(LARGE), bit=st.integers(0, 2**20))
    def damage(self, index: int, bit: int) -> None:
        """A bit of one of its blobs flips, in both."""
        self.put(index)
        manifest = self._disk.manifest_of(DIGESTS[index])
        for part in manifest.parts if manifest is not None else ():
            row = None if part.blob is None else self._disk.values.blob_row(part.blob)
            twin = None if part.blob is None else self._twin.values.blob_row(part.blob)
            if row is not None and twin is not None:
                _flip(self._folder / "store" / "blobs" / row.name, bit)
                content = bytearray(self._twin._memory.blobs[twin.name])
                content[bit // 8 % len(content)] ^= 1 << bit % 8
                self._twin._memory.blobs[twin.name] = bytes(content)
                return

    @rule()
    def repair(self) -> None:
        """Verify finds as much wrong with both, and nothing afterwards."""
        found, wanted = (store.verify(repair=True) for store in (self._disk, self._twin))
        assert sorted(found.problems) == sorted(wanted.problems)
        assert self._disk.verify().problems == ()

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def same_counts(self) -> None:
        """Records, blobs, bytes and pins are the same, by task as well."""
        disk, twin = self._disk.stats(), self._twin.stats()
        assert (disk.records, disk.blobs, disk.blob_bytes, disk.pins, disk.tasks) == (
            (twin.records, twin.blobs, twin.blob_bytes, twin.pins, twin.tasks)
        )

    @invariant()
    def nothing_is_left_over(self) -> None:
        """One file for each blob, none half-written."""
        files = sum(1 for file in (self._folder / "store" / "blobs").rglob("*") if file.is_file())
        assert files == self._disk.stats().blobs
        assert os.listdir(self._folder / "store" / "tmp") == []

    def _pinned(self) -> list[str]:
        return [f"xxh3-128:{digest.hex()}" for digest, _ in self._disk.rows.scan("pins")]


def _flip(file: Path, bit: int) -> None:
    """Change one bit, and the time of change for certain: two writes within one tick of the kernel's clock look alike."""
    content = bytearray(file.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    file.chmod(0o600)
    file.write_bytes(content)
    os.utime(file, ns=(1, time.time_ns()))


@pytest.mark.slow
def test_the_store_on_disk_is_its_twin_in_memory() -> None:
    """Any sequence of put, get, pin, publish, forget, collect, reopen, damage and repair gives the same answers from both."""
    run_state_machine_as_test(TwoStores, settings=settings(stateful_step_count=40))
