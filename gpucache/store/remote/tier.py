"""The remote as the rest of gpucache sees it: asked at a miss, told of what was computed, and never in the way.

Whatever is wrong with it (slow, gone, full of rubbish, someone else's) costs a warning and a miss. A call waits for it no longer
than the time limit, or than computing the value took.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import NamedTuple

from gpucache.errors import (
    GpuCacheError,
    RecordCorrupt,
    RemoteUnreachable,
    StoreClosed,
    StoreFull,
    StoreUnusable,
    Untrusted,
)
from gpucache.events import Degraded, hooks
from gpucache.store.on_disk import Store
from gpucache.store.remote.breaker import Breaker
from gpucache.store.remote.bucket import Bucket
from gpucache.store.remote.counts import Counts, add_to_totals
from gpucache.store.remote.objects import call_name
from gpucache.store.remote.outbox import Outbox
from gpucache.store.remote.packing import DIRECTORY_S_PER_BYTE, GIGABIT_S_PER_BYTE, Line
from gpucache.store.remote.patience import Guard, Patience
from gpucache.store.remote.pool import Pool
from gpucache.store.remote.receiving import FETCHED, Receiver
from gpucache.store.remote.sending import Sender
from gpucache.store.remote.signing import SigningKey, Trust, parse_keys

FETCHES, SENDS = 16, 8
"""Threads that wait for answers: a request is mostly waiting, and its checks let go of Python's lock."""

Ask = Callable[[Patience], bool]


class Remote:
    """One remote of one store. Any thread may call any method; in a forked child it is silent, and asks nobody.

    Args:
        store: What is fetched goes there, what is sent comes from there.
        bucket: Where it lies.
        signer: The key that signs what is sent; None: nobody does.
        trust: Whose results are believed.
        timeout_s: What a call waits for an answer.
        read_only: Nothing is sent.
        line: What the way up moves, so that parts travel packed where that pays (packing.py); None: never.
        breaker: When to leave it alone; None: as usual.
    """

    def __init__(
        self,
        store: Store,
        bucket: Bucket,
        *,
        signer: SigningKey | None = None,
        trust: Trust | None = None,
        timeout_s: float = 10.0,
        read_only: bool = False,
        line: Line | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        trust = Trust() if trust is None else trust
        self.url, self.read_only = bucket.url, read_only
        self._store, self._bucket, self._timeout_s = store, bucket, timeout_s
        # Two, since a remote may take what it does not give: answers to one must not make up for silence to the other.
        self._breaker = Breaker(self._say_silent, time.monotonic) if breaker is None else breaker
        self._sending = Breaker(self._say_silent, time.monotonic) if breaker is None else breaker
        self._receiver = Receiver(store, bucket, trust)
        self._sender = Sender(store, bucket, signer, trust, self._receiver.damaged, line=line)
        self._outbox = Outbox(store, self._send, self._sending, SENDS)
        self._fetches = Pool(FETCHES, "fetches")
        self._guard = Guard()
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._pid = os.getpid()
        self.counts = Counts()

    # ---------------------------------------------------------------- asking

    @property
    def is_asked(self) -> bool:
        """Whether it would be asked now: False in a forked child, where obstore hangs, and while it is left alone."""
        return self._pid == os.getpid() and self._breaker.wait_s() == 0

    def begin(self, ask: Ask, patience: Patience | None = None) -> Future[bool]:
        """Have a thread ask: the future says whether it is worth looking into the store again. It never raises.

        Without a patience that runs already, it begins when a thread does.
        """
        answer: Future[bool] = Future()
        if self._pid != os.getpid():  # a forked child: our threads are not here, and obstore's calls never come back
            answer.set_result(False)
            return answer

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            mine, thread = patience or Patience(self._timeout_s), threading.get_ident()
            self._guard.add(mine, lambda: self._give_up(answer, thread))
            found = self._asked(ask, mine)
            self._guard.drop(mine)
            _settle(answer, found)

        self._fetches.submit(run)
        return answer

    def wait(self, ask: Ask) -> bool:
        """begin(), waited for; not longer than patience lasts. Ctrl-C ends the wait, too."""
        answer = self.begin(ask, Patience(self._timeout_s))
        try:
            return answer.result(self._timeout_s)
        except TimeoutError:
            if answer.cancel():  # others took long, and nobody was asked
                return False
            return answer.result()  # the guard ends it when patience does

    def fetch(self, key: bytes, patience: Patience) -> bool:
        """Take what it knows under a key into the store; whether that was something. Never raises."""
        if self._pid != os.getpid() or not self._breaker.may_ask():
            return False
        try:
            nbytes = self._receiver.take(key, patience)
        except RemoteUnreachable as problem:
            self._failed(problem.why)
            return False
        except (RecordCorrupt, Untrusted, StoreFull, StoreUnusable) as problem:
            self._breaker.succeeded()
            self._refused(problem)
            return False
        except StoreClosed:
            self._breaker.gave_up()
            return False
        except BaseException as problem:  # noqa: BLE001  # an edge: whatever is wrong costs a miss, also what panics in Rust
            self._failed(f"{type(problem).__name__}: {problem}")
            return False
        self._breaker.succeeded()
        if nbytes is None:
            self._count(misses=1)
            return False
        self._count(hits=1, fetched_bytes=nbytes)
        return True

    # ---------------------------------------------------------------- sending

    def wake(self) -> None:
        """Something was computed that others should have: it is sent some time soon."""
        if not self.read_only and self._pid == os.getpid():
            self._outbox.wake()

    def push(self, wait_s: float) -> int:
        """Send what is to be sent, for so long at most; how many results are left to send."""
        return 0 if self.read_only or self._pid != os.getpid() else self._outbox.push(wait_s)

    @property
    def trouble(self) -> str:
        """What went wrong when something was not sent the last time; empty: nothing."""
        return self._sending.why

    def push_all(self) -> int:
        """Note every record that was computed here as to be sent; how many."""
        own = [record.key for record in self._store.records() if FETCHED not in record.note]
        own += [key for key, _ in self._store.table_scan("inputs")]
        for key in own:
            self._store.to_send(key)
        return len(own)

    def close(self, wait_s: float) -> None:
        """Send what is to be sent, for so long at most, and let go."""
        if self._pid != os.getpid():
            return
        try:
            left = self.push(wait_s)
            self._keep_counts()
        except (StoreFull, StoreUnusable) as problem:
            self._say("store", str(problem))
            left = 0
        if left:
            self._say("left", f"{left:,} results were not sent yet; the next run sends them, or `gpucache push`")
        self._outbox.close()
        self._fetches.close()
        self._guard.close()

    # ---------------------------------------------------------------- within

    def _give_up(self, answer: Future[bool], thread: int) -> None:
        if _settle(answer, False):
            self._failed(f"no answer within {self._timeout_s:g} s")
            self._fetches.lose(thread)

    def _asked(self, ask: Ask, patience: Patience) -> bool:
        try:
            return ask(patience)
        except Exception as problem:  # noqa: BLE001  # an edge: the call runs, and meets what is wrong here by itself
            self._say("asking", f"{type(problem).__name__}: {problem}")
            return False

    def _send(self, key: bytes) -> None:
        try:
            sent = self._sender.send(key)
        except RemoteUnreachable:
            self._count(failures=1)
            raise
        except StoreClosed:
            raise
        except GpuCacheError as problem:
            self._say("send", f"a result was not sent: {problem}")
            return
        except BaseException as problem:  # an edge, as in fetch()
            raise RemoteUnreachable(self.url, f"{type(problem).__name__}: {problem}") from problem
        if sent is not None:
            self._count(sent=1, sent_bytes=sent.nbytes, saved_bytes=sent.saved_bytes)

    def _failed(self, why: str) -> None:
        self._count(failures=1)
        self._breaker.failed(why)

    def _refused(self, problem: GpuCacheError) -> None:
        match problem:
            case Untrusted():
                self._count(refused=1)
                self._say("refused", f"what it has is not believed, and computed here: {problem.why}")
            case RecordCorrupt():
                self._count(damaged=1)
                self._say("damaged", f"{problem.name} is damaged ({problem.problem}); such answers are computed here")
            case _:
                self._say("store", f"what it has can't be kept: {problem}")

    def _say_silent(self, why: str) -> None:
        if self._breaker.is_open and self._sending.is_open and self._breaker is not self._sending:
            return  # said already
        hooks.emit(
            Degraded(f"the remote {self.url}", f"{why}; it is left alone for a while, and all goes on without it")
        )

    def _say(self, kind: str, why: str) -> None:
        """Say it once."""
        with self._lock:
            is_news = kind not in self._said
            self._said.add(kind)
        if is_news:
            hooks.emit(Degraded(f"the remote {self.url}", why))

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, count in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + count)

    def _keep_counts(self) -> None:
        """Add this process's counts to the store's."""
        with self._lock:
            mine, self.counts = self.counts, Counts()
        if mine != Counts():
            add_to_totals(self._store, mine)


