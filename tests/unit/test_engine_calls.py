"""The engine's decisions about calls: order, retries, losses, timeouts, cancellation. Pure: events in, actions out."""

from __future__ import annotations

from gpucache.errors import DoesNotFit, RuntimeUnreachable, TaskTimeout, WorkerLost
from gpucache.runtime.actions import Action, Cancel, Deadline, Fail, Finished, Kill, Resolve, Send, Start, Stop
from gpucache.runtime.engine import PREPARATION_MAX_S, Capacity, Engine
from gpucache.runtime.events import (
    Answered,
    Ask,
    Begun,
    Broke,
    CancelAsked,
    ShutdownAsked,
    Submitted,
    TimedOut,
    WorkerEnded,
    WorkerReady,
)
from gpucache.workers.kind import CallId, Kind, WorkerId

W0, W1, W2, W3 = (WorkerId(number) for number in range(4))
C0, C1, C2, C3 = (CallId(number) for number in range(4))
PLAIN = Kind()


def engine(workers: int = 2, cpus: float = 4, memory_bytes: int = 0) -> Engine:
    return Engine(Capacity(workers=workers, cpus=cpus, memory_bytes=memory_bytes))


def ask(call: CallId, **options: object) -> Submitted:
    return Submitted(Ask(call, f"call{call}", **{"kind": PLAIN, **options}))  # type: ignore[arg-type]


def of(actions: list[Action], kind: type) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def running(workers: int = 1, **options: object) -> Engine:
    """An engine with one warm worker that runs call 0."""
    made = engine(workers)
    made.step(ask(C0, **options))
    made.step(WorkerReady(W0))
    return made


def test_a_worker_starts_only_for_a_call() -> None:
    """Nothing is started before there is a call; then one worker, which gets the call when it is ready."""
    made = engine()

    assert made.step(ask(C0)) == [Start(W0, PLAIN, ())]
    assert made.step(WorkerReady(W0)) == [Send(W0, C0, 0, 1)]


def test_a_warm_worker_is_reused() -> None:
    """A call that comes when a worker is idle starts none."""
    made = running()
    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0)]

    assert made.step(ask(C1)) == [Send(W0, C1, 0, 1)]


def test_workers_are_bounded() -> None:
    """However many calls wait, no more workers are started than the limit."""
    made = engine(workers=2)

    started = [action for number in range(9) for action in of(made.step(ask(CallId(number))), Start)]

    assert started == [Start(W0, PLAIN, ()), Start(W1, PLAIN, ())]


def test_calls_start_in_order() -> None:
    """The next answer of a worker sends it the call that waited longest."""
    made = running()
    made.step(ask(C1))
    made.step(ask(C2))

    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0), Send(W0, C1, 0, 1)]
    assert made.step(Answered(W0, C1, ok=True)) == [Resolve(C1, W0), Send(W0, C2, 0, 1)]


def test_a_dead_workers_call_runs_again_at_the_front() -> None:
    """When a worker dies its call goes to the next worker, before those that waited behind it."""
    made = running()
    made.step(ask(C1))

    assert made.step(WorkerEnded(W0, "killed")) == [Start(W1, PLAIN, ())]
    assert made.step(WorkerReady(W1)) == [Send(W1, C0, 0, 1)]


def test_a_call_that_kills_its_workers_is_lost() -> None:
    """After three deaths the call fails with WorkerLost, which says how; the call behind it goes on."""
    made = running()
    made.step(ask(C1))
    for worker in (W0, W1):
        made.step(WorkerEnded(worker, "killed by SIGSEGV"))
        made.step(WorkerReady(WorkerId(worker + 1)))

    actions = made.step(WorkerEnded(W2, "killed by SIGSEGV"))

    assert str(of(actions, Fail)) == str([Fail(C0, WorkerLost("call0", 3, "killed by SIGSEGV"))])
    assert made.step(WorkerReady(W3)) == [Send(W3, C1, 0, 1)]


def test_a_stale_worker_costs_its_call_nothing() -> None:
    """A worker that ends because the driver's code is newer than its own does not count as a loss."""
    made = running()
    for worker in range(5):
        made.step(WorkerEnded(WorkerId(worker), "stale", stale=True))
        actions = made.step(WorkerReady(WorkerId(worker + 1)))

    assert actions == [Send(WorkerId(5), C0, 0, 1)]


def test_an_answer_after_death_is_ignored() -> None:
    """What a killed worker still said changes nothing: its call has gone elsewhere."""
    made = running(timeout_s=1.0)
    made.step(TimedOut(C0, 1))

    assert made.step(Answered(W0, C0, ok=True)) == []


def test_retries_are_for_exceptions() -> None:
    """A call that raised is run again as often as it asks for, then its exception is the answer."""
    made = running(retries=1)

    assert made.step(Answered(W0, C0, ok=False)) == [Send(W0, C0, 0, 1)]
    assert made.step(Answered(W0, C0, ok=False)) == [Resolve(C0, W0)]


def test_a_timeout_kills_the_worker() -> None:
    """A call over its time fails with TaskTimeout, and its worker is killed."""
    made = engine(workers=1)
    made.step(ask(C0, timeout_s=2.5))
    made.step(WorkerReady(W0))
    assert made.step(Begun(W0, C0)) == [Deadline(C0, 1, 2.5)]

    actions = made.step(TimedOut(C0, 1))

    assert of(actions, Kill) == [Kill(W0)]
    assert str(of(actions, Fail)) == str([Fail(C0, TaskTimeout("call0", 2.5))])


