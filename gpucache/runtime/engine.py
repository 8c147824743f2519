"""Decide which worker runs which call: a pure state machine, events in, actions out.

Time, processes and Ray are events; so every race is a sequence of events and can be tested without sleeping. Payloads
never come here: the engine knows calls by number.

Decisions:
- Calls of one kind start in the order they came. Among kinds the oldest call goes first; a younger call may overtake it on
  a worker that is warm for it, at most PATIENCE times, then idle workers of other kinds give way.
- A worker holds its GPUs as long as it lives: what lies in its device memory does too.
- A worker is started for a call that no idle worker can take, up to the limit. Idle ones of other kinds are stopped for it.
- With `warm_wait_s` a call of whose kind there is a worker, busy, waits so long for it before another kind's warm worker is
  stopped. Free room is used at once. Considered: to wait without such a worker, too, so that calls to come share the start;
  fewer starts, and twice the waiting (benchmarks/residence_gentd26.py).
- A call whose worker died is run again, at the front; after LOSSES_MAX deaths it fails with WorkerLost.
- A gang starts when all its members have a worker, and ends when all have answered; if one fails or dies, all are stopped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpucache.errors import DoesNotFit, RuntimeUnreachable, TaskTimeout, WorkerLost
from gpucache.residence import BlendedFrequency
from gpucache.runtime.actions import Action, Cancel, Deadline, Fail, Finished, Hold, Kill, Resolve, Send, Start, Stop
from gpucache.runtime.events import (
    Answered,
    Ask,
    Begun,
    Broke,
    CancelAsked,
    Event,
    GpusRead,
    HeldLong,
    ShutdownAsked,
    Submitted,
    TimedOut,
    WorkerEnded,
    WorkerReady,
)
from gpucache.runtime.known import Known, Stage, Worker
from gpucache.runtime.places import GpuPlaces, NoGpus
from gpucache.workers.kind import CallId, Kind, WorkerId

if TYPE_CHECKING:
    from gpucache.telemetry import Fleet

PATIENCE = 8
"""How often a call may be overtaken: a switch of kinds costs a worker's start, 0.1 s (local) to 2 s (Ray, torch; FACTS)."""
LOSSES_MAX = 3
"""Deaths of workers that one call is given, as the contract of issue 2 says."""
PREPARATION_MAX_S = 120.0
"""Importing a task's modules and loading its residents does not count in its time limit; after this it does."""
FAILED_STARTS_MAX = 3
"""Workers of one kind that may end in a row before any was ready; then the kind's calls fail."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this runtime has. `memory_bytes` 0: not counted."""

    workers: int
    cpus: float
    memory_bytes: int = 0


