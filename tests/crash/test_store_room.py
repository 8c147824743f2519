"""A store at its limit: writers evict while readers hold what they read, at once and in many processes, and no byte is wrong.

GPUCACHE_TEST_FULL_S is how long (default: until each writer has written 250 values; the long run takes three minutes).
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter, deque
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import numpy as np
import pytest
from store_roles import assert_swept, key_of

from gpucache.digests import value_digest
from gpucache.errors import BlobMissing
from gpucache.store import Record, Store, limit

LONG_S = float(os.environ.get("GPUCACHE_TEST_FULL_S", "0"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if LONG_S else 180)]

WRITES = 250
NBYTES = 24_000
MAX_BYTES = 60 * NBYTES
WRITERS = 2
HELD = 16
"""Arrays that a reader has mapped at any time, evicted or not."""


def value_of(step: int) -> np.ndarray:
    """A blob of its own for each step."""
    return np.arange(NBYTES // 8) * (step + 1)


def write(path: Path, number: int, out: Connection, long_s: float) -> None:
    """Publish results, each of another cost, and look how much there is. No variable tells it how long: tests have none."""
    limit.SPARED_S = 0.0  # else nothing would go within a minute
    ends_at, step, most = time.monotonic() + long_s, number, 0
    with Store(path, max_bytes=MAX_BYTES) as store:
        while time.monotonic() < ends_at if long_s else step < WRITES * WRITERS:
            value = value_of(step)
            manifest = store.write(value, value_digest(value))
            store.publish(Record(key_of(step), "t", manifest, b"", 1.0 + step % 7, time.time()), {})
            out.send(step)
            most, step = max(most, store.blob_bytes()), step + WRITERS
    out.send(Counter(written=step // WRITERS, most_bytes=most))


def read(path: Path, number: int, out: Connection, inbox: Connection) -> None:
    """Read what was written, old and new, hold some of it mapped, and compare every byte when it comes and when it goes."""
    chance, known, held, counts = Random(number), [0], deque[tuple[int, np.ndarray]](), Counter[str]()
    with Store(path) as store:
        while (step := _newest(inbox, known[-1])) is not None:
            known.append(step)
            wanted = chance.choice(known[-200:])
            record = store.lookup(key_of(wanted))
            assert record is not None, "a record outlives its bytes"
            try:
                held.append((wanted, store.read(record.result)))
            except BlobMissing:
                counts["missed"] += 1
                continue
            counts["found"] += 1
            for step_held, array in (held[-1], *([held.popleft()] if len(held) > HELD else [])):
                assert np.array_equal(array, value_of(step_held)), f"step {step_held} has other bytes"
    out.send(counts)


def _newest(inbox: Connection, before: int) -> int | None:
    """The last step that is told; None at the end."""
    step: int | None = before
    while step is not None and inbox.poll():
        step = inbox.recv()
    return step


def pin(path: Path, number: int, out: Connection, inbox: Connection) -> None:
    """What is pinned is there, whatever goes; also what another collector does."""
    counts = Counter[str]()
    with Store(path) as store:
        step = 0
        while (_newest(inbox, 0)) is not None:
            value = value_of(10**9 + number * 10**6 + step)
            digest = store.put(value)
            try:
                store.pin(digest)
            except LookupError:
                counts["evicted before the pin"] += 1
                continue
            store.collect(max_bytes=MAX_BYTES, apply=step % 5 == 0)
            assert np.array_equal(store.get(digest), value), "what is pinned was evicted"
            store.unpin(digest)
            counts["pinned"] += 1
            step += 1
    out.send(counts)


def test_readers_and_writers_at_the_limit(tmp_path: Path) -> None:
    """Values are right or gone, records and pinned values stay, the limit holds, and a sweep leaves nothing."""
    path, processes = tmp_path / "store", multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["numpy", "pytest", "gpucache.store", "gpucache.codec.array", "gpucache.digests"])
    with Store(path) as store:
        first = value_of(0)
        store.publish(Record(key_of(0), "t", store.write(first, value_digest(first)), b"", 1.0, time.time()), {})
    writers, others, inboxes = [], [], []
    for role, number in ((read, 1), (read, 2), (pin, 3)):
        ours, theirs = processes.Pipe()
        inbox, tell = processes.Pipe(duplex=False)
        others.append((processes.Process(target=role, args=(path, number, theirs, inbox), daemon=True), ours))
        inboxes.append(tell)
    for number in range(WRITERS):
        ours, theirs = processes.Pipe()
        writers.append((processes.Process(target=write, args=(path, number, theirs, LONG_S), daemon=True), ours))
    for process, _ in (*others, *writers):
        process.start()

    counts = _passed_on([mouth for _, mouth in writers], inboxes)
    for tell in inboxes:
        tell.send(None)
    for process, mouth in others:
        assert mouth.poll(60), "it hangs"
        counts += mouth.recv()
        process.join()
    for process, _ in writers:
        process.join()

    assert [process.exitcode for process, _ in (*others, *writers)] == [0] * (WRITERS + 3)
    assert counts["found"] > WRITES / 5, "the readers hardly read: nothing was tried"
    assert counts["missed"] > 0, "nothing they wanted was evicted"
    assert counts["pinned"] > 0
    assert_swept(path)


def _passed_on(mouths: list[Connection], inboxes: list[Connection]) -> Counter[str]:
    """Tell the readers what was written, until the writers are at their end; what those counted."""
    from multiprocessing.connection import wait

    counts, most, speaking = Counter[str](), 0, list(mouths)
    while speaking:
        ready = wait(speaking, timeout=60)
        assert ready, "the writers hang"
        for mouth in ready:
            assert isinstance(mouth, Connection)
            said = mouth.recv()
            if isinstance(said, Counter):
                most = max(most, said.pop("most_bytes"))
                counts += said
                speaking.remove(mouth)
            else:
                for tell in inboxes:
                    tell.send(said)
    assert MAX_BYTES * 0.8 < most < MAX_BYTES * 1.6, f"{most:,} bytes, and the limit is {MAX_BYTES:,}"
    counts["most_bytes"] = most
    return counts
