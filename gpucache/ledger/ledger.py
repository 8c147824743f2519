"""What happened: runs and their calls, kept in the store's tables, found again by id, prefix or `@last`.

Hits cost microseconds, so their rows are gathered and written together: at each call that ran, every FLUSH_AFTER calls,
and at the end. A run whose process was killed keeps what was written until then; its status is then told from
whether that process still lives (on this host).
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from gpucache.errors import BadSetting, NoSuchRecord, StoreFull, StoreUnusable
from gpucache.events import Degraded, State, hooks
from gpucache.ledger.rows import CallRow, RunRow
from gpucache.store import Store

RUNS, CALLS, TAGS = "runs", "calls", "tags"
FLUSH_AFTER = 256
LONGEST_TAG = 100

_encode = msgspec.msgpack.Encoder().encode
_decode_run = msgspec.msgpack.Decoder(RunRow).decode
_decode_call = msgspec.msgpack.Decoder(CallRow).decode


def new_run_id(at: float | None = None) -> str:
    """An id that sorts by time, to the microsecond, and whose start is short enough to type."""
    now = time.time() if at is None else at
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{stamp}-{int(now % 1 * 1e6):06d}{secrets.token_hex(1)}"


class Ledger:
    """The runs in one store. Any thread may call any method."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said: set[str] = set()  # runs that could not be written down

    def write(self, run: RunRow) -> None:
        """Write a run's row, in place of the one it had."""
        self._store.table_put(RUNS, run.id.encode(), _encode(run))

    def note(self, run: RunRow) -> None:
        """write(), where the run goes on without its row if the store has no room or can't be written."""
        self._if_it_can(f"run {run.id}", lambda: self.write(run))

    def get(self, run_id: str) -> RunRow:
        """The run of exactly this id.

        Raises:
            NoSuchRecord: There is none.
        """
        row = self._store.table_get(RUNS, run_id.encode())
        if row is None:
            raise NoSuchRecord("run", run_id, "list them with `gpucache runs`")
        return _told_from_its_process(_decode_run(row))

    def find(self, name: str) -> RunRow:
        """The run called `name`: an id, an unambiguous start of one, a tag, `@last`, or `@last~N` for the N-th before.

        Raises:
            NoSuchRecord: None fits, or several do (the message names them).
        """
        if name.startswith("@last"):
            return self._nth_last(name)
        tagged = self._store.table_get(TAGS, name.encode())
        if tagged is not None:
            return self.get(tagged.decode())
        fitting = [row for _, row in self._store.table_scan(RUNS, prefix=name.encode())]
        if len(fitting) == 1:
            return _told_from_its_process(_decode_run(fitting[0]))
        exact = [row for row in map(_decode_run, fitting) if row.id == name]
        if exact:
            return _told_from_its_process(exact[0])
        several = ", ".join(_decode_run(row).id for row in fitting[:5])
        raise NoSuchRecord("run", name, f"several start so: {several}" if several else "list them with `gpucache runs`")

    def runs(self, flow: str | None = None, *, since: float | None = None) -> Iterator[RunRow]:
        """Runs, newest first: of one flow, started after `since` (Unix time, s)."""
        for _, row in self._store.table_scan(RUNS, reverse=True):
            run = _decode_run(row)
            if since is not None and run.started_at < since:
                return
            if flow is None or run.flow == flow:
                yield _told_from_its_process(run)

    def tag(self, run_id: str, name: str) -> None:
        """Let find(name) give this run; a tag that is there moves to it.

        Raises:
            BadSetting: The name could be taken for an id, or for @last.
        """
        if not name or name[0] in "@0123456789" or not name.isprintable() or len(name) > LONGEST_TAG:
            raise BadSetting("tag", repr(name), f"a name that begins with a letter, up to {LONGEST_TAG} characters")
        self._store.table_put(TAGS, name.encode(), run_id.encode())

    def untag(self, name: str) -> bool:
        """Drop a tag; whether there was one. The run stays."""
        return self._store.table_delete(TAGS, name.encode())

    def tags(self) -> dict[str, str]:
        """Every tag with the id of its run."""
        return {name.decode(): run_id.decode() for name, run_id in self._store.table_scan(TAGS)}

    def calls(self, run_id: str) -> list[CallRow]:
        """The calls of a run, in the order they were made."""
        return [_decode_call(row) for _, row in self._store.table_scan(CALLS, prefix=f"{run_id}/".encode())]

    def write_calls(self, run_id: str, first: int, calls: list[CallRow]) -> None:
        """Write calls `first`, `first + 1`, ... of a run; as note(), where the store has no room for them."""
        rows = {f"{run_id}/{number:08d}".encode(): _encode(call) for number, call in enumerate(calls, first)}
        self._if_it_can(f"run {run_id}", lambda: self._store.table_put_many(CALLS, rows))

    def _if_it_can(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except (StoreFull, StoreUnusable) as problem:
            if what not in self._said:
                self._said.add(what)
                hooks.emit(Degraded(f"{what} is not written down", str(problem)))

    def _nth_last(self, name: str) -> RunRow:
        back = name.removeprefix("@last").removeprefix("~") or "0"
        if back.isdecimal():
            for number, run in enumerate(self.runs()):
                if number == int(back):
                    return run
        raise NoSuchRecord("run", name, "list them with `gpucache runs`")


class CallLog:
    """The calls of one run while it runs; rows reach the ledger in groups. Any thread may call any method."""

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self._ledger, self._run_id = ledger, run_id
        self._lock = threading.Lock()
        self._all_ended = threading.Condition(self._lock)
        self._open = 0
        self._calls: list[CallRow | str] = []  # of a call that has not ended, its task's name
        self._nth: list[int] = []  # by place; as far as anyone asked, for a run that hits never does
        self._counted: Counter[str] = Counter()
        self._written = 0

    def reserve(self, task: str) -> int:
        """Take the next place in the run's order, for a call of `task` that has begun."""
        with self._lock:
            self._calls.append(task)
            self._open += 1
            return len(self._calls) - 1

    def set(self, place: int, call: CallRow) -> None:
        """Put what became of a call in its place."""
        with self._lock:
            self._calls[place] = call
            self._open -= 1
            if self._open == 0:
                self._all_ended.notify_all()
            if call.state != State.HIT or len(self._calls) - self._written >= FLUSH_AFTER:
                self._flush()

    def nth(self, place: int) -> int:
        """How many calls of the same task were made before the one at `place`."""
        with self._lock:
            for call in self._calls[len(self._nth) : place + 1]:
                task = call if isinstance(call, str) else call.task
                self._nth.append(self._counted[task])
                self._counted[task] += 1
            return self._nth[place]

    def wait(self) -> None:
        """Wait until every call that was made has ended."""
        with self._all_ended:
            self._all_ended.wait_for(lambda: self._open == 0)

    def flush(self) -> None:
        """Write what is not yet written."""
        with self._lock:
            self._flush()

    @property
    def calls(self) -> list[CallRow]:
        """The calls that ended, in the order they were made."""
        with self._lock:
            return [call for call in self._calls if not isinstance(call, str)]

    def _flush(self) -> None:
        ready: list[CallRow] = []
        for call in self._calls[self._written :]:
            if isinstance(call, str):
                break  # rows are written in order; what comes after waits for the call that still runs
            ready.append(call)
        if ready:
            self._ledger.write_calls(self._run_id, self._written, ready)
            self._written += len(ready)


def _told_from_its_process(run: RunRow) -> RunRow:
    """A run that says "running" although its process, on this host, is gone, was interrupted."""
    if run.status != "running" or run.env.get("host") != socket.gethostname() or _is_alive(run.pid):
        return run
    return msgspec.structs.replace(run, status="interrupted")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
