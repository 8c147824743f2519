"""The index: small rows in LMDB, each bound to its key by a check, so that a damaged page is a missing row.

Traps that this file steps around (each seen in an experiment): the lock file is allocated before the first open, or a full disk
kills readers; the environment is never used across a fork, and nobody forks while it is at work (gate.py); one environment per
file and process, shared by all handles; no view leaves its transaction; rows carry their own check because LMDB's pages have none;
a truncated file is filled up before it is read, since a read beyond its end is SIGBUS; sync=False leaves a damaged index that says
nothing after a power cut, so a file beside it says which boot it is of, and in another one it is made anew; writers take turns by
a lock of ours (flight.py), since LMDB's is a robust mutex, and where its holder and the one that was woken for it are both killed,
the next waiter sleeps until someone else writes (once in a few hundred kills). Who can't have the turn leaves the change to who
has it (queue.py).

A damaged index is found (sound.py) and made anew (salvage.py) without LMDB, which some damaged pages kill.
A stopped (SIGSTOP) writer blocks all writers. The lock is free again when that process is killed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import lmdb

from gpucache.errors import StoreClosed, StoreFull, StoreUnusable
from gpucache.events import Quarantined, hooks
from gpucache.store._rows import keep_forever
from gpucache.store.contract import DATABASES, RowWriter
from gpucache.store.draft import NotDrafted, drafted
from gpucache.store.environment import (
    BROKEN,
    fill_up,
    mark_unsynced,
    open_databases,
    open_environment,
    was_cut,
)
from gpucache.store.flight import Flight
from gpucache.store.gate import inside, is_heir
from gpucache.store.queue import Queue, Served
from gpucache.store.sound import Opened, walked
from gpucache.store.transaction import PAGE_ROWS, Transaction, body_of, getter

T = TypeVar("T")

ATTEMPTS = 4
FULL_BYTES = 65536  # a disk with less is full: more than the pages of a usual commit
MENDING, WRITING = b"mend the index!!", b"write the index!"

_STALE = (lmdb.PanicError, lmdb.BadTxnError, lmdb.BadDbiError, lmdb.BadRslotError, lmdb.MapResizedError)
"""What is over once the environment is opened again: an I/O error on a meta page (for this process), a map grown elsewhere."""


class _Process:
    """Which process this is, set anew after a fork: asking the kernel costs as much as LMDB's look-up."""

    pid = os.getpid()


_process = _Process()


