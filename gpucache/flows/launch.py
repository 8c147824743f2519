"""A submitted call on its way: identified and looked up when its inputs are there, sent to a worker if it must run."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpucache.errors import CodeDiffers
from gpucache.events import Degraded, State, hooks
from gpucache.flows.demands import input_bytes, next_demand, observe
from gpucache.flows.future import Arrived, Future, futures_in
from gpucache.flows.identify import Called
from gpucache.flows.in_process import why, why_ended
from gpucache.flows.shared import begin, fetched
from gpucache.flows.watcher import Why
from gpucache.memo import Key, current_watch, lookup, note_hit
from gpucache.placement.learned import Observation
from gpucache.residence import is_out_of_memory

if TYPE_CHECKING:
    from gpucache.flows.remote import Reply
    from gpucache.flows.session import Session
    from gpucache.flows.watcher import Watched
    from gpucache.runtime.demand import Resources
    from gpucache.runtime.driver import Driver


def after(futures: Iterable[concurrent.futures.Future[Any]], go: Callable[[], None]) -> None:
    """Call go() once when all futures are done; at once, in this thread, if they are."""
    waiting = [future for future in futures if not future.done()]
    if not waiting:
        go()
        return
    remaining, lock = len(waiting), threading.Lock()

    def one_done(_: concurrent.futures.Future[Any]) -> None:
        nonlocal remaining
        with lock:
            remaining -= 1
            last = remaining == 0
        if last:
            go()

    for future in waiting:
        future.add_done_callback(one_done)


class Launch:
    """One submitted call. go() runs once, in whatever thread settled the last input."""

    def __init__(self, session: Session, values: tuple[Any, ...], future: Future[Any], watched: Watched) -> None:
        self._session, self._values, self._future, self._watched = session, values, future, watched
        self._task = watched.task
        self._called: Called | None = None
        self._why = Why()
        self._watch = current_watch()  # of the body that submits this, if one does
        self._is_renewed = False
        self._learned_bytes: int | None = None  # what was asked for because earlier calls took so much

    def go(self) -> None:
        """All inputs are done: go on, and let whatever goes wrong reach the future."""
        try:
            if self._future.cancelled():
                self._watched.end(None, State.SKIPPED)
                return
            failed = next((f for f in futures_in(self._values) if f.cancelled() or f.exception() is not None), None)
            if failed is not None:
                self._fail(_problem_of(failed), State.SKIPPED)
            elif self._task.options.cache:
                self._look_up()
            else:
                self._send()
        except BaseException as problem:  # noqa: BLE001  # an edge: this runs in callbacks, where an exception would be lost
            self._fail(problem, State.FAILED)

    def _look_up(self) -> None:
        called = self._called = Called(self._task, self._session, self._values)
        self._future.key = Key(called.key)
        if self._hits(called):
            return
        running = self._session.in_flight.setdefault(called.key, self._future)
        if running is not self._future:
            running.add_done_callback(self._join)
            return
        self._future.add_done_callback(lambda _: self._session.in_flight.pop(called.key, None))
        config = self._session.config
        if not config.remote or self._watched.is_forced:
            self._run(called)
        elif config.runtime == "inline":  # bodies run in this thread, one after another, so nothing is asked meanwhile
            if not fetched(self._session, called) or not self._hits(called):
                self._run(called)
        else:
            asked = begin(self._session, called)
            asked.add_done_callback(lambda _: self._go_on(called, asked))

    def _hits(self, called: Called) -> bool:
        """Whether the answer is in the store: then the future has it."""
        record = None if self._watched.is_forced else lookup(self._session.store, called.key, called.root)
        if record is None or not self._session.store.has(record.result):
            return False
        called.record_key = record.key
        self._settle(State.HIT, Arrived(self._session.store, record.result), record.seconds)
        return True

    def _go_on(self, called: Called, asked: concurrent.futures.Future[bool]) -> None:
        """The others have said whether they know the answer."""
        try:
            if self._future.cancelled() or self._session.is_closed:
                self._fail(concurrent.futures.CancelledError(), State.SKIPPED)
            elif asked.cancelled() or not asked.result() or not self._hits(called):
                self._run(called)
        except BaseException as problem:  # noqa: BLE001  # an edge, as in go()
            self._fail(problem, State.FAILED)

    def _run(self, called: Called) -> None:
        self._why = why(self._session, called, self._watched)
        self._send()

    def _send(self, *, alone: bool = False) -> None:
        from gpucache.flows.remote import parcel, run_parcel

        driver = self._session.driver  # first: the parcel says what has changed since workers got their environment
        packed = parcel(self._session, self._task, self._values, self._called, self._watched)
        options = self._task.options
        inner = driver.submit(
            run_parcel,
            (packed,),
            {},
            resources=self._resources(driver, alone=alone),
            retries=options.retries,
            timeout_s=options.timeout_s,
            name=self._task.name,
            store=self._session.store,
            run=self._watched.run_id,
            timed="body",
        )
        self._future.follow(inner)
        self._future.state = State.RUNNING
        inner.add_done_callback(self._landed)

    def _resources(self, driver: Driver, *, alone: bool) -> Resources:
        """What the call asks for; with gpu_memory="auto", what was learned. `alone`: a GPU that nobody else is on."""
        options = self._task.options
        asked, self._learned_bytes = options.resources(), None
        if not options.gpus or options.gpu_memory_bytes is not None:
            return asked
        if alone:
            return replace(asked, gpus=max(1, options.gpus), gpu_memory_bytes=None)
        device_bytes = driver.largest_gpu_bytes()
        if device_bytes is None:
            return asked
        size = input_bytes(self._values)
        self._learned_bytes = next_demand(self._session.store, self._task.name, size, device_bytes).memory_bytes
        return asked if self._learned_bytes is None else replace(asked, gpu_memory_bytes=self._learned_bytes)

    def _runs_again(self, problem: BaseException) -> bool:
        """Whether the call was sent once more.

        To a fresh worker: an earlier call had changed a global that this one reads. Or alone on a GPU: it ran out of a memory that
        was learned and not declared.
        """
        if isinstance(problem, CodeDiffers) and not self._is_renewed:
            self._is_renewed = True
            hooks.emit(
                Degraded("workers are replaced", f"in one {', '.join(problem.names)} was changed by an earlier call")
            )
            self._session.driver.renew_workers()
            self._send()
            return True
        given_bytes = self._learned_bytes
        if given_bytes is None or not is_out_of_memory(problem):
            return False
        ran_out = Observation(input_bytes(self._values), given_bytes, 0.0, ran_out=True)
        observe(self._session.store, self._task.name, ran_out)
        why = f"it ran out of the {given_bytes:,} bytes that earlier calls taught; the next asks for twice that"
        hooks.emit(Degraded(f"task {self._task.name!r} runs again, alone on a GPU", why))
        self._send(alone=True)
        return True

    def _learn(self, reply: Reply) -> None:
        if reply.gpu_peak_bytes is not None and reply.seconds is not None and self._task.options.gpus:
            taken = Observation(input_bytes(self._values), reply.gpu_peak_bytes, reply.seconds)
            observe(self._session.store, self._task.name, taken)

    def _landed(self, inner: concurrent.futures.Future[Reply]) -> None:
        try:
            if not inner.cancelled() and inner.exception() is not None and self._runs_again(_problem_of(inner)):
                return
            if inner.cancelled() or inner.exception() is not None:
                self._fail(_problem_of(inner), State.SKIPPED if inner.cancelled() else State.FAILED)
                return
            reply = inner.result()
            self._learn(reply)
            arrived = reply.value if reply.result is None else Arrived(self._session.store, reply.result)
            if self._called is not None and reply.record_key is not None:
                self._called.record_key = reply.record_key
            self._settle(reply.state, arrived, reply.saved_seconds, seconds=reply.seconds)
            if reply.state == State.RAN and self._session.config.remote:
                self._session.wake_remote()  # the worker noted what is to be sent, and leaves the sending to us
        except BaseException as problem:  # noqa: BLE001  # an edge, as in go()
            self._fail(problem, State.FAILED)

    def _join(self, running: concurrent.futures.Future[Any]) -> None:
        if running.cancelled() or running.exception() is not None:
            self._fail(_problem_of(running), State.FAILED)
            return
        manifest = running.manifest() if isinstance(running, Future) else None
        arrived = running.result() if manifest is None else Arrived(self._session.store, manifest)
        self._settle(State.JOINED, arrived, 0.0)

    def _settle(self, state: State, value: Any, saved_seconds: float, *, seconds: float | None = None) -> None:
        result = value.manifest.digest if type(value) is Arrived else None
        if self._called is not None:
            called, store = self._called, self._session.store
            note_hit(self._watch, store, called.key, called.record_key, called.root)
        self._future.state = state
        self._watched.end(
            self._called,
            state,
            seconds=seconds,
            saved_seconds=saved_seconds,
            why=why_ended(self._session, self._called, state, self._why),
            result=result,
        )
        if self._future.set_running_or_notify_cancel():
            self._future.set_result(value)

    def _fail(self, problem: BaseException, state: State) -> None:
        self._future.state = state
        self._watched.end(self._called, state, why=self._why)
        if isinstance(problem, concurrent.futures.CancelledError):
            self._future.cancel()
        elif not self._future.done() and self._future.set_running_or_notify_cancel():
            self._future.set_exception(problem)


def _problem_of(future: concurrent.futures.Future[Any]) -> BaseException:
    if future.cancelled():
        return concurrent.futures.CancelledError()
    return future.exception() or AssertionError("asked for the problem of a future that has none")
