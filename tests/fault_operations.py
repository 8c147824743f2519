"""What a process does with a store while a fault is armed, and how another sees afterwards that nothing is wrong."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store_roles import VALUES, is_right, key_of, value_of

from gpucache.digests import Dir, value_digest
from gpucache.errors import GpuCacheError, RecordCorrupt
from gpucache.events import hooks, log_event
from gpucache.store import Record, Store
from gpucache.store.upkeep import QUARANTINE_S

Say = Callable[[str], None]
Arm = Callable[[], None]

NEW = 100  # the first key of what a victim writes


def later() -> float:
    """When whatever a killed process left is old enough to be swept."""
    return time.time() + 2 * QUARANTINE_S


def publish(store: Store, step: int) -> None:
    """Publish the record of a step; it is acknowledged when this returns."""
    value = value_of(step % VALUES)
    store.publish(Record(key_of(step), "t", store.write(value, value_digest(value)), b"", 1.0, 1e9), {})


def prepare(path: Path, count: int) -> None:
    """A store with some records, inline and blobs, and something to sweep."""
    with Store(path) as store:
        for step in range(count):
            publish(store, step)
        (path / "tmp" / "left").write_bytes(b"by a killed writer")
        (path / "quarantine" / "left").write_bytes(b"by a damaged blob")


def _open(path: Path, durability: str, arm: Arm, say: Say) -> None:
    arm()
    with Store(path, durability=durability):  # type: ignore[arg-type]  # one of them
        say("opened")


def _put(path: Path, durability: str, arm: Arm, say: Say) -> None:
    with Store(path, durability=durability) as store:  # type: ignore[arg-type]
        arm()
        for step in (NEW + 4, NEW + 5, NEW + 6):  # values 8 to 10, in no record yet: a text, a blob, a text
            with suppress(GpuCacheError):
                publish(store, step)
                say(f"ack {step}")


def _get(path: Path, durability: str, arm: Arm, say: Say) -> None:
    with Store(path, durability=durability) as store:  # type: ignore[arg-type]
        arm()
        for step in range(8):
            with suppress(GpuCacheError):
                record = store.lookup(key_of(step))
                if record is not None and not is_right(store.read(record.result), step % VALUES):
                    say(f"WRONG value of step {step}")


def _files(path: Path, durability: str, arm: Arm, say: Say) -> None:
    """A directory goes in and comes out, and once more, as a file that someone wrote to is made again."""
    source = path.with_name("given")
    source.mkdir(exist_ok=True)
    contents = {"a": b"a" * 30_000, "b": b"b" * 9, "run": b"a" * 30_000}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    (source / "run").chmod(0o755)
    with Store(path, durability=durability) as store:  # type: ignore[arg-type]
        arm()
        for _ in range(2):
            found = None
            with suppress(GpuCacheError):
                found = store.get(store.put(Dir(source))).path
            with suppress(OSError):  # who reads and writes himself is told by his system
                if found and any((found / name).read_bytes() != content for name, content in contents.items()):
                    say("WRONG content of a file")
                if found:
                    (found / "a").unlink()
                    (found / "a").write_bytes(b"written to")


def _evict(path: Path, durability: str, arm: Arm, say: Say) -> None:
    with Store(path, durability=durability) as store:  # type: ignore[arg-type]
        arm()
        store.collect(max_bytes=40_000, apply=True)
        say("evicted")


def _collect(path: Path, durability: str, arm: Arm, say: Say) -> None:
    with Store(path, durability=durability, clock=later) as store:  # type: ignore[arg-type]
        store.forget(key_of(1))
        publish(store, 1)
        arm()
        store.collect(apply=True)
        say("collected")


def _mutate(path: Path, durability: str, seed: int, say: Say) -> None:
    """Damage the index's file as a failing disk would, then read everything: right or missing, in our words."""
    file, chance = path / "index" / "data.mdb", random.Random(seed)
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 2, 8))):
        at, size = chance.randrange(len(content)), chance.choice((1, 2, 8, 64, 4096))
        kind = chance.randrange(6)
        if kind == 0:
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[at : at + size] = chance.randbytes(len(content[at : at + size]))
        elif kind == 2:
            content[at : at + size] = bytes(len(content[at : at + size]))
        elif kind == 3:
            del content[max(1, at) :]
        elif kind == 4:  # one page in the place of another, as after a lost or misdirected write
            here, there = at // 4096 * 4096, chance.randrange(len(content)) // 4096 * 4096
            content[here : here + 4096] = content[there : there + 4096]
        else:
            in_page = at // 4096 * 4096 + chance.randrange(24)
            content[min(in_page, len(content) - 1)] ^= 1 << chance.randrange(8)  # its header, or its first pointers
    file.write_bytes(content)
    with suppress(GpuCacheError), Store(path, durability=durability) as store:  # type: ignore[arg-type]
        for step in range(8):
            problem = problem_of(store, step, may_miss=True)
            if "another" in problem:
                say(f"WRONG {problem}")
            say("missed" if problem else "found")
        publish(store, NEW)
        store.stats()


