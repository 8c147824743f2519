"""Run the engine against the world: futures in front, workers behind, the clock beside.

Every event takes one lock, one step of the engine, and the actions on workers, none of which blocks; what has become of
futures is told after the lock is released, because it runs callbacks of the user's. Warm dispatch, submit to result, is
two context switches each way: no thread of ours lies between the caller and the worker's socket.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpucache.errors import BadSetting, RuntimeUnreachable, WorkersBroken
from gpucache.events import Degraded, WorkerDied, WorkerStarted, hooks
from gpucache.runtime import actions, events
from gpucache.runtime.calls import CallFuture, Entry, cancel, fail, not_sendable, resolve
from gpucache.runtime.demand import Resources
from gpucache.runtime.engine import Capacity, Engine
from gpucache.runtime.gpu_watch import GpuWatch
from gpucache.runtime.inline import run_here
from gpucache.runtime.known import Stage
from gpucache.runtime.pools import PoolState, StatusFile
from gpucache.runtime.portrait import Seen, portrait
from gpucache.runtime.timers import Timers
from gpucache.telemetry import Fleet, read_fleet
from gpucache.workers import messages
from gpucache.workers.kind import CallId, Kind, WorkerId
from gpucache.workers.pool import HasAnswered, HasBegun, HasEnded, IsReady, Pool, Report, Starter
from gpucache.workers.ship import Shipment

if TYPE_CHECKING:
    from gpucache.config import Config
    from gpucache.store import Store

_ONE_CPU = Resources()
_ONE_GPU = Resources(gpus=1)
_KILL_MAX_S = 30.0
"""Killed processes are gone in milliseconds, Ray in a second or two; an interrupted program ends in any case."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it is now. `pid` None: it is starting. `call`: the name of what it runs."""

    worker: str
    pid: int | None
    stage: str
    device: str
    gpus: tuple[str, ...]
    call: str | None


