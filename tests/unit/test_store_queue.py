"""Group commit: changes that wait for the writers' turn are made by whoever has it, each once, or by their own process."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpucache.errors import StoreUnusable
from gpucache.store.contract import RowWriter
from gpucache.store.draft import Draft, NotDrafted, drafted, make
from gpucache.store.flight import Flight
from gpucache.store.index import WRITING, Index
from gpucache.store.queue import BOX_BYTES, COMMITTED, DONE, FREE, WAITING, Queue

NUMBER = b"number"
SOON_S = 20.0


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An empty index."""
    index = Index.open(tmp_path / "index")
    yield index
    index.close()


def _queue(index: Index) -> Queue:
    queue = index._queue
    assert queue is not None
    return queue


def _count_up(rows: RowWriter) -> int:
    number = int(rows.get("rows", NUMBER) or b"0") + 1
    rows.put("rows", NUMBER, b"%d" % number)
    return number


def _put(name: bytes) -> Callable[[RowWriter], None]:
    return lambda rows: rows.put("rows", name, b"row of " + name)


def _until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < ends_at, "it did not come about"
        os.sched_yield()


def _commits(index: Index) -> int:
    return int(index._here()[0].info()["last_txnid"])


def _waiting(
    index: Index, changes: list[Callable[[RowWriter], object]], *, durable: bool = False
) -> list[threading.Thread]:
    """Threads whose changes lie in their boxes. The caller holds the turn."""
    threads = [threading.Thread(target=index.update, args=(change,), kwargs={"durable": durable}) for change in changes]
    for thread in threads:
        thread.start()
    _until(lambda: len(_queue(index).words.odd()) == len(changes))
    return threads