def test_time_counts_from_when_the_call_begins_in_its_worker() -> None:
    """What a worker imports and loads first has a limit of its own; of a gang, the first member to begin counts."""
    made = engine(workers=1)
    made.step(ask(C0, timeout_s=2.5))

    assert Deadline(C0, 1, 2.5 + PREPARATION_MAX_S) in made.step(WorkerReady(W0))
    assert made.step(Begun(W0, C0)) == [Deadline(C0, 1, 2.5)]
    assert made.step(Begun(W0, C0)) == []


def test_a_begin_that_comes_late_is_ignored() -> None:
    """A worker that was lost meanwhile begins nothing."""
    made = running(timeout_s=1.0)
    made.step(TimedOut(C0, 1))

    assert made.step(Begun(W0, C0)) == []


def test_a_deadline_is_for_one_attempt() -> None:
    """The deadline of an attempt that ended does not touch the next one."""
    made = running(retries=1, timeout_s=1.0)
    made.step(Answered(W0, C0, ok=False))

    assert made.step(TimedOut(C0, 1)) == []
    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0)]


def test_a_waiting_call_can_be_cancelled() -> None:
    """A cancelled call is dropped from the queue and never sent."""
    made = running()
    made.step(ask(C1))

    assert made.step(CancelAsked(C1)) == [Cancel(C1)]
    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0)]


def test_a_running_call_runs_on() -> None:
    """Cancelling what runs is not done."""
    made = running()

    assert made.step(CancelAsked(C0)) == []


def test_what_never_fits_fails_at_once() -> None:
    """More CPUs, memory or gang members than there are: DoesNotFit, and nothing is started."""
    made = engine(workers=2, cpus=4, memory_bytes=100)

    for number, too_much in enumerate(({"cpus": 5}, {"memory_bytes": 101}, {"size": 3})):
        actions = made.step(ask(CallId(number), **too_much))
        assert [type(action.error) for action in actions if isinstance(action, Fail)] == [DoesNotFit]
        assert len(actions) == 1


def test_cpus_limit_what_runs_at_a_time() -> None:
    """Calls that ask for three of four CPUs run one after another, on one worker."""
    made = engine(workers=2, cpus=4)
    made.step(ask(C0, cpus=3))
    made.step(WorkerReady(W0))

    assert made.step(ask(C1, cpus=3)) == []
    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0), Send(W0, C1, 0, 1)]


def test_fractions_of_cpus_add_up() -> None:
    """Ten calls of 0.1 CPU fit on one CPU, whatever floats say."""
    made = engine(workers=11, cpus=1)
    for number in range(11):
        made.step(ask(CallId(number), cpus=0.1))

    sent = [action for number in range(10) for action in of(made.step(WorkerReady(WorkerId(number))), Send)]

    assert len(sent) == 10


def test_workers_that_never_come_fail_their_calls() -> None:
    """Three workers in a row that end before they are ready: the calls that wait for them fail with the reason."""
    made = engine(workers=1)
    made.step(ask(C0))
    made.step(WorkerEnded(W0, "exit status 1"))
    made.step(WorkerEnded(W1, "exit status 1"))

    actions = made.step(WorkerEnded(W2, "exit status 1"))

    assert [type(action.error) for action in actions if isinstance(action, Fail)] == [RuntimeUnreachable]
    assert of(actions, Start) == []


def test_a_broken_engine_fails_everything() -> None:
    """After an initializer raised, what waits and what runs fails, and so does what comes later."""
    made = running()
    made.step(ask(C1))
    error = RuntimeError("initializer")

    assert made.step(Broke(error)) == [Kill(W0), Fail(C0, error), Fail(C1, error)]
    assert made.step(ask(C2)) == [Fail(C2, error)]


def test_shutdown_waits_for_what_is_there() -> None:
    """Calls that wait are still run; then idle workers are stopped; when they are gone it has finished."""
    made = running()
    made.step(ask(C1))
    assert made.step(ShutdownAsked(cancel=False)) == []
    made.step(Answered(W0, C0, ok=True))

    assert made.step(Answered(W0, C1, ok=True)) == [Resolve(C1, W0), Stop(W0)]
    assert made.step(WorkerEnded(W0, "exit status 0")) == [Finished()]


def test_shutdown_can_cancel() -> None:
    """Calls that have not begun are cancelled; the running one ends."""
    made = running()
    made.step(ask(C1))

    assert made.step(ShutdownAsked(cancel=True)) == [Cancel(C1)]
    assert made.step(Answered(W0, C0, ok=True)) == [Resolve(C0, W0), Stop(W0)]


def test_shutdown_kills_workers_that_nobody_waits_for() -> None:
    """A worker that is still starting when the last call is gone is killed, and waited for."""
    made = engine()
    made.step(ask(C0))
    made.step(CancelAsked(C0))

    assert made.step(ShutdownAsked(cancel=False)) == [Kill(W0)]
    assert made.step(WorkerEnded(W0, "killed")) == [Finished()]


def test_shutdown_of_nothing() -> None:
    """An engine that never ran anything has finished at once."""
    assert engine().step(ShutdownAsked(cancel=False)) == [Finished()]
