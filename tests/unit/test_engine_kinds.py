"""The engine's decisions about workers of different kinds, GPUs and gangs. Pure: events in, actions out."""

from __future__ import annotations

from gpucache.errors import DoesNotFit
from gpucache.runtime.actions import Action, Fail, Hold, Kill, Resolve, Send, Start, Stop
from gpucache.runtime.engine import PATIENCE, Capacity, Engine
from gpucache.runtime.events import Answered, Ask, HeldLong, Submitted, WorkerEnded, WorkerReady
from gpucache.workers.kind import CallId, Env, Kind, WorkerId

W0, W1, W2, W3 = (WorkerId(number) for number in range(4))
C0, C1, C2, C3 = (CallId(number) for number in range(4))
PLAIN, OTHER = Kind(), Kind(Env(env_vars={"A": "1"}))
HALF = Kind(gpus=0.5)


class TwoHalves:
    """One GPU that two workers can share."""

    def __init__(self) -> None:
        self.held: set[WorkerId] = set()

    def fits(self, kind: Kind, members: int) -> str | None:
        return "one GPU" if kind.gpus * members > 1 else None

    def take(self, worker: WorkerId, kind: Kind) -> tuple[str, ...] | None:
        if len(self.held) + round(kind.gpus * 2) > 2:
            return None
        self.held.add(worker)
        return ("GPU-a",)

    def give(self, worker: WorkerId) -> None:
        self.held.discard(worker)


def submitted(call: CallId, kind: Kind = PLAIN, **options: object) -> Submitted:
    return Submitted(Ask(call, f"call{call}", kind, **options))  # type: ignore[arg-type]


def of(actions: list[Action], kind: type) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def test_kinds_have_workers_of_their_own() -> None:
    """A warm worker of one environment gets no call of another; with room, a second worker is started."""
    made = Engine(Capacity(workers=2, cpus=4))
    made.step(submitted(C0))
    made.step(WorkerReady(W0))
    made.step(Answered(W0, C0, ok=True))

    assert made.step(submitted(C1, OTHER)) == [Start(W1, OTHER, ())]


def test_an_idle_worker_gives_way() -> None:
    """Without room for a worker of the kind that is needed, an idle one of another kind is stopped, then the new one starts."""
    made = Engine(Capacity(workers=1, cpus=4))
    made.step(submitted(C0))
    made.step(WorkerReady(W0))
    made.step(Answered(W0, C0, ok=True))

    assert made.step(submitted(C1, OTHER)) == [Stop(W0)]
    assert made.step(WorkerEnded(W0, "exit status 0")) == [Start(W1, OTHER, ())]


def test_patience_with_warm_workers_is_bounded() -> None:
    """Younger calls of a warm kind overtake an older one of a cold kind so often and no more."""
    made = Engine(Capacity(workers=1, cpus=4))
    made.step(submitted(C0))
    made.step(WorkerReady(W0))
    made.step(submitted(C1, OTHER))
    for number in range(2, 30):
        made.step(submitted(CallId(number)))

    sent, running = [], C0
    while not of(actions := made.step(Answered(W0, running, ok=True)), Stop):
        running = next(action.call for action in actions if isinstance(action, Send))
        sent.append(running)

    assert len(sent) == PATIENCE
    assert made.step(WorkerEnded(W0, "exit status 0")) == [Start(W1, OTHER, ())]


def test_workers_of_an_old_generation_end() -> None:
    """When a module was reloaded, warm workers that have the old one are stopped and never used for the new."""
    made = Engine(Capacity(workers=2, cpus=4))
    made.step(submitted(C0))
    made.step(WorkerReady(W0))
    made.step(Answered(W0, C0, ok=True))

    actions = made.step(submitted(C1, Kind(generation=1)))

    assert of(actions, Send) == []
    assert of(actions, Stop) == [Stop(W0)]