@pytest.mark.parametrize("durable", [False, True])
def test_those_who_wait_share_one_commit(index: Index, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    """Six changes that came while the turn was taken: one transaction and, where they are durable, one sync."""
    flushed: list[int] = []
    flush = Index.flush
    monkeypatch.setattr(Index, "flush", lambda self: flushed.append(_commits(self)) or flush(self))
    with Flight(index._locks, WRITING):
        threads = _waiting(index, [_put(b"%d" % number) for number in range(6)], durable=durable)
        before = _commits(index)
    for thread in threads:
        thread.join()

    assert sorted(index.scan("rows")) == [(b"%d" % number, b"row of %d" % number) for number in range(6)]
    assert _commits(index) == before + 1
    assert flushed == ([before + 1] if durable else [])


def test_what_was_read_and_changed_meanwhile_is_run_again(index: Index) -> None:
    """Six threads count up at the same moment, all having read the same number: it is counted six times."""
    with Flight(index._locks, WRITING):
        threads = _waiting(index, [_count_up] * 6)
    for thread in threads:
        thread.join()

    assert index.get("rows", NUMBER) == b"6"


def test_a_change_that_scans_is_made_by_its_own_process(index: Index) -> None:
    """It can't be written down: what it did not find could be there by then."""
    index.update(_put(b"a"))
    counted: list[int] = []
    with Flight(index._locks, WRITING):
        thread = threading.Thread(
            target=index.update, args=(lambda rows: counted.append(len(list(rows.scan("rows")))),)
        )
        thread.start()
    thread.join()

    assert counted == [1]
    with pytest.raises(NotDrafted):
        index._read(lambda rows: drafted(lambda writer: list(writer.scan("rows")), rows))


def test_a_change_larger_than_a_box_is_made_by_its_own_process(index: Index) -> None:
    """As are all when the boxes are taken: there is always the turn itself."""
    with Flight(index._locks, WRITING):
        thread = threading.Thread(target=index.update, args=(lambda rows: rows.put("rows", b"a", bytes(BOX_BYTES)),))
        thread.start()
    thread.join()

    assert index.get("rows", b"a") == bytes(BOX_BYTES)


def test_a_change_that_raises_is_its_own_problem(index: Index) -> None:
    """Neither what raised nor what waited beside it harms the other."""

    def fail(rows: RowWriter) -> None:
        rows.put("rows", b"bad", b"")
        raise ZeroDivisionError

    raised: list[BaseException] = []

    def update() -> None:
        try:
            index.update(fail)
        except ZeroDivisionError as problem:
            raised.append(problem)

    with Flight(index._locks, WRITING):
        failing = threading.Thread(target=update)
        failing.start()
        threads = _waiting(index, [_put(b"good")])
    for thread in (failing, *threads):
        thread.join()

    assert len(raised) == 1
    assert [name for name, _ in index.scan("rows")] == [b"good"]


def test_what_a_killed_process_left_is_not_made(index: Index) -> None:
    """A box of nobody is emptied: its change was never acknowledged, and by now it may be wrong."""
    queue, killed = _queue(index), Queue(index.path.parent / "queue", index._locks)
    _, draft = index._read(lambda rows: drafted(_put(b"ghost"), rows))
    assert killed.leave(draft, is_durable=False) is not None
    assert len(queue.words.odd()) == 1
    killed.close()  # what a kill does, as far as others can see

    index.update(_put(b"mine"))

    assert queue.words.odd() == []
    assert [name for name, _ in index.scan("rows")] == [b"mine"]


def test_boxes_that_killed_owners_left_are_taken_again(index: Index) -> None:
    """Whatever their words say."""
    queue = _queue(index)
    for number in range(queue.words.count):
        queue.words.set(number, DONE)

    box = queue.leave(b"change", is_durable=False)

    assert box is not None
    box.give_back()
    assert sum(queue.words.get(number) % 8 == FREE for number in range(queue.words.count)) == 1


def test_a_child_does_not_keep_its_parents_boxes(tmp_path: Path) -> None:
    """Forked from a process that is then killed, with a change in a box: the box is nobody's, whatever the child inherited."""
    index = Index.open(tmp_path / "index")
    program = (
        "import os, sys, threading, time\n"
        "from pathlib import Path\n"
        "from gpucache.store.index import Index\n"
        "from gpucache.store.draft import drafted\n"
        "index = Index.open(Path(sys.argv[1]))\n"
        "_, draft = index._read(lambda rows: drafted(lambda w: w.put('rows', b'ghost', b''), rows))\n"
        "index._queue.leave(draft, is_durable=False)\n"
        "if os.fork():\n"
        "    os.kill(os.getpid(), 9)\n"
        "print('child', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(index.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"child\n"
        process.wait()
        assert len(_queue(index).words.odd()) == 1

        index.update(_put(b"mine"))

        assert [name for name, _ in index.scan("rows")] == [b"mine"]
    index.close()


def test_who_waits_for_a_killed_sync_syncs_by_itself(index: Index) -> None:
    """Whoever committed the change was killed before its sync: the owner of the change sees to it."""
    synced: list[str] = []
    queue = _queue(index)
    _, draft = index._read(lambda rows: drafted(_put(b"a"), rows))
    box = queue.leave(draft, is_durable=True)
    assert box is not None
    with box:
        (number,) = queue.words.odd()
        word = queue.words.get(number)
        assert queue.words.swap(number, word, word - WAITING + COMMITTED)

        assert box.wait(index._turn, lambda: synced.append("synced")) is None

    assert synced == ["synced"]
    assert queue.words.get(number) % 8 == FREE


def test_a_late_word_from_the_last_owners_time_is_not_heard(index: Index) -> None:
    """A slow committer says `done` of a box that has been taken over since: the new owner's change is not done."""
    queue = _queue(index)
    _, draft = index._read(lambda rows: drafted(_put(b"a"), rows))
    with Flight(index._locks, WRITING):
        first = queue.leave(draft, is_durable=True)
        assert first is not None
        with index._here()[0].begin(write=True) as transaction:
            served = queue.serve(transaction, index._here()[1])
            queue.say_committed(served)
        first.give_back()
        second = queue.leave(draft, is_durable=True)
        assert second is not None
        assert second.number == first.number

        queue.say_done(served)
        queue.say_committed(served)

        assert queue.words.get(second.number) % 8 == WAITING
        second.give_back()


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"\xff" * 4096])
def test_a_box_of_garbage_is_left_alone(index: Index, damage: bytes) -> None:
    """A damaged change is nobody's to make; its owner makes it, when it has the turn."""
    with Flight(index._locks, WRITING):
        threads = _waiting(index, [_put(b"a")])
        (number,) = _queue(index).words.odd()
        with (index.path.parent / "queue").open("r+b") as file:
            file.seek(4096 + number * BOX_BYTES)
            file.write(damage)
    index.update(_put(b"b"))
    for thread in threads:
        thread.join()

    assert [name for name, _ in index.scan("rows")] == [b"a", b"b"]


