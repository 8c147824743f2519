"""Whatever happens, in whatever order: every call ends once, and no limit is passed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gpucache.runtime import actions, events
from gpucache.runtime.engine import Capacity, Engine
from gpucache.runtime.gpus import GpusOfFleet
from gpucache.telemetry import Fleet, GpuReading
from gpucache.workers.kind import CallId, Env, Kind, WorkerId

KINDS = [Kind(), Kind(Env(env_vars={"A": "1"})), Kind(gpus=1), Kind(generation=1)]
WORKERS, CPUS, GPUS = 3, 4, 2


class TwoGpus:
    """Two whole GPUs."""

    def __init__(self) -> None:
        self.held: dict[WorkerId, str] = {}

    def fits(self, kind: Kind, members: int) -> str | None:
        return None if members <= GPUS else "two GPUs"

    def take(self, worker: WorkerId, kind: Kind) -> tuple[str, ...] | None:
        free = [uuid for uuid in ("GPU-a", "GPU-b") if uuid not in self.held.values()]
        if not free:
            return None
        self.held[worker] = free[0]
        return (free[0],)

    def give(self, worker: WorkerId) -> None:
        self.held.pop(worker, None)

    def observe(self, fleet: Fleet) -> frozenset[str]:
        return frozenset()


@dataclass
class World:
    """The other side of the engine: believes every action, and checks it."""

    engine: Engine
    starting: list[WorkerId] = field(default_factory=list)
    idle: set[WorkerId] = field(default_factory=set)
    running: dict[WorkerId, tuple[CallId, int]] = field(default_factory=dict)
    ending: list[WorkerId] = field(default_factory=list)
    asks: dict[CallId, events.Ask] = field(default_factory=dict)
    deadlines: dict[CallId, int] = field(default_factory=dict)
    held: list[CallId] = field(default_factory=list)
    ended: Counter[CallId] = field(default_factory=Counter)
    finished: bool = False

    def step(self, event: events.Event) -> None:
        for action in self.engine.step(event):
            self.do(action)
        assert len(self.starting) + len(self.idle) + len(self.running) + len(self.ending) <= WORKERS
        assert sum(self.asks[call].cpus for call, _ in self.running.values()) <= CPUS
        for call, _ in self.running.values():
            ranks = sorted(rank for other, rank in self.running.values() if other == call)
            assert len(ranks) == len(set(ranks)), "a member of a gang runs twice"

    def do(self, action: actions.Action) -> None:
        match action:
            case actions.Start():
                self.starting.append(action.worker)
            case actions.Send():
                assert action.worker in self.idle, "a call was sent to a worker that is not idle"
                assert not self.ended[action.call], "a call that has ended was sent"
                self.idle.remove(action.worker)
                self.running[action.worker] = (action.call, action.rank)
            case actions.Stop():
                assert action.worker in self.idle, "a worker was stopped that is not idle"
                self.idle.remove(action.worker)
                self.ending.append(action.worker)
            case actions.Kill():
                self.running.pop(action.worker, None)
                self.idle.discard(action.worker)
                if action.worker in self.starting:
                    self.starting.remove(action.worker)
                self.ending.append(action.worker)
            case actions.Deadline():
                self.deadlines[action.call] = action.attempt
            case actions.Hold():
                self.held.append(action.call)
            case actions.Resolve() | actions.Fail() | actions.Cancel():
                self.ended[action.call] += 1
                assert self.ended[action.call] == 1, "a call ended twice"
            case actions.Finished():
                self.finished = True

    def happen(self, what: str, which: int) -> None:
        """One thing of a kind, if there is any to happen."""
        busy = list(self.running)
        match what:
            case "ready" if self.starting:
                worker = self.starting.pop(which % len(self.starting))
                self.idle.add(worker)
                self.step(events.WorkerReady(worker))
            case "answer" | "raise" if busy:
                worker = busy[which % len(busy)]
                call, _ = self.running.pop(worker)
                self.idle.add(worker)
                self.step(events.Answered(worker, call, ok=what == "answer"))
            case "begin" if busy:
                worker = busy[which % len(busy)]
                self.step(events.Begun(worker, self.running[worker][0]))
            case "die" if busy:
                worker = busy[which % len(busy)]
                del self.running[worker]
                self.step(events.WorkerEnded(worker, "killed"))
            case "end" if self.ending:
                self.step(events.WorkerEnded(self.ending.pop(which % len(self.ending)), "exit status 0"))
            case "idle dies" if self.idle:
                worker = sorted(self.idle)[which % len(self.idle)]
                self.idle.remove(worker)
                self.step(events.WorkerEnded(worker, "killed"))
            case "start fails" if self.starting:
                self.step(events.WorkerEnded(self.starting.pop(which % len(self.starting)), "exit status 1"))
            case "time out" if self.deadlines:
                call, attempt = self.deadlines.popitem()
                self.step(events.TimedOut(call, attempt))
            case "waited long" if self.held:
                self.step(events.HeldLong(self.held.pop(which % len(self.held))))
            case "cancel" if self.asks:
                self.step(events.CancelAsked(list(self.asks)[which % len(self.asks)]))

    def submit(self, kind: Kind, size: int, cpus: int, retries: int, timeout_s: float | None) -> None:
        call = CallId(len(self.asks))
        self.asks[call] = events.Ask(call, "any", kind, cpus, 0, retries, timeout_s, size)
        self.step(events.Submitted(self.asks[call]))


SUBMIT = st.tuples(
    st.just("submit"),
    st.sampled_from(KINDS),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from([None, 1.0]),
)
HAPPEN = st.tuples(
    st.sampled_from(
        [
            "ready",
            "answer",
            "answer",
            "raise",
            "begin",
            "die",
            "end",
            "idle dies",
            "start fails",
            "time out",
            "cancel",
            "waited long",
        ]
    ),
    st.integers(0, 9),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(SUBMIT, HAPPEN), max_size=60), st.booleans(), st.sampled_from([0.0, 60.0]))
def test_every_call_ends_once(story: list[tuple], cancel: bool, warm_wait_s: float) -> None:
    """After any story, shutdown and a kind world, each call has ended exactly once and no worker is left."""
    engine = Engine(Capacity(workers=WORKERS, cpus=CPUS), TwoGpus(), warm_wait_s=warm_wait_s)
    tell(World(engine), story, cancel)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(SUBMIT, HAPPEN), max_size=60))
def test_nobody_waits_for_ever_for_a_warm_worker(story: list[tuple]) -> None:
    """In a kind world in which every patience ends, each call ends without a shutdown."""
    world = World(Engine(Capacity(workers=WORKERS, cpus=CPUS), TwoGpus(), warm_wait_s=60.0))
    for what, *how in story:
        if what == "submit":
            world.submit(*how)
        else:
            world.happen(what, *how)

    for _ in range(20 * len(story) + 50):
        for kindly in ("waited long", "end", "ready", "answer"):
            world.happen(kindly, 0)

    assert all(world.ended[call] == 1 for call in world.asks)


SHARED = [
    *KINDS,
    Kind(gpus=0.5),
    Kind(gpus=0.25, gpu_memory_bytes=5),
    Kind(gpus=2),
    Kind(gpus=0.5, gpu_memory_bytes=99),
]
SUBMIT_SHARED = st.tuples(
    st.just("submit"), st.sampled_from(SHARED), st.integers(1, 3), st.just(1), st.integers(0, 1), st.none()
)
READ = st.tuples(st.just("read"), st.sampled_from(["free", "taken", "lost", "all lost", "silent"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(SUBMIT_SHARED, HAPPEN, READ), max_size=60), st.booleans())
def test_every_call_ends_once_on_gpus_that_are_shared_taken_and_lost(story: list[tuple], cancel: bool) -> None:
    """The same where placement gives out shares and memory and readings come in between; at the end nothing is promised."""
    gpus = GpusOfFleet(READINGS["free"])
    world = World(Engine(Capacity(workers=WORKERS, cpus=CPUS), gpus))
    tell(world, story, cancel)

    assert [(one.nbytes, one.share_milli) for one in gpus.promised()] == [(0, 0), (0, 0)]


def gpu(index: int, free_bytes: int = 10) -> GpuReading:
    return GpuReading(f"GPU-{index}", index, "a GPU", 10, 10 - free_bytes, free_bytes)


READINGS = {
    "free": Fleet((gpu(0), gpu(1)), 0),
    "taken": Fleet((gpu(0, 1), gpu(1)), 0),
    "lost": Fleet((gpu(0),), 0, lost=("GPU-1",)),
    "all lost": Fleet((), 0, lost=("GPU-0", "GPU-1")),
    "silent": Fleet((), 0, ("NVML hangs",)),
}


def tell(world: World, story: list[tuple], cancel: bool) -> None:
    """Let it happen, shut down, and let the world be kind: everything must have come to its end."""
    for what, *how in story:
        if what == "submit":
            world.submit(*how)
        elif what == "read":
            world.step(events.GpusRead(READINGS[how[0]]))
        else:
            world.happen(what, *how)

    world.step(events.ShutdownAsked(cancel=cancel))
    world.step(events.GpusRead(READINGS["free"]))
    for _ in range(20 * len(story) + 50):
        for kindly in ("end", "ready", "answer"):
            world.happen(kindly, 0)

    assert world.finished
    assert all(world.ended[call] == 1 for call in world.asks)
    assert [*world.starting, *world.idle, *world.running, *world.ending] == []