def test_a_worker_holds_its_gpu_while_it_lives() -> None:
    """Two halves share a GPU; a third worker waits until one of them has ended."""
    made = Engine(Capacity(workers=4, cpus=4), TwoHalves())
    for call in (C0, C1):
        made.step(submitted(call, HALF))
    for worker in (W0, W1):
        made.step(WorkerReady(worker))

    assert made.step(submitted(C2, Kind(gpus=0.5, gpu_memory_bytes=1))) == []
    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0), Stop(W0)]
    assert made.step(WorkerEnded(W0, "exit status 0")) == [Start(W2, Kind(gpus=0.5, gpu_memory_bytes=1), ("GPU-a",))]


def test_more_gpus_than_there_are() -> None:
    """A call that asks for more than the machine has fails at once."""
    made = Engine(Capacity(workers=4, cpus=4), TwoHalves())

    actions = made.step(submitted(C0, Kind(gpus=2)))

    assert [type(action.error) for action in actions if isinstance(action, Fail)] == [DoesNotFit]


def gang(workers: int = 2) -> Engine:
    """An engine that runs a gang of two on workers 0 and 1."""
    made = Engine(Capacity(workers=workers, cpus=4))
    made.step(submitted(C0, size=2))
    made.step(WorkerReady(W0))
    made.step(WorkerReady(W1))
    return made


def test_a_gang_starts_together_or_not_at_all() -> None:
    """Nobody gets the call before every member has a worker; then each gets its rank."""
    made = Engine(Capacity(workers=2, cpus=4))

    assert made.step(submitted(C0, size=2)) == [Start(W0, PLAIN, ()), Start(W1, PLAIN, ())]
    assert made.step(WorkerReady(W0)) == []
    actions = made.step(WorkerReady(W1))

    assert {(action.rank, action.size) for action in actions if isinstance(action, Send)} == {(0, 2), (1, 2)}
    assert len({action.worker for action in actions if isinstance(action, Send)}) == 2


def test_a_gangs_result_is_rank_0s() -> None:
    """A gang ends when all have answered, with the answer of rank 0, whoever was last."""
    made = Engine(Capacity(workers=2, cpus=4))
    made.step(submitted(C0, size=2))
    made.step(WorkerReady(W0))
    ranks = {a.rank: a.worker for a in made.step(WorkerReady(W1)) if isinstance(a, Send)}

    assert made.step(Answered(ranks[0], C0, ok=True)) == []
    assert made.step(Answered(ranks[1], C0, ok=True)) == [Resolve(C0, ranks[0])]


def test_a_member_that_raises_ends_the_gang() -> None:
    """The others may wait for it without end, so they are killed; its exception is the answer."""
    made = gang()

    assert made.step(Answered(W0, C0, ok=False)) == [Kill(W1), Resolve(C0, W0)]


def test_a_member_that_dies_restarts_the_gang() -> None:
    """When a member's worker dies the others are killed, and the gang is run again, whole."""
    made = gang()

    assert made.step(WorkerEnded(W0, "killed")) == [Kill(W1), Start(W2, PLAIN, ())]
    assert made.step(WorkerEnded(W1, "killed")) == [Start(W3, PLAIN, ())]
    made.step(WorkerReady(W2))
    assert len(of(made.step(WorkerReady(W3)), Send)) == 2


def test_a_gang_is_not_starved() -> None:
    """A gang that waits for a second worker gets it: a call behind it does not take the idle one."""
    made = Engine(Capacity(workers=2, cpus=4))
    made.step(submitted(C0))
    made.step(WorkerReady(W0))
    made.step(submitted(C1, size=2))
    made.step(WorkerReady(W1))

    assert made.step(submitted(C2)) == []
    assert len(of(made.step(Answered(W0, C0, ok=True)), Send)) == 2


def test_what_a_call_waits_for_is_said() -> None:
    """A queued call says in words what it waits for."""
    made = Engine(Capacity(workers=1, cpus=1))
    made.step(submitted(C0))
    starting = made.waits_for(C0)
    made.step(WorkerReady(W0))
    made.step(submitted(C1))

    assert starting == "a worker that is starting"
    assert made.waits_for(C0) is None
    assert made.waits_for(C1) == "CPUs or memory"