@pytest.mark.parametrize(
    "encoded", [b"", b"\x92\x90\x91\x93\xcc\xff\xa1a\xc0", b"\x92\x90\x91\x93\x00\xc4\x00\xc0", b"\xff" * 9]
)
def test_a_change_that_is_none_is_refused(index: Index, encoded: bytes) -> None:
    """Garbage, a database that there is not, a key of no bytes."""
    env, databases = index._here()
    with env.begin(write=True) as transaction:
        assert not make(encoded, transaction, databases)


def test_a_draft_reads_what_it_wrote(index: Index) -> None:
    """As the transaction would."""
    index.update(_put(b"there"))

    def look(rows: Draft) -> list[object]:
        found: list[object] = [rows.get("rows", b"there"), rows.delete("rows", b"there"), rows.get("rows", b"there")]
        rows.put("rows", b"new", b"1")
        return [*found, rows.get("rows", b"new"), rows.delete("rows", b"new"), rows.delete("rows", b"new")]

    assert index._read(lambda rows: look(Draft(rows))) == [b"row of there", True, None, b"1", True, False]


def _count_in_process(path: Path, times: int, threads: int) -> None:
    index = Index.open(path)

    def count() -> None:
        for number in range(times):
            index.update(_count_up, durable=number % 3 == 0)

    counting = [threading.Thread(target=count) for _ in range(threads)]
    for thread in counting:
        thread.start()
    for thread in counting:
        thread.join()
    index.close()


def test_processes_and_threads_count_together(tmp_path: Path) -> None:
    """3 processes of 3 threads that add one to the same row, 40 times each: 360, whoever wrote for whom."""
    path = tmp_path / "index"
    index = Index.open(path)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["pytest", "gpucache.store.index"])
    counting = [processes.Process(target=_count_in_process, args=(path, 40, 3)) for _ in range(3)]
    for process in counting:
        process.start()
    for process in counting:
        process.join()

    assert [process.exitcode for process in counting] == [0] * 3
    assert index.get("rows", NUMBER) == b"360"
    index.close()


def test_a_forked_child_writes_and_waits_with_boxes_of_its_own(index: Index) -> None:
    """Parent and child count up at the same time, each with what the other did."""
    for _ in range(20):
        index.update(_count_up)
    child = os.fork()
    if not child:
        try:
            for _ in range(40):
                index.update(_count_up)
        finally:
            os._exit(0)
    for _ in range(40):
        index.update(_count_up)
    os.waitpid(child, 0)

    assert index.get("rows", NUMBER) == b"100"


def test_waiting_for_oneself_is_refused(index: Index) -> None:
    """A change that writes by the store, not by its transaction, would wait for ever."""
    with pytest.raises(RecursionError):
        index.update(lambda _: index.update(_put(b"a")))


def test_a_sync_that_fails_is_told_to_those_who_need_it(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever committed did not ask for the disk and goes on; who asked syncs again, and hears that it can't be done."""
    told: list[BaseException] = []

    def fail(self: Index) -> None:
        raise StoreUnusable(str(self.path), "input/output error", "look at its disk")

    def update_durably() -> None:
        try:
            index.update(_put(b"durable"), durable=True)
        except StoreUnusable as problem:
            told.append(problem)

    monkeypatch.setattr(Index, "flush", fail)
    with Flight(index._locks, WRITING):
        threads = [threading.Thread(target=update_durably), *_waiting(index, [_put(b"relaxed")])]
        threads[0].start()
        _until(lambda: len(_queue(index).words.odd()) == 2)
    for thread in threads:
        thread.join()

    assert len(told) == 1
    assert [name for name, _ in index.scan("rows")] == [b"durable", b"relaxed"]


def test_a_queue_that_the_disk_fails_is_closed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """close() of the first file raised EIO: the second one stayed open, and a fork's hook would have raised."""
    queue = Queue(tmp_path / "queue", tmp_path / "locks")
    close, closed = os.close, list[int]()

    def fails(descriptor: int) -> None:
        close(descriptor)
        closed.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("gpucache.store.queue.os.close", fails)
    queue.close()
    monkeypatch.undo()

    assert len(closed) == 2
