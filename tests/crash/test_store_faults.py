"""A fault at every system call of a store's operations: killed before or after it, an error, a write cut short.

A part of the plans here, others with each seed; all of them by `python -m tests.soak syscalls`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from fault_server import DAMAGED_INDEX, FaultServer, Plan, build, plans_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PLANS_EACH = 10
DAMAGED = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """The warm process from which victims are forked."""
    folder = tmp_path_factory.mktemp("faults")
    library = build(folder)
    if library is None:
        pytest.skip("no C compiler here to build csrc/faults with")
    with FaultServer(folder, library) as server:
        yield server


@pytest.mark.parametrize("operation", ["make", "open", "put", "get", "files", "evict", "collect"])
def test_a_fault_at_any_call_loses_nothing_acknowledged(server: FaultServer, operation: str) -> None:
    """After it: every acknowledged record, no wrong byte, no lock held, nothing left over after a sweep, errors of ours alone."""
    chance = random.Random(operation)
    plans = list(plans_of(server, operation, chance.choice(("relaxed", "durable"))))
    problems = []
    for plan in chance.sample(plans, min(PLANS_EACH, len(plans))):
        outcome = server.run(plan)
        problems += [f"{plan}: {problem}" for problem in outcome.problems]
    assert problems == []


def test_the_calls_of_a_durable_put_are_seen(server: FaultServer) -> None:
    """The library stands in the way of Python's calls and of LMDB's: else no fault above happened."""
    calls = server.run(Plan("put", durability="durable")).calls
    assert {"open64", "write", "posix_fallocate64", "rename", "fdatasync", "fsync", "writev", "fcntl64"} <= set(calls)


def test_a_mutated_index_gives_no_wrong_value(server: FaultServer) -> None:
    """What is read from it is right or missing, and whoever reads it is not killed."""
    problems = []
    for seed in (*range(DAMAGED), 80):  # 80: pages that lead in a circle, which was copied for ever
        problems += [f"seed {seed}: {problem}" for problem in server.run(Plan(DAMAGED_INDEX, at=seed)).problems]
    assert problems == []