class Settings(NamedTuple):
    """What Config says of the remote."""

    url: str
    signing_key: str = ""
    trusted_keys: str = ""
    timeout_s: float = 10.0
    read_only: bool = False
    over_http: bool = False
    compress: bool = True


def open_remote(store: Store, settings: Settings) -> Remote:
    """The remote that the settings name. One's own signature is trusted where any is asked for.

    Raises:
        BadSetting: A setting is not understood.
        ExtraMissing: obstore, or cryptography, is not installed.
    """
    signer, trust, bucket = _parts_of(settings)
    return Remote(
        store,
        bucket,
        signer=signer,
        trust=trust,
        timeout_s=settings.timeout_s,
        read_only=settings.read_only,
        line=_line(settings),
    )


def probe(settings: Settings) -> float:
    """How long the remote takes to say that it does not know a call, s. Writes nothing.

    Raises:
        RemoteUnreachable: It does not say.
        BadSetting, ExtraMissing: As open_remote().
    """
    _, _, bucket = _parts_of(settings)
    started = time.perf_counter()
    bucket.get(call_name(bytes(16)), most_bytes=2**20)
    return time.perf_counter() - started


def _parts_of(settings: Settings) -> tuple[SigningKey | None, Trust, Bucket]:
    signs = settings.signing_key and not settings.read_only
    signer = SigningKey.read(Path(settings.signing_key).expanduser()) if signs else None
    keys = parse_keys(settings.trusted_keys)
    trust = Trust(keys | {signer.public_key} if keys and signer is not None else keys)
    return signer, trust, Bucket(settings.url, timeout_s=settings.timeout_s, over_http=settings.over_http)


def _line(settings: Settings) -> Line | None:
    if not settings.compress:
        return None
    return Line(DIRECTORY_S_PER_BYTE if settings.url.startswith("file:") else GIGABIT_S_PER_BYTE)


def _settle(answer: Future[bool], found: bool) -> bool:
    """Answer, unless somebody has; whether it was us."""
    try:
        answer.set_result(found)
    except InvalidStateError:
        return False
    return True