def _in_our_words(act: Callable[[Path, str, Arm, Say], None]) -> Callable[[Path, str, Arm, Say], None]:
    def run(path: Path, durability: str, arm: Arm, say: Say) -> None:
        hooks.remove(log_event)
        try:
            act(path, durability, arm, say)
        except GpuCacheError as problem:
            say(f"error {type(problem).__name__}")

    return run


@dataclass(frozen=True)
class Operation:
    """One of them, whether it is done on a store that is there, and whether it takes values away."""

    run: Callable[[Path, str, Arm, Say], None]
    old: bool = True
    evicts: bool = False


OPERATIONS = {
    "make": Operation(_in_our_words(_open), old=False),
    "open": Operation(_in_our_words(_open)),
    "put": Operation(_in_our_words(_put)),
    "get": Operation(_in_our_words(_get)),
    "files": Operation(_in_our_words(_files)),
    "evict": Operation(_in_our_words(_evict), evicts=True),
    "collect": Operation(_in_our_words(_collect)),
}


def read_damaged(path: Path, seed: int, say: Say) -> None:
    """One mutated index file, read in this process."""
    hooks.remove(log_event)
    _mutate(path, "relaxed", seed, say)


def witness(path: Path, steps: Iterable[int], say: Say, *, may_miss: bool) -> None:
    """Open the store afresh and say what is wrong: a record lost, a wrong value, a hang, something left after a sweep."""
    hooks.remove(log_event)
    started_at = time.monotonic()
    with Store(path, clock=later) as store:
        for step in steps:
            problem = problem_of(store, step, may_miss)
            if problem:
                say(problem)
        with store.flight(key_of(1), timeout_s=2.0) as is_free:
            if not is_free:
                say("a lock is held by nobody")
        publish(store, NEW + 11)
        if waited_s := time.monotonic() - started_at:
            if waited_s > 2.0 + os.getloadavg()[0]:
                say(f"opening, reading and writing took {waited_s:.1f} s")
        store.collect(apply=True)
        store.collect(apply=True)
        for folder in ("tmp", "quarantine"):
            for name in os.listdir(path / folder):
                say(f"left over: {folder}/{name}")
        files = sum(1 for file in (path / "blobs").rglob("*") if file.is_file())
        blobs = store.stats().blobs
        if files != blobs:
            say(f"{files} blob files for {blobs} rows")
        for found in store.verify().problems:
            if not may_miss:
                say(f"verify: {found}")
        if claims := list(store.rows.scan("claims")):
            say(f"{len(claims)} claims are left")


def problem_of(store: Store, step: int, may_miss: bool) -> str:
    """What is wrong with the record of a step; empty if nothing is."""
    record: Any = store.lookup(key_of(step))
    if record is None:
        return f"the record of step {step} is lost"
    try:
        return "" if is_right(store.read(record.result), step % VALUES) else f"step {step} has another value"
    except RecordCorrupt as problem:
        return "" if may_miss else f"the value of step {step} is lost: {problem}"