class Engine:
    """One runtime's calls and workers. Not thread-safe: one step at a time."""

    def __init__(self, capacity: Capacity, gpus: GpuPlaces | None = None, *, warm_wait_s: float = 0.0) -> None:
        self._capacity = capacity
        self._warm_wait_s = warm_wait_s
        self._gpus: GpuPlaces = gpus if gpus is not None else NoGpus()
        self._calls: dict[CallId, Known] = {}
        self._waiting: dict[Kind, deque[CallId]] = {}
        self._workers: dict[WorkerId, Worker] = {}
        self._idle: dict[Kind, dict[WorkerId, None]] = {}  # the longest idle first
        self._starting: dict[Kind, int] = {}
        self._failed_starts: dict[Kind, int] = {}
        self._generation = 0
        self._cpus_used = 0
        self._memory_used = 0
        self._next_worker = 0
        self._broken: Exception | None = None
        self._kinds = BlendedFrequency()  # which kinds are asked for: what is least likely to be goes first
        self._unwell: frozenset[str] = frozenset()  # GPUs that no call may go to
        self._closing = False
        self._actions: list[Action] = []

    def step(self, event: Event) -> list[Action]:
        """Take in what happened; return what to do, in order."""
        self._actions = []
        match event:
            case Answered():
                self._answered(event)
            case Submitted():
                self._submitted(event.ask)
            case WorkerReady():
                self._ready(event.worker)
            case WorkerEnded():
                self._ended(event)
            case CancelAsked():
                self._cancel_asked(event.call)
            case Begun() | TimedOut() | HeldLong():
                self._timed(event)
            case Broke():
                self._break(event.error)
            case ShutdownAsked():
                self._shut_down(cancel=event.cancel)
            case GpusRead():
                self._gpus_read(event.fleet)
        self._schedule()
        if self._closing and not self._calls:
            self._wind_up()
        return self._actions

    def use_gpus(self, gpus: GpuPlaces) -> None:
        """Take GPUs from here from now on. No worker holds one yet."""
        self._gpus = gpus

    def workers(self) -> list[tuple[WorkerId, Kind, Stage, tuple[str, ...], CallId | None]]:
        """Every worker: id, kind, stage, GPUs, its call."""
        return [(w.id, w.kind, w.stage, w.devices, w.call) for w in self._workers.values()]

    def calls(self) -> list[tuple[CallId, bool]]:
        """Every call that is not at its end, in the order they came, and whether it is running."""
        return [(number, bool(call.running)) for number, call in self._calls.items()]

    @property
    def workers_max(self) -> int:
        """So many workers at most."""
        return self._capacity.workers

    def waits_for(self, call: CallId) -> str | None:
        """What a queued call waits for, for people; None if it is running or gone."""
        known = self._calls.get(call)
        if known is None or known.running:
            return None
        if self._starting.get(known.ask.kind):
            return "a worker that is starting"
        if not self._has_room_for(known.ask):
            return "CPUs or memory"
        if known.is_patient and self._is_served(known.ask.kind):
            return f"a worker that is warm, for {self._warm_wait_s:g} s at most"
        return "a GPU" if known.ask.kind.gpus else "a worker"

    # ------------------------------------------------------------ what happened

    def _submitted(self, ask: Ask) -> None:
        refusal = self._broken or self._never_fits(ask)
        if refusal is not None:
            self._actions.append(Fail(ask.call, refusal))
            return
        self._generation = max(self._generation, ask.kind.generation)
        self._kinds.asked(ask.kind)
        is_patient = self._warm_wait_s > 0 and len(self._idle.get(ask.kind, ())) < ask.size
        if is_patient:
            self._actions.append(Hold(ask.call, self._warm_wait_s))
        self._calls[ask.call] = Known(ask, ask.retries, is_patient=is_patient)
        self._waiting.setdefault(ask.kind, deque()).append(ask.call)

    def _never_fits(self, ask: Ask) -> Exception | None:
        if ask.size > self._capacity.workers:
            return DoesNotFit(ask.name, "a gang of workers", str(ask.size), str(self._capacity.workers))
        if ask.cpus * ask.size > self._capacity.cpus:
            return DoesNotFit(ask.name, "CPUs", f"{ask.cpus * ask.size:g}", f"{self._capacity.cpus:g}")
        if 0 < self._capacity.memory_bytes < ask.memory_bytes * ask.size:
            needed, there = ask.memory_bytes * ask.size, self._capacity.memory_bytes
            return DoesNotFit(ask.name, "memory of", f"{needed:,} bytes", f"{there:,} bytes")
        why = self._gpus.fits(ask.kind, ask.size) if ask.kind.gpus else None
        return None if why is None else DoesNotFit(ask.name, "GPUs:", _gpus_asked(ask), why)

    def _gpus_read(self, fleet: Fleet) -> None:
        """Waiting calls may have room now; those whose GPUs are gone need not wait; warm workers on such GPUs end."""
        self._unwell = self._gpus.observe(fleet)
        for idle in self._idle.values():
            for worker in tuple(idle):
                self._stop_if_unwell(self._workers[worker])
        for call in [call for kind, calls in self._waiting.items() if kind.gpus for call in calls]:
            known = self._calls[call]
            refusal = self._never_fits(known.ask)
            if refusal is not None:
                self._drop(known)
                self._actions.append(Fail(call, refusal))

    def _cancel_asked(self, call: CallId) -> None:
        known = self._calls.get(call)
        if known is not None and not known.running:
            self._drop(known)
            self._actions.append(Cancel(call))

    def _ready(self, worker: WorkerId) -> None:
        known = self._workers.get(worker)
        if known is None or known.stage is not Stage.STARTING:
            return
        self._failed_starts.pop(known.kind, None)
        self._starting[known.kind] -= 1
        self._make_idle(known)

    def _timed(self, event: Begun | TimedOut | HeldLong) -> None:
        match event:
            case Begun():
                self._begun(event)
            case TimedOut():
                self._timed_out(event)
            case HeldLong():
                self._held_long(event.call)

    def _begun(self, event: Begun) -> None:
        known = self._calls.get(event.call)
        if known is None or event.worker not in known.running or known.has_begun or known.ask.timeout_s is None:
            return
        known.has_begun = True
        self._actions.append(Deadline(event.call, known.attempt, known.ask.timeout_s))

    def _answered(self, event: Answered) -> None:
        worker = self._workers.get(event.worker)
        if worker is None or worker.stage is not Stage.BUSY or worker.call != event.call:
            return  # it was killed meanwhile, and its call has gone its way
        known = self._calls[event.call]
        del known.running[event.worker]
        self._give_back(known.ask)
        self._make_idle(worker)
        if not event.ok:
            self._raised(known, event.worker)
        elif not known.running:
            del self._calls[event.call]
            self._actions.append(Resolve(event.call, known.first if known.first is not None else event.worker))

    def _raised(self, known: Known, worker: WorkerId) -> None:
        self._kill_members(known)
        if known.retries_left > 0:
            known.retries_left -= 1
            self._again(known)
            return
        del self._calls[known.ask.call]
        self._actions.append(Resolve(known.ask.call, worker))

    def _timed_out(self, event: TimedOut) -> None:
        known = self._calls.get(event.call)
        if known is None or not known.running or known.attempt != event.attempt:
            return
        self._kill_members(known)
        del self._calls[event.call]
        self._actions.append(Fail(event.call, TaskTimeout(known.ask.name, known.ask.timeout_s or 0.0)))

    def _held_long(self, call: CallId) -> None:
        if (known := self._calls.get(call)) is not None:
            known.is_patient = False

    def _ended(self, event: WorkerEnded) -> None:
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            return
        self._gpus.give(event.worker)
        if worker.stage is Stage.STARTING:
            self._starting[worker.kind] -= 1
            if not event.stale:
                self._start_failed(worker.kind, event.how)
        elif worker.stage is Stage.IDLE:
            del self._idle[worker.kind][worker.id]
        elif worker.stage is Stage.BUSY and worker.call is not None:
            self._lost(self._calls[worker.call], event)

    def _lost(self, known: Known, event: WorkerEnded) -> None:
        del known.running[event.worker]
        self._give_back(known.ask)
        self._kill_members(known)
        known.losses += not event.stale
        if known.losses >= LOSSES_MAX:
            del self._calls[known.ask.call]
            self._actions.append(Fail(known.ask.call, WorkerLost(known.ask.name, known.losses, event.how)))
        else:
            self._again(known)

    def _start_failed(self, kind: Kind, how: str) -> None:
        failed = self._failed_starts[kind] = self._failed_starts.get(kind, 0) + 1
        if failed < FAILED_STARTS_MAX:
            return
        del self._failed_starts[kind]
        why = f"{failed} in a row ended before they were ready: {how}"
        error = RuntimeUnreachable("workers", why, "see their output above")
        for call in tuple(self._waiting.get(kind, ())):
            self._drop(self._calls[call])
            self._actions.append(Fail(call, error))

    def _break(self, error: Exception) -> None:
        self._broken = error
        for known in tuple(self._calls.values()):
            self._kill_members(known)
            del self._calls[known.ask.call]
            self._actions.append(Fail(known.ask.call, error))
        self._waiting.clear()

    def _shut_down(self, *, cancel: bool) -> None:
        self._closing = True
        if not cancel:
            return
        for kind, waiting in tuple(self._waiting.items()):
            # Those that a worker is being started for count as begun, as they do in ProcessPoolExecutor.
            begun = [waiting.popleft() for _ in range(min(len(waiting), self._starting.get(kind, 0)))]
            self._actions.extend(Cancel(call) for call in waiting)
            for call in waiting:
                del self._calls[call]
            self._waiting[kind] = deque(begun)
            if not begun:
                del self._waiting[kind]

    def _wind_up(self) -> None:
        for worker in self._workers.values():
            if worker.stage is Stage.IDLE:
                self._stop(worker)
            elif worker.stage is Stage.STARTING:
                self._starting[worker.kind] -= 1
                worker.stage = Stage.ENDING
                self._actions.append(Kill(worker.id))
        if not self._workers:
            self._actions.append(Finished())

    # ------------------------------------------------------------ bookkeeping

    def _make_idle(self, worker: Worker) -> None:
        worker.stage, worker.call = Stage.IDLE, None
        self._idle.setdefault(worker.kind, {})[worker.id] = None
        self._stop_if_unwell(worker)

    def _stop_if_unwell(self, worker: Worker) -> None:
        if not self._unwell.isdisjoint(worker.devices):
            self._stop(worker)

    def _stop(self, worker: Worker) -> None:
        del self._idle[worker.kind][worker.id]
        worker.stage = Stage.ENDING
        self._actions.append(Stop(worker.id))

    def _kill_members(self, known: Known) -> None:
        """Kill the workers that still run the call. They count until they are gone; what the call held is free."""
        for worker in known.running:
            self._workers[worker].stage = Stage.ENDING
            self._give_back(known.ask)
            self._actions.append(Kill(worker))
        known.running.clear()

    def _again(self, known: Known) -> None:
        known.is_patient = False  # it has waited before
        self._waiting.setdefault(known.ask.kind, deque()).appendleft(known.ask.call)

    def _drop(self, known: Known) -> None:
        """Forget a waiting call."""
        del self._calls[known.ask.call]
        waiting = self._waiting[known.ask.kind]
        waiting.remove(known.ask.call)
        if not waiting:
            del self._waiting[known.ask.kind]

    def _is_served(self, kind: Kind) -> bool:
        """Whether a worker of the kind will be idle again: one that is busy or starting."""
        soon = (Stage.BUSY, Stage.STARTING)
        return any(worker.kind == kind and worker.stage in soon for worker in self._workers.values())

    def _has_room_for(self, ask: Ask, count: int | None = None) -> bool:
        members = ask.size if count is None else count
        milli = round(ask.cpus * 1000) * members
        if self._cpus_used + milli > round(self._capacity.cpus * 1000):
            return False
        return not self._capacity.memory_bytes or (
            self._memory_used + ask.memory_bytes * members <= self._capacity.memory_bytes
        )

    def _give_back(self, ask: Ask) -> None:
        self._cpus_used -= round(ask.cpus * 1000)
        self._memory_used -= ask.memory_bytes

    # ------------------------------------------------------------ what to do

    def _schedule(self) -> None:
        self._stop_outdated()
        if not self._waiting:
            return
        blocked: Known | None = None
        for kind in sorted(self._waiting, key=lambda kind: self._waiting[kind][0]):
            waiting = self._waiting[kind]
            while waiting and (blocked is None or blocked.overtaken < PATIENCE) and self._send(self._calls[waiting[0]]):
                waiting.popleft()
                if blocked is not None:
                    blocked.overtaken += 1
            if not waiting:
                del self._waiting[kind]
            elif not self._start_for(kind) and blocked is None:
                first = self._calls[waiting[0]]
                if not (first.is_patient and self._is_served(kind)):
                    blocked = first
        if blocked is not None:
            self._make_way(blocked)

    def _send(self, known: Known) -> bool:
        """Send a call to idle workers of its kind, if there are enough and it has room."""
        ask = known.ask
        idle = self._idle.get(ask.kind)
        if idle is None or len(idle) < ask.size or not self._has_room_for(ask):
            return False
        known.attempt, known.has_begun = known.attempt + 1, False
        for rank in range(ask.size):
            worker = self._workers[idle.popitem()[0]]  # the most recently used: its caches are warmest
            worker.stage, worker.call = Stage.BUSY, ask.call
            known.running[worker.id] = rank
            if rank == 0:
                known.first = worker.id
            self._cpus_used += round(ask.cpus * 1000)
            self._memory_used += ask.memory_bytes
            self._actions.append(Send(worker.id, ask.call, rank, ask.size))
        if ask.timeout_s is not None:
            self._actions.append(Deadline(ask.call, known.attempt, ask.timeout_s + PREPARATION_MAX_S))
        return True

    def _start_for(self, kind: Kind) -> bool:
        """Start workers for the waiting calls of a kind. False if the first of them can get no worker as things are."""
        full = len(self._workers) >= self._capacity.workers
        wanted = 0 if full else self._wanted(kind) - self._starting.get(kind, 0)
        for _ in range(wanted):
            full = len(self._workers) >= self._capacity.workers or not self._start(kind)
            if full:
                break
        coming = self._starting.get(kind, 0) + len(self._idle.get(kind, ()))
        return not full or coming >= self._calls[self._waiting[kind][0]].ask.size

    def _wanted(self, kind: Kind) -> int:
        """How many more workers the waiting calls of a kind could use now, within CPUs and memory."""
        wanted = 0
        head = self._calls[self._waiting[kind][0]].ask
        for call in self._waiting[kind]:
            members = self._calls[call].ask.size
            if wanted >= self._capacity.workers or not self._has_room_for(head, wanted + members):
                break
            wanted += members
        return max(0, wanted - len(self._idle.get(kind, ())))

    def _start(self, kind: Kind) -> bool:
        worker = WorkerId(self._next_worker)
        devices = self._gpus.take(worker, kind) if kind.gpus else ()
        if devices is None:
            return False
        self._next_worker += 1
        self._workers[worker] = Worker(worker, kind, devices)
        self._starting[kind] = self._starting.get(kind, 0) + 1
        self._actions.append(Start(worker, kind, devices))
        return True

    def _make_way(self, blocked: Known) -> None:
        """Stop idle workers that stand in a blocked call's way: first those that nobody waits for, then any."""
        if not self._has_room_for(blocked.ask):
            return
        stages = {worker.stage for worker in self._workers.values()}
        if Stage.ENDING in stages:
            return  # room is on its way
        # With nothing running or starting nothing will change by itself: gangs hold idle workers from one another.
        impatient = blocked.overtaken >= PATIENCE or stages == {Stage.IDLE}
        others = [kind for kind, idle in self._idle.items() if idle and kind != blocked.ask.kind]
        may_go = [kind for kind in others if impatient or kind not in self._waiting]
        if blocked.ask.kind.gpus and len(self._workers) < self._capacity.workers:
            may_go = [kind for kind in may_go if kind.gpus]  # it is a GPU that is short
        if may_go:
            kind = self._kinds.victim(may_go)
            self._stop(self._workers[next(iter(self._idle[kind]))])  # of that kind the one that was idle longest

    def _stop_outdated(self) -> None:
        """Workers of an earlier generation of the code end when no call of that generation waits."""
        if not self._generation:
            return
        for kind, idle in self._idle.items():
            if idle and kind.generation < self._generation and kind not in self._waiting:
                for worker in tuple(idle):
                    self._stop(self._workers[worker])


def _gpus_asked(ask: Ask) -> str:
    each = f"{ask.kind.gpus:g}"
    if ask.kind.gpu_memory_bytes is not None:
        each += f" with {ask.kind.gpu_memory_bytes:,} bytes"
    return each if ask.size == 1 else f"{each} for each of {ask.size} workers"
