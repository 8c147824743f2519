"""What is still to be sent: rows of the store itself, so that they outlive whoever wrote them and whoever did not send them.

A record's row and the row that says to send it are written in one transaction, by any process: a worker writes and needs neither
keys nor a connection. One thread of a process that has the remote sends them, one process at a time; what it leaves, because it
ended or the remote did not answer, the next one finds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice

from gpucache.errors import RemoteUnreachable, StoreClosed, StoreFull, StoreUnusable
from gpucache.store.contract import RowWriter
from gpucache.store.on_disk import OUTBOX, Store
from gpucache.store.remote.breaker import Breaker
from gpucache.store.remote.counts import waiting
from gpucache.store.remote.pool import Pool

BATCH = 64
LOOK_AGAIN_S = 0.2
_TURN = b"send the outbox!"


class Outbox:
    """Any thread may call any method.

    Args:
        send: Sends what is known under a key. Raises RemoteUnreachable.
        threads: How many are sent at the same time.
    """

    def __init__(self, store: Store, send: Callable[[bytes], object], breaker: Breaker, threads: int) -> None:
        self._store, self._send, self._breaker = store, send, breaker
        self._pool = Pool(threads, "sends")
        self._changed = threading.Condition()
        self._woken = self._ended = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to send."""
        with self._changed:
            self._woken = True
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._serve, name="gpucache-outbox", daemon=True)
                with suppress(RuntimeError):  # the interpreter is ending; push() sends it then
                    self._thread.start()
            self._changed.notify_all()

    def push(self, wait_s: float) -> int:
        """Send what there is, within so many seconds; how many are left."""
        until = time.monotonic() + wait_s
        while self._is_filled() and time.monotonic() < until and not self._breaker.is_open:
            if not self._drain(until):
                with self._changed:
                    self._changed.wait(min(LOOK_AGAIN_S, max(0.0, until - time.monotonic())))
        return waiting(self._store)

    def close(self) -> None:
        """Send no more; what is under way ends by itself."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join(2 * LOOK_AGAIN_S)  # it writes to the store, which may be closed next
        self._pool.close()

    def _is_filled(self) -> bool:
        return next(iter(self._store.table_scan(OUTBOX)), None) is not None

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (not self._woken or self._breaker.wait_s() > 0):
                    self._changed.wait(self._breaker.wait_s() or None if self._woken else None)
                if self._ended:
                    return
                self._woken = False
            with suppress(StoreFull, StoreUnusable, StoreClosed):
                if not self._drain(float("inf")) and self._is_filled():
                    with self._changed:
                        self._woken = True
                        self._changed.wait(LOOK_AGAIN_S)
            with self._changed:
                self._changed.notify_all()

    def _drain(self, until: float) -> bool:
        """Send all there is; False if another process is at it, or the remote does not answer."""
        with self._store.flight(_TURN, timeout_s=0) as is_ours:
            if not is_ours:
                return False
            while rows := list(islice(self._store.table_scan(OUTBOX), BATCH)):
                if self._ended or time.monotonic() > until:
                    return False
                sending = [(key, stamp, self._pool.submit(lambda key=key: self._sent(key))) for key, stamp in rows]  # type: ignore[misc]  # mypy takes the default for no argument
                done = {key: stamp for key, stamp, sent in sending if self._is_done(sent, until)}
                self._strike(done)
                if len(done) < len(rows):
                    return False
        return True

    def _sent(self, key: bytes) -> bool:
        """Send one; whether it is settled."""
        if self._ended or not self._breaker.may_ask():
            return False
        try:
            self._send(key)
        except StoreClosed:
            self._breaker.gave_up()
            return False
        except RemoteUnreachable as problem:
            self._breaker.failed(problem.why)
            return False
        self._breaker.succeeded()
        return True

    def _strike(self, done: dict[bytes, bytes]) -> None:
        """Delete the rows of what was sent, unless they were written anew meanwhile."""
        prefix = OUTBOX.encode() + b"\0"

        def strike(rows: RowWriter) -> None:
            for key, stamp in done.items():
                if rows.get("rows", prefix + key) == stamp:
                    rows.delete("rows", prefix + key)

        if done:
            self._store.values.update(strike)

    def _is_done(self, sent: Future[bool], until: float) -> bool:
        """Whether one was sent; waits for it until then, by time.monotonic(), or until nothing is sent any more."""
        while not self._ended:
            left_s = until - time.monotonic()
            try:
                return sent.result(max(0.0, min(LOOK_AGAIN_S, left_s)))
            except TimeoutError:
                if left_s <= 0:
                    break
        return sent.done() and sent.result()