class Index:
    """The rows of one store. Any thread may call any method; open() gives the one Index of a file in this process."""

    _open: ClassVar[list[Index]] = []  # the process's environments: LMDB allows one per file
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, *, synced: bool = True) -> None:
        self.path = path
        self._locks = path.parent / "locks"
        self._synced = synced
        self._handles = 0
        self._mending = threading.Lock()
        self._opened: tuple[Any, dict[str, Any]] | None = None
        self._getters = {name: getter(name, partial(self._get_slowly, name)) for name in DATABASES}
        self._sound: Opened | None = None
        self._queue: Queue | None = None
        self.identity: tuple[int, int] | None = None
        self._pid = -1
        self._connect()

    @classmethod
    def open(cls, path: Path, *, synced: bool = True) -> Index:
        """The index in this directory, made if there is none. Each open() takes one close().

        Args:
            synced: Each commit is brought to the disk, so that the file is whole after a power cut. Else it is made anew then,
                from what can be read. Among the handles of one process the first that is open decides.

        Raises:
            StoreUnusable: LMDB can't work there; the message says why.
        """
        with cls._lock:
            identity = _identity(path)
            index = next((known for known in cls._open if identity is not None and known.identity == identity), None)
            if index is None:
                index = cls(path, synced=synced)
                cls._open.append(index)
            index._handles += 1
            return index

    def close(self) -> None:
        """Give the handle back; the last one closes the environment. Calls in other threads raise StoreClosed."""
        with self._lock:
            self._handles -= 1
            if self._handles == 0:
                self._open.remove(self)
                self._queue = None
                if self._opened is not None and self._pid == _process.pid:
                    with inside:
                        self._opened[0].close()
                    if self._sound is not None:
                        self._sound.close()

    @classmethod
    def forget_locks(cls) -> None:
        """In a forked child: a thread of the parent may hold them, which is not here."""
        _process.pid = os.getpid()
        cls._lock = threading.Lock()
        for index in cls._open:
            index._mending = threading.Lock()  # noqa: SLF001  # our own class
            for known in index._getters.values():  # noqa: SLF001
                known.set(None, None)
            if index._queue is not None:  # noqa: SLF001
                index._queue.close()  # noqa: SLF001
                index._queue = None  # noqa: SLF001
            if is_heir() and index._opened is not None:  # noqa: SLF001
                keep_forever(index._opened[0])  # noqa: SLF001

    # ---------------------------------------------------------------- reading

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row, or None if there is none or it was damaged."""
        return self._getters[database].get(key)

    def getter(self, database: str) -> Callable[[bytes], bytes | None]:
        """get() of one database, for who calls it often."""
        return self._getters[database].get

    def _get_slowly(self, database: str, key: bytes) -> bytes | None:
        try:
            row = self._trying(lambda: self._read(lambda reader: reader.raw(database, key)))
        except ValueError:
            return None  # no row has such a key
        body = None if row is None else body_of(database, key, row)
        if row is not None and body is None:
            self.drop_damaged(database, key)
        return body

    def scan(self, database: str, prefix: bytes = b"", *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key starts with prefix, in the order of their keys.

        Read in pages, each of one moment, so that no reader's snapshot is held while the caller works.
        """
        for key, body in self._pages(database, prefix, reverse=reverse):
            if body is None:
                self.drop_damaged(database, key)
            else:
                yield key, body

    def raw(self, database: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Every row with its body, or None for a damaged one, which stays."""
        return self._pages(database, b"", reverse=False)

    @property
    def nbytes(self) -> int:
        """What the index takes on disk."""
        try:
            return (self.path / "data.mdb").stat().st_blocks * 512
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise StoreUnusable(str(self.path), why, "is the store's directory still there, and yours?") from problem

    def _pages(self, database: str, prefix: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes | None]]:
        after: bytes | None = None
        while True:
            page = self._page(database, prefix, after, reverse=reverse)
            for key, row in page:
                yield key, body_of(database, key, row)
            if len(page) < PAGE_ROWS:
                return
            after = page[-1][0]

    def _page(self, database: str, prefix: bytes, after: bytes | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        return self._trying(lambda: self._read(lambda rows: rows.page(database, prefix, after, reverse=reverse)))

    def _read(self, look: Callable[[Transaction], T]) -> T:
        env, databases = self._here()
        with inside:
            transaction = _begun(env)
            if transaction is not None:
                try:
                    return look(Transaction(transaction, databases))
                finally:
                    transaction.abort()
        with self._turn(), inside, env.begin(write=True) as writing:  # takes no reader's slot
            return look(Transaction(writing, databases))

    # ---------------------------------------------------------------- writing

    def update(self, change: Callable[[RowWriter], T], *, durable: bool = False) -> T:
        """Run `change` in a write transaction: all of its rows are there after it, or none.

        Who can't have the turn at once leaves the change to whoever has it (queue.py).

        Raises:
            StoreFull: The disk is full; nothing changed.
            StoreUnusable: The index can't be written; nothing changed.
        """

        def attempt() -> T:
            self._here()  # a forked child opens its own before it has the turn, which it needs for that
            turn, queue = self._turn(0.0), self._queue
            if turn.__enter__() if queue is None else queue.take(turn):
                return self._write(turn, change, durable=durable)
            held, given = self._wait_in_line(change, durable=durable)
            return given[0] if held is None else self._write(held, change, durable=durable)

        return self._trying(attempt)

    def _write(self, turn: Flight, change: Callable[[RowWriter], T], *, durable: bool) -> T:
        """Make a change, and those that others left; gives the turn back."""
        queue, served = self._queue, list[Served]()
        try:
            env, databases = self._here()
            if _identity(self.path) != self.identity:
                raise lmdb.BadRslotError("another process made the index anew: what is written to the old one is lost")
            with inside, env.begin(write=True) as transaction:
                given = change(Transaction(transaction, databases))
                if queue is not None:
                    served = queue.serve(transaction, databases)
            if queue is not None:
                queue.say_committed(served)
        finally:
            turn.__exit__(None, None, None)
            if queue is not None:
                queue.nudge()
        if durable or any(other.is_durable for other in served):
            try:
                self.flush()
            except (StoreFull, StoreUnusable):
                if durable:
                    raise
            else:  # else those who wait for it hear nothing, sync for themselves, and are told what is wrong
                if queue is not None:
                    queue.say_done(served)
        return given

    def _wait_in_line(self, change: Callable[[RowWriter], T], *, durable: bool) -> tuple[Flight | None, tuple[T, ...]]:
        """The turn, or None and what the change gave, made by another."""
        try:
            queue = self._queue
            if queue is not None:
                given, draft = self._read(lambda rows: drafted(change, rows))
                box = queue.leave(draft, is_durable=durable)
                if box is not None:
                    with box:
                        return box.wait(self._turn, self.flush), (given,)
        except NotDrafted:
            pass
        turn = self._turn()
        turn.__enter__()
        return turn, ()

    def _turn(self, timeout_s: float | None = None) -> Flight:
        """The turn to write, before LMDB's own lock is asked for: nobody ever waits for that one."""
        return Flight(self._locks, WRITING, timeout_s=timeout_s)

    def drop_damaged(self, database: str, key: bytes) -> None:
        """Set a row aside if it is damaged: its bytes go to quarantine, the row goes."""

        def drop(rows: Any) -> bytes | None:
            row: bytes | None = rows.raw(database, key)
            if row is None or body_of(database, key, row) is not None:
                return None
            rows.delete(database, key)
            return row

        name = f"row {key.hex()[:12]} of {database}"
        try:
            row = self.update(drop)
        except (StoreFull, StoreUnusable):
            hooks.emit(Quarantined(name, "its check does not match"))  # it stays, and is as good as absent
            return
        if row is not None:
            hooks.emit(Quarantined(name, "its check does not match"))
            with suppress(OSError):
                (self.path.parent / "quarantine" / f"{database}-{key.hex()[:64]}").write_bytes(row)

    # ---------------------------------------------------------------- trouble

    def structure(self) -> str | None:
        """What is wrong with the file's pages, looked at without LMDB while nobody writes; None if nothing is."""
        self._here()
        try:
            with self._turn():
                return walked(self.path)
        except OSError as error:
            raise StoreUnusable(str(self.path), f"its file can't be looked at: {error}", "look at its disk") from error

    def flush(self) -> None:
        """Bring everything that was committed to the disk, the last commit's meta page included."""

        def sync() -> None:
            env, _ = self._here()
            with inside:
                env.sync(True)  # force, says LMDB

        self._trying(sync)

    def mend(self, problem: str) -> None:
        """Make the index anew from the rows that can still be read. The damaged one goes to quarantine."""
        with self._mending:
            self._mend(problem)

    def _trying(self, operation: Callable[[], T]) -> T:
        """Run an operation; where an error can be mended, mend it and run it again."""
        last: lmdb.Error | None = None
        for attempt in range(ATTEMPTS):
            try:
                return operation()
            except lmdb.Error as problem:
                last = problem
                self._answer(problem, is_first=attempt == 0)
        raise StoreUnusable(str(self.path), str(last), "look at its disk, or put the store elsewhere") from last

    def _answer(self, problem: lmdb.Error, *, is_first: bool) -> None:
        """Do what makes another try worth it, or raise what this error means to our caller.

        LMDB passes over damage that it meets while it makes a cursor, and says BadTxnError at the cursor's first use: a
        transaction that is bad again after the environment was opened anew stands on damaged pages.
        """
        if isinstance(problem, lmdb.DiskError | lmdb.MapFullError) or type(problem) is lmdb.Error:
            usage = os.statvfs(self.path)
            left_bytes = usage.f_bavail * usage.f_frsize
            # Where a commit's first pages still fit the kernel writes those, and LMDB calls a short write EIO.
            if type(problem) is not lmdb.Error or ("Input/output" in str(problem) and left_bytes < FULL_BYTES):
                raise StoreFull(str(self.path), 1, left_bytes) from problem
        with self._mending:
            if self._handles == 0:
                raise StoreClosed(str(self.path)) from problem
            if isinstance(problem, BROKEN) or (isinstance(problem, lmdb.BadTxnError) and not is_first):
                self._mend(str(problem))
            elif isinstance(problem, _STALE):
                self._connect()
            elif type(problem) is not lmdb.Error:  # that one: the environment was closed and opened by another thread
                raise StoreUnusable(str(self.path), str(problem), "look at its disk, or put it elsewhere") from problem

    def _mend(self, problem: str) -> None:
        from gpucache.store.salvage import salvage

        with Flight(self._locks, MENDING), self._turn():
            if _identity(self.path) == self.identity:  # else another process was first
                try:
                    saved = salvage(self.path)
                except (lmdb.Error, OSError) as error:
                    why = f"it is damaged ({problem}), and can't be made anew: {error}"
                    raise StoreUnusable(str(self.path), why, "make room on its disk, or look at it") from error
                hooks.emit(Quarantined("the index", f"{problem}; {saved:,} of its rows were saved"))
        self._connect(is_new=True)

    # ---------------------------------------------------------------- the environment

    def _here(self) -> tuple[Any, dict[str, Any]]:
        """The environment and its databases, as opened by this process: an inherited one is never used."""
        if self._pid != _process.pid:
            with self._mending:
                if self._pid != _process.pid:
                    self._connect()
        return self._opened  # type: ignore[return-value]  # set by _connect

    def _connect(self, *, is_new: bool = False) -> None:
        if self._opened is not None:
            if self._pid != _process.pid and is_heir():
                why = "it was at work for long when this process was forked"
                raise StoreUnusable(str(self.path), why, "start processes by spawn or forkserver, or before it is used")
            with inside:
                self._opened[0].close()  # in a forked child: lets go of the parent's, touching none of its locks
        if self._sound is not None:
            self._sound.forget()
        is_cut = was_cut(self.path)
        if not self._synced and not is_cut:  # else the marker stays until the index was made anew
            mark_unsynced(self.path)
        with self._turn():
            self._sound = Opened(self.path, self._locks)
        if self._sound.problem is not None and not is_new:
            self.identity = _identity(self.path)
            self._mend(self._sound.problem)
            return
        try:
            with inside:
                env = open_environment(self.path, sync=self._synced)
        except BROKEN as problem:
            self._start_over(problem)
            with inside:
                env = open_environment(self.path)
        try:
            with inside:
                fill_up(self.path, env)
                env.reader_check()
            with self._turn(), inside:
                self._opened = env, open_databases(env)
        except (lmdb.Error, OSError) as problem:
            env.close()
            if isinstance(problem, BROKEN) and not is_new:
                self.identity = _identity(self.path)
                self._mend(str(problem))
                return
            raise StoreUnusable(str(self.path), str(problem), "look at its disk, or put it elsewhere") from problem
        self.identity, self._pid = _identity(self.path), _process.pid
        for name, database in self._opened[1].items():
            self._getters[name].set(env.begin, database)
        self._queue = None
        with suppress(OSError):  # no room for it: everyone writes for himself
            self._queue = Queue(self.path.parent / "queue", self._locks)
        if is_cut and not is_new:
            self._mend("it was not synced before the machine went down")

    def _start_over(self, problem: Exception) -> None:
        """Put a file that LMDB does not take for its own out of the way."""
        from gpucache.store.salvage import set_aside

        with Flight(self._locks, MENDING):
            set_aside(self.path)
            self.path.mkdir(mode=0o700, exist_ok=True)
        hooks.emit(Quarantined("the index", str(problem)))


def _begun(env: Any) -> Any | None:
    """A transaction to read in; None if all readers' slots are taken."""
    try:
        return env.begin()
    except lmdb.ReadersFullError:
        env.reader_check()  # the slots of killed readers
    with suppress(lmdb.ReadersFullError):
        return env.begin()
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(f"{path}/data.mdb")  # a third of what Path takes to join
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


os.register_at_fork(after_in_child=Index.forget_locks)
