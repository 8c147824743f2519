"""kill -9 of whoever uses a store, at any moment: nothing that was acknowledged is lost, no byte is wrong, nothing waits.

GPUCACHE_TEST_KILLS is how many processes are killed in all (default 60, in CI 300, a fifth in each role; the long run takes 10 000).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from store_roles import ROLES, VALUES, assert_swept, compute_each, is_right, key_of, run

from gpucache.errors import RecordCorrupt
from gpucache.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if "GPUCACHE_TEST_KILLS" in os.environ else 300)]

KILLS = int(os.environ.get("GPUCACHE_TEST_KILLS", "300" if os.environ.get("CI") == "true" else "60"))
HANG_S = 2.0 if "GPUCACHE_TEST_KILLS" in os.environ else 10.0  # the disk of a busy machine takes its time
STARTED_S = 20.0  # HANG_S, and what starting a process may take on a busy machine
LONGEST_LIFE_S = 0.06
FLIGHT_PROCESSES = int(os.environ.get("GPUCACHE_TEST_FLIGHT_PROCESSES", "8"))
FLIGHT_KEYS = int(os.environ.get("GPUCACHE_TEST_FLIGHT_KEYS", "100"))


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Where processes come from in milliseconds, all imports done."""
    context = multiprocessing.get_context("forkserver")
    # pytest too, which children import as the main module; what can't be found there is passed over in silence.
    context.set_forkserver_preload(["numpy", "pytest", "gpucache.store", "gpucache.codec.array", "gpucache.digests"])
    return context


class Victim:
    """A process in one role, and what it has said."""

    def __init__(self, processes: ForkServerContext, role: str, path: Path, cycle: int) -> None:
        self._mouth, ours = processes.Pipe(duplex=False)
        self._process = processes.Process(target=run, args=(role, path, cycle, ours))
        self._process.start()
        ours.close()

    def killed_after(self, life_s: float) -> Iterator[str]:
        """What it says until it is killed, some time after it opened the store."""
        if not self._mouth.poll(STARTED_S):
            self._process.kill()
            raise AssertionError("it hangs while it opens the store")
        assert self._mouth.recv_bytes() == b"ready"
        ends_at = time.monotonic() + life_s
        while (left_s := ends_at - time.monotonic()) > 0:
            if self._mouth.poll(left_s):
                yield self._mouth.recv_bytes().decode()
        self._process.kill()
        self._process.join()
        try:
            while True:
                yield self._mouth.recv_bytes().decode()
        except EOFError:
            self._mouth.close()
            self._process.close()


def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path, processes: ForkServerContext) -> None:
    """Writers, readers, collectors and lock holders killed in turn; every wait after a kill is short; a sweep leaves nothing."""
    path, chance = tmp_path / "store", random.Random(1)
    acknowledged: list[int] = []
    longest_s = 0.0
    with Store(path) as store:
        for cycle in range(max(1, KILLS // len(ROLES))):
            victims = [Victim(processes, role, path, cycle) for role in ROLES]
            said: list[str] = []
            for victim in victims:
                said += victim.killed_after(chance.random() * LONGEST_LIFE_S)
            assert "WRONG" not in said, "a reader got other bytes than were written"
            fresh = [int(step) for step in said]
            acknowledged += fresh

            started_at = time.monotonic()
            _all_there(store, fresh)
            for number in range(3):
                with store.flight(number.to_bytes(16, "big"), timeout_s=HANG_S) as is_free:
                    assert is_free, "a killed holder's lock is held still"
            store.put(cycle)
            longest_s = max(longest_s, time.monotonic() - started_at)

        assert len(acknowledged) >= KILLS // len(ROLES), "the writers hardly wrote: nothing was tried"
        assert longest_s < HANG_S
        _all_there(store, acknowledged)
    assert_swept(path)


def _all_there(store: Store, steps: list[int]) -> None:
    for step in steps:
        record = store.lookup(key_of(step))
        assert record is not None, f"the record of step {step} was acknowledged and is lost"
        try:
            assert is_right(store.read(record.result), step % VALUES)
        except RecordCorrupt:  # evicted by a collector, as it may; who met that wrote it down
            if store.has(
                record.result
            ):  # its writer was killed when it had committed and LMDB had not told readers: the next commit did
                assert is_right(store.read(record.result), step % VALUES)


def test_writers_who_write_for_each_other_are_killed(tmp_path: Path, processes: ForkServerContext) -> None:
    """Whoever has the turn makes the changes of those who wait, and is killed on the way: no acknowledged record is lost."""
    path, chance = tmp_path / "store", random.Random(2)
    acknowledged: list[int] = []
    with Store(path) as store:
        for cycle in range(max(1, KILLS // 6)):
            roles = ("write", "write durably", "write durably")
            victims = [Victim(processes, role, path, 3 * cycle + number) for number, role in enumerate(roles)]
            for victim in victims:
                acknowledged += [int(step) for step in victim.killed_after(chance.random() * LONGEST_LIFE_S)]
            started_at = time.monotonic()
            store.put(cycle)
            assert time.monotonic() - started_at < HANG_S, "a killed writer left others waiting"
        assert len(acknowledged) >= KILLS // 6, (
            "the writers hardly wrote: nothing was tried"
        )  # a busy disk syncs slowly
        _all_there(store, acknowledged)
        assert store.verify().problems == ()
    assert_swept(path)


def test_each_body_runs_once(tmp_path: Path, processes: ForkServerContext) -> None:
    """8 processes, 100 keys in 8 orders: 100 computations; in the long run 64 and 1,000."""
    with Store(tmp_path / "store"):
        pass
    workers = [
        processes.Process(target=compute_each, args=(tmp_path / "store", tmp_path / "log", seed, FLIGHT_KEYS))
        for seed in range(FLIGHT_PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * FLIGHT_PROCESSES
    assert Counter((tmp_path / "log").read_text().split()) == {str(number): 1 for number in range(FLIGHT_KEYS)}


def test_a_killed_holder_lets_go(tmp_path: Path, processes: ForkServerContext) -> None:
    """A lock whose holder is killed while others wait for it goes to one of them at once."""
    path = tmp_path / "store"
    with Store(path) as store:
        for cycle in range(5):
            victim = Victim(processes, "hold", path, cycle)
            for _ in victim.killed_after(0.01):
                pass
            started_at = time.monotonic()
            for number in range(3):
                with store.flight(number.to_bytes(16, "big")):
                    pass
            assert time.monotonic() - started_at < HANG_S