class Driver:
    """Warm workers of one runtime, started on demand. Any thread may call any method; a forked child may not.

    Args:
        config: `runtime`, `max_workers` and `worker_start_timeout_s` are used.
        initializer: Run in each worker before its first call, with initargs. If it raises, every call fails.
        starter: Where workers come from, instead of what config.runtime says.
        read_fleet: What the GPUs say; asked when the first call wants one, and from then on.
        on_broken: Told, once, that an initializer raised.
        keeps_main: Workers keep the main file's globals from call to call (workers/main_state.py).

    Attributes:
        broken: Why no call can run any more, None as long as they can.
    """

    def __init__(
        self,
        config: Config,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        starter: Starter | None = None,
        read_fleet: Callable[[], Fleet] = read_fleet,
        on_broken: Callable[[WorkersBroken], None] | None = None,
        keeps_main: bool = False,
    ) -> None:
        self._config = config
        self._pid = os.getpid()
        self._inline = config.runtime == "inline" and starter is None
        self._lock = threading.Lock()
        self._entries: dict[CallId, Entry] = {}
        self._calls = itertools.count()
        self._closing = False
        self._finished = threading.Event()
        self._timers = Timers()
        self._status = StatusFile(config.store_path, self.state, self._timers.after)
        self._seen: dict[WorkerId, Seen] = {}
        self._said: set[str] = set()
        self._gpu_watch = GpuWatch(read_fleet, self._step)
        self._fleet_has_gpus: bool | None = None
        self._first_look = threading.Lock()
        self._on_broken = on_broken
        self._keeps_main = keeps_main
        self.broken: Exception | None = None
        self._starter: Starter | None = None if self._inline else starter or _starter(config)
        self._shipment = Shipment()
        initial = b"" if initializer is None else messages.dumps((initializer, initargs), keeps_main=keeps_main)
        self._engine = Engine(_capacity(config), warm_wait_s=config.warm_wait_s)
        self._pool: Pool | None = None
        if self._starter is not None:
            self._pool = Pool(self._starter, self._hear, self._shipment, initializer=initial)
        _end_with_interpreter(self)

    def submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        resources: Resources = _ONE_CPU,
        retries: int = 0,
        timeout_s: float | None = None,
        name: str = "",
        store: Store | None = None,
        run: str = "",
        timed: messages.Timed = "call",
    ) -> concurrent.futures.Future[Any]:
        """Run fn(*args, **kwargs) in a warm worker.

        Args:
            resources: What it needs while it runs.
            retries: How often it is run again if it raises.
            timeout_s: After this its worker is killed and the future has TaskTimeout; counted from when fn begins in a worker.
            name: What to call it in errors.
            store: Large arrays go through it, both ways, and arrive mapped and read-only; None: everything is pickled.
            run: The run that it belongs to, for whoever looks.
            timed: "body": the time counts from when fn says so itself (workers.context.begun).

        Returns:
            A future: its result; the user's exception, with the remote traceback as __cause__; DoesNotFit, WorkerLost,
            TaskTimeout, RuntimeUnreachable, WorkersBroken; or what pickling the arguments raised.

        Raises:
            RuntimeError: The driver was shut down, or made in another process (before a fork).
            RuntimeUnreachable: This runtime can't give such an environment.
        """
        self.check_usable()
        name = name or getattr(fn, "__qualname__", type(fn).__qualname__)
        if self._inline:
            if timeout_s is not None:
                self._say_no_timeouts()
            return run_here(fn, args, kwargs or {}, retries=retries)
        kind = self._kind(resources)
        call = CallId(next(self._calls))
        future = CallFuture(lambda: self._step(events.CancelAsked(call)))
        try:
            payload = messages.dumps((fn, args, dict(kwargs or {})), store, keeps_main=self._keeps_main)
        except Exception as problem:  # noqa: BLE001  # an edge: the arguments' own __reduce__ is the user's
            future.set_running_or_notify_cancel()
            future.set_exception(problem if store is None else not_sendable(name, problem))
            return future
        ask = events.Ask(
            call=call,
            name=name,
            kind=kind,
            cpus=resources.cpus,
            memory_bytes=resources.memory_bytes or 0,
            retries=retries,
            timeout_s=timeout_s,
            size=resources.workers,
        )
        self._step(
            events.Submitted(ask), Entry(future, payload, store, name, run, timed if timeout_s is not None else "")
        )
        return future

    def renew_workers(self) -> None:
        """Calls from now on go to workers that are started from now on; the others end when they are idle."""
        self._shipment.renew()

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """Take no more calls; end the workers when those that are there have ended.

        Args:
            wait: Return when no worker is left. An interruption while waiting kills them.
            cancel_futures: Cancel what has not started.
        """
        self._closing = True
        if self._inline or os.getpid() != self._pid:
            return
        self._step(events.ShutdownAsked(cancel=cancel_futures))
        if wait:
            try:
                self._finished.wait()
            except BaseException:
                self.kill()
                raise

    def kill(self) -> None:
        """End everything now: queued calls are cancelled, running ones fail, no worker is left."""
        self._closing = True
        if self._pool is None or os.getpid() != self._pid:
            return
        self._step(events.Broke(WorkersBroken("they were stopped", "start a new session")))
        self._step(events.ShutdownAsked(cancel=True))
        self._pool.kill_all()
        self._finished.wait(_KILL_MAX_S)

    def workers(self) -> list[WorkerInfo]:
        """Every worker that is there or starting."""
        with self._lock:
            known = self._engine.workers()
            names = {call: entry.name for call, entry in self._entries.items()}
        pids = {} if self._pool is None else {worker: self._pool.pid(worker) for worker, *_ in known}
        return [
            WorkerInfo(
                worker=f"w{worker}",
                pid=pids.get(worker),
                stage=stage.value,
                device="cuda:0" if kind.gpus else "cpu",
                gpus=devices,
                call=None if call is None else names.get(call),
            )
            for worker, kind, stage, devices, call in known
        ]

    def state(self) -> PoolState:
        """All of it as it is now: what `gpucache status` shows of this process."""
        with self._lock:
            return portrait(self._config, self._engine, self._entries, self._seen, self._gpu_watch.places)

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    # ------------------------------------------------------------ calls

    def check_usable(self) -> None:
        """Whether calls are taken.

        Raises:
            RuntimeError: The driver was shut down, or made in another process (before a fork).
        """
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this driver belongs to the process that forked this one; make a new one (gpucache.init)"
            )

    def _kind(self, resources: Resources) -> Kind:
        gpus = resources.gpus if self._has_gpus(resources) else 0
        memory_bytes = resources.gpu_memory_bytes if gpus else None
        kind = Kind(resources.env, gpus, memory_bytes, self._shipment.refresh())
        if resources.env is not None and self._starter is not None:
            self._starter.check(kind)
        return kind

    def _has_gpus(self, resources: Resources) -> bool:
        """Whether there are GPUs to give; looked at when the first call asks. Where there are none, all runs on CPUs."""
        if not resources.gpus or self._starter is None:
            return False
        if self._starter.places_gpus_itself:
            return True
        with self._first_look:  # not the lock of every event: a driver that hangs holds up those alone who want a GPU
            if self._fleet_has_gpus is None:
                places = self._gpu_watch.begin()
                if places is not None:
                    with self._lock:
                        self._engine.use_gpus(places)
                self._fleet_has_gpus = places is not None
        return self._fleet_has_gpus

    def largest_gpu_bytes(self) -> int | None:
        """Memory of the largest GPU that can be given out; None where there is none, or where the runtime places GPUs itself."""
        if self._starter is None or self._starter.places_gpus_itself or not self._has_gpus(_ONE_GPU):
            return None
        return self._gpu_watch.largest_bytes()

    def _say_no_timeouts(self) -> None:
        if "timeout" not in self._said:
            self._said.add("timeout")
            why = "calls run in this process and can't be stopped"
            hooks.emit(Degraded("runtime 'inline' does not keep timeouts", why))

    # ------------------------------------------------------------ events and actions

    def _hear(self, report: Report) -> None:
        """What the pool reports, from the workers' threads."""
        match report:
            case HasAnswered():
                call = CallId(report.answer.call)
                entry = self._entries.get(call)
                if entry is not None:
                    entry.answers[report.worker] = (report.answer.ok, report.payload)
                self._note_answer(report)
                self._step(events.Answered(report.worker, call, report.answer.ok))
            case HasBegun():
                self._step(events.Begun(report.worker, CallId(report.call)))
            case IsReady():
                known = self._seen.get(report.worker)
                seconds = 0.0 if known is None else time.monotonic() - known.started_at
                if known is not None:
                    known.pid = report.pid
                hooks.emit(WorkerStarted(f"w{report.worker}", report.pid, seconds))
                self._step(events.WorkerReady(report.worker))
            case HasEnded():
                self._hear_end(report)

    def _note_answer(self, report: HasAnswered) -> None:
        known = self._seen.get(report.worker)
        if known is not None:
            known.answered += 1
            known.holding = report.answer.holding or known.holding

    def _hear_end(self, report: HasEnded) -> None:
        if isinstance(report.broken, RuntimeUnreachable):
            self.broken = report.broken
            self._step(events.Broke(report.broken))
        elif report.broken is not None:
            error = WorkersBroken(
                f"the initializer raised {type(report.broken).__name__}: {report.broken}",
                "mend it and make a new executor",
            )
            error.__cause__ = report.broken
            if self.broken is None and self._on_broken is not None:
                self._on_broken(error)
            self.broken = error
            self._step(events.Broke(error))
        elif not report.stale and self._is_unexpected(report.worker):
            hooks.emit(WorkerDied(f"w{report.worker}", report.pid, report.how))
        self._seen.pop(report.worker, None)
        self._step(events.WorkerEnded(report.worker, report.how, stale=report.stale))

    def _is_unexpected(self, worker: WorkerId) -> bool:
        with self._lock:
            return any(known == worker and stage is not Stage.ENDING for known, _, stage, *_ in self._engine.workers())

    def _step(self, event: events.Event, entry: Entry | None = None) -> None:
        outcomes: list[Callable[[], None]] = []
        with self._lock:
            if entry is not None and isinstance(event, events.Submitted):
                self._entries[event.ask.call] = entry
            todo = [event]
            while todo:
                for action in self._engine.step(todo.pop()):
                    self._act(action, todo, outcomes)
        self._status.note()
        for outcome in outcomes:
            outcome()

    def _act(self, action: actions.Action, todo: list[events.Event], outcomes: list[Callable[[], None]]) -> None:
        pool = self._pool
        assert pool is not None  # inline drivers take no steps
        match action:
            case actions.Send():
                self._send(pool, action, todo)
            case actions.Resolve():
                entry = self._forget(action.call)
                outcomes.append(lambda: resolve(entry, action.worker))
            case actions.Fail():
                entry = self._forget(action.call)
                outcomes.append(lambda: fail(entry, action.error))
            case actions.Cancel():
                entry = self._forget(action.call)
                outcomes.append(lambda: cancel(entry))
            case actions.Start():
                self._start(pool, action, todo)
            case actions.Stop():
                pool.stop(action.worker)
            case actions.Kill():
                pool.kill(action.worker)
            case actions.Deadline():
                event = events.TimedOut(action.call, action.attempt)
                self._timers.after(action.seconds, lambda: self._step(event))
            case actions.Hold():
                over = events.HeldLong(action.call)
                self._timers.after(action.seconds, lambda: self._step(over))
            case actions.Finished():
                outcomes.append(self._finish)

    def _send(self, pool: Pool, action: actions.Send, todo: list[events.Event]) -> None:
        entry = self._entries[action.call]
        if entry.started_at is None and not entry.future.set_running_or_notify_cancel():
            # cancelled between the queue and here: the engine hears that it is over, and the worker never of it
            todo.append(events.Answered(action.worker, action.call, ok=True))
            return
        entry.started_at = time.monotonic()
        store = None if entry.store is None else str(entry.store.path)
        call = messages.Call(action.call, store, action.rank, action.size, entry.timed)
        pool.send(action.worker, call, entry.payload)

    def _start(self, pool: Pool, action: actions.Start, todo: list[events.Event]) -> None:
        self._seen[action.worker] = Seen(time.monotonic())
        try:
            pool.start(action.worker, action.kind, action.devices)
        except RuntimeError as problem:  # no thread can be had
            todo.append(events.WorkerEnded(action.worker, f"it could not be started: {problem}"))
            return
        self._timers.after(self._config.worker_start_timeout_s, lambda: self._give_up(action.worker))

    def _give_up(self, worker: WorkerId) -> None:
        with self._lock:
            late = any(known == worker and stage is Stage.STARTING for known, _, stage, *_ in self._engine.workers())
        if late and self._pool is not None:
            self._pool.kill(worker)

    def _forget(self, call: CallId) -> Entry:
        return self._entries.pop(call)

    def _finish(self) -> None:
        if not self._finished.is_set():
            self._timers.close()
            self._status.close()
            self._gpu_watch.close()
            if self._pool is not None:
                self._pool.close()
            self._finished.set()


def _starter(config: Config) -> Starter:
    if config.runtime == "local":
        from gpucache.workers.local import LocalStarter

        return LocalStarter()
    if config.runtime == "ray" or config.runtime.startswith("ray://"):
        from gpucache.workers.on_ray import RayStarter

        return RayStarter(None if config.runtime == "ray" else config.runtime)
    raise BadSetting("runtime", config.runtime, "'local', 'ray', 'ray://host:port' or 'inline'")


def _capacity(config: Config) -> Capacity:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = config.max_workers or cpus
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Capacity(workers=workers, cpus=max(cpus, workers), memory_bytes=memory_bytes)


def _end_with_interpreter(driver: Driver) -> None:
    """Wait for what runs when the program ends; if it ends by an interruption, wait for nothing."""
    known = weakref.ref(driver)

    def end() -> None:
        left = known()
        if left is None:
            return
        if getattr(sys, "last_type", None) is KeyboardInterrupt:
            left.kill()
        else:
            left.shutdown()

    # Private, and what concurrent.futures uses: atexit comes after threads are refused (3.12), and after they are joined.
    threading._register_atexit(end)  # type: ignore[attr-defined]  # noqa: SLF001