def test_gangs_do_not_hold_workers_from_one_another() -> None:
    """With only idle workers of the wrong kinds left and two gangs waiting, the older gang's way is cleared."""
    made = Engine(Capacity(workers=3, cpus=4))
    made.step(submitted(C0, size=2))
    made.step(submitted(C1, size=3))
    made.step(submitted(C2, OTHER, size=2))
    for worker in (W0, W1):
        made.step(WorkerReady(worker))
    made.step(WorkerReady(W2))
    made.step(Answered(W0, C0, ok=True))

    assert made.step(Answered(W1, C0, ok=True)) == [Resolve(C0, W1), Stop(W2)]


def warm(made: Engine, worker: WorkerId, call: CallId, kind: Kind = PLAIN) -> Engine:
    """A worker of a kind, idle."""
    made.step(submitted(call, kind))
    made.step(WorkerReady(worker))
    made.step(Answered(worker, call, ok=True))
    return made


def test_workers_without_a_gpu_stay_when_a_gpu_is_short() -> None:
    """To stop a worker that holds no GPU would give none free."""
    small, large = Kind(gpus=0.5, gpu_memory_bytes=1), Kind(gpus=0.5, gpu_memory_bytes=2)
    made = Engine(Capacity(workers=4, cpus=4), TwoHalves())
    for worker, call, kind in ((W0, C0, PLAIN), (W1, C1, small), (W2, C2, large)):
        warm(made, worker, call, kind)

    assert made.step(submitted(C3, HALF)) == [Stop(W1)]


def two_kinds() -> Engine:
    """Room for two workers: W0, busy with C2, and W1 of another kind, idle. C3 waits for W0."""
    made = warm(warm(Engine(Capacity(workers=2, cpus=4), warm_wait_s=60), W0, C0), W1, C1, OTHER)
    made.step(submitted(C2))
    assert made.step(submitted(C3)) == [Hold(C3, 60)]
    assert made.waits_for(C3) == "a worker that is warm, for 60 s at most"
    return made


def test_a_call_waits_for_the_busy_worker_of_its_kind() -> None:
    """With warm_wait_s it gets that worker, nobody was stopped for it, and the end of its patience says nothing."""
    made = two_kinds()

    assert made.step(Answered(W0, C2, ok=True)) == [Resolve(C2, W0), Send(W0, C3, 0, 1)]
    assert made.step(HeldLong(C3)) == []
    assert made.step(Answered(W0, C3, ok=True)) == [Resolve(C3, W0)]
    assert made.step(HeldLong(C3)) == []


def test_patience_ends() -> None:
    """After warm_wait_s the worker of another kind is stopped for it, as without."""
    made = two_kinds()

    assert made.step(HeldLong(C3)) == [Stop(W1)]
    assert made.step(WorkerEnded(W1, "exit status 0")) == [Start(W2, PLAIN, ())]


def test_a_killed_worker_that_is_waited_for() -> None:
    """Its call runs again, first; who waited goes on waiting for the new one, no longer than before."""
    made = two_kinds()

    assert made.step(WorkerEnded(W0, "killed")) == [Start(W2, PLAIN, ())]
    assert made.step(WorkerReady(W2)) == [Send(W2, C2, 0, 1)]
    assert made.step(HeldLong(C3)) == [Stop(W1)]


def test_without_a_worker_of_its_kind_nobody_waits() -> None:
    """There is nothing to wait for."""
    made = warm(Engine(Capacity(workers=1, cpus=4), warm_wait_s=60), W0, C0)

    assert made.step(submitted(C1, OTHER)) == [Hold(C1, 60), Stop(W0)]
    assert made.waits_for(C1) == "a worker"


def test_a_free_place_is_used_at_once() -> None:
    """Nobody waits for a warm worker while there is room for another."""
    made = warm(Engine(Capacity(workers=2, cpus=4), warm_wait_s=60), W0, C0)
    made.step(submitted(C1))

    assert of(made.step(submitted(C2)), Start) == [Start(W1, PLAIN, ())]
