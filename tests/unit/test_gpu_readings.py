"""What later readings of the GPUs change: others' memory, lost GPUs, GPUs in trouble; and calls that wait meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from gpucache.config import Config
from gpucache.errors import DoesNotFit
from gpucache.runtime.actions import Fail, Resolve, Start, Stop
from gpucache.runtime.demand import Resources
from gpucache.runtime.driver import Driver
from gpucache.runtime.engine import Capacity, Engine
from gpucache.runtime.events import Answered, Ask, GpusRead, Submitted, WorkerReady
from gpucache.runtime.gpus import GpusOfFleet
from gpucache.telemetry import Fleet, GpuReading, XidEvent
from gpucache.workers.kind import CallId, Kind, WorkerId

GIB = 2**30
W0, W1, W2 = (WorkerId(number) for number in range(3))


def fleet(*free_gib: int | None, total_gib: int = 80) -> Fleet:
    """GPUs with so much free; None: lost."""
    gpus = [
        GpuReading(f"GPU-{index}", index, "a GPU", total_gib * GIB, (total_gib - free) * GIB, free * GIB)
        for index, free in enumerate(free_gib)
        if free is not None
    ]
    lost = tuple(f"GPU-{index}" for index, free in enumerate(free_gib) if free is None)
    return Fleet(tuple(gpus), 0, lost=lost)


def needs(gib: int | None, share: float = 0.1) -> Kind:
    return Kind(None, share, None if gib is None else gib * GIB)


def test_memory_that_others_take_is_not_there() -> None:
    """A process of someone else's takes 50 of 80 GiB: 60 don't fit any more, 30 do; when it ends they fit again."""
    places = GpusOfFleet(fleet(80))

    places.observe(fleet(30))
    refused, taken = places.take(W0, needs(60)), places.take(W1, needs(30))
    places.observe(fleet(80))

    assert (refused, taken) == (None, ("GPU-0",))
    assert places.take(W2, needs(50)) == ("GPU-0",)


def test_our_own_workers_are_counted_once() -> None:
    """Memory that our workers were promised and have taken is not others'; what goes beyond the promise is."""
    places = GpusOfFleet(fleet(80))
    places.take(W0, needs(40))

    places.observe(fleet(40))
    assert places.take(W1, needs(40)) == ("GPU-0",)
    places.give(W1)
    places.observe(fleet(35))

    assert places.take(W1, needs(40)) is None
    assert places.take(W1, needs(35)) == ("GPU-0",)


def test_a_gpu_that_was_busy_at_first_grows() -> None:
    """What others give back after the first reading can be promised, and fits what did not fit before."""
    places = GpusOfFleet(fleet(20))
    assert places.fits(needs(60), 1) is not None

    places.observe(fleet(80))

    assert places.fits(needs(60), 1) is None
    assert places.take(W0, needs(60)) == ("GPU-0",)


def test_others_delay_but_do_not_refuse() -> None:
    """What fits a GPU that others use waits; it is not told that it can never run."""
    places = GpusOfFleet(fleet(80))

    places.observe(fleet(1))

    assert places.take(W0, needs(60)) is None
    assert places.fits(needs(60), 1) is None


def test_a_worker_that_names_no_memory_makes_do_with_what_is_left() -> None:
    """A whole GPU without a size is given although someone else's context lies on it; it is promised the rest."""
    places = GpusOfFleet(fleet(80))

    places.observe(fleet(79))

    assert places.take(W0, needs(None, share=1)) == ("GPU-0",)


def test_a_lost_gpu_gets_no_worker() -> None:
    """Until it is back; what only it could hold is refused, with the reason."""
    places = GpusOfFleet(fleet(80, 40))

    places.observe(fleet(None, 40))
    assert places.take(W0, needs(30)) == ("GPU-1",)
    assert places.fits(needs(60), 1) == f"1 of {40 * GIB:,} free bytes; GPU-0 gets no new worker: it is lost"
    places.observe(fleet(80, 40))

    assert places.take(W1, needs(60)) == ("GPU-0",)


def test_a_condemned_gpu_gets_no_worker() -> None:
    """An Xid that condemns keeps new work away; one of an application does not."""
    well, ill = fleet(80, 80), fleet(80, 80)
    events = (XidEvent(31, 1, condemns=False), XidEvent(79, 2, condemns=True))
    ill = replace(ill, gpus=tuple(replace(gpu, xids=(event,)) for gpu, event in zip(ill.gpus, events, strict=True)))
    places = GpusOfFleet(well)

    places.observe(ill)

    assert places.troubles() == {"GPU-1": "Xid 79"}
    assert [places.take(worker, needs(None, share=1)) for worker in (W0, W1)] == [("GPU-0",), None]


@pytest.mark.parametrize("silent", [Fleet((), 0, ("NVML hangs",)), replace(fleet(80), gpus=())])
def test_a_driver_that_says_nothing_changes_nothing(silent: Fleet) -> None:
    """Without a reading the promises alone count."""
    places = GpusOfFleet(fleet(80))
    places.take(W0, needs(50))

    places.observe(silent)

    assert places.take(W1, needs(40)) is None
    assert places.take(W1, needs(30)) == ("GPU-0",)


def test_what_was_not_read_stays_as_it_was() -> None:
    """Sizes in the place of readings are no free memory: what others held at the last reading is still theirs."""
    places = GpusOfFleet(fleet(80))
    places.observe(fleet(30))
    unread = fleet(80)

    places.observe(
        replace(unread, gpus=tuple(replace(gpu, memory_free_bytes=None, memory_used_bytes=None) for gpu in unread.gpus))
    )

    assert places.take(W0, needs(60)) is None
    assert places.take(W0, needs(30)) == ("GPU-0",)


# ---------------------------------------------------------------- calls that wait


def waiting() -> tuple[Engine, Kind]:
    """A call that waits for memory which someone else holds."""
    kind = needs(60)
    engine = Engine(Capacity(workers=4, cpus=4), GpusOfFleet(fleet(80)))
    engine.step(GpusRead(fleet(10)))
    assert engine.step(Submitted(Ask(CallId(0), "call0", kind))) == []
    return engine, kind


def test_a_waiting_call_starts_when_others_have_gone() -> None:
    """A reading is enough: nothing else has to happen."""
    engine, kind = waiting()

    assert engine.step(GpusRead(fleet(20))) == []
    assert engine.step(GpusRead(fleet(80))) == [Start(W0, kind, ("GPU-0",))]


def test_a_waiting_call_whose_gpu_is_lost_is_told() -> None:
    """It does not wait for ever: it fails and says which GPU is gone."""
    engine, _ = waiting()

    (action,) = engine.step(GpusRead(fleet(None)))

    assert isinstance(action, Fail)
    assert isinstance(action.error, DoesNotFit)
    assert "GPU-0 gets no new worker: it is lost" in str(action.error)
    assert engine.step(GpusRead(fleet(80))) == []


def test_warm_workers_of_a_lost_gpu_end() -> None:
    """An idle one ends with the reading, one that runs when its call has ended; others stay warm."""
    engine = Engine(Capacity(workers=4, cpus=4), GpusOfFleet(fleet(80, 80)))
    for number, (worker, asked) in enumerate([(W0, needs(60)), (W1, needs(60)), (W2, needs(20))]):
        engine.step(Submitted(Ask(CallId(number), f"call{number}", asked)))
        engine.step(WorkerReady(worker))
    engine.step(Answered(W0, CallId(0), ok=True))
    assert [devices for _, _, _, devices, _ in engine.workers()] == [("GPU-0",), ("GPU-1",), ("GPU-0",)]

    assert engine.step(GpusRead(fleet(None, 80))) == [Stop(W0)]
    assert engine.step(Answered(W2, CallId(2), ok=True)) == [Stop(W2), Resolve(CallId(2), W2)]
    assert engine.step(Answered(W1, CallId(1), ok=True)) == [Resolve(CallId(1), W1)]


class Readings:
    """What the GPUs say, as a test sets it; `seen` waits until readings of what was set last have been acted on."""

    def __init__(self, first: Fleet) -> None:
        self._now = first
        self._changed = threading.Condition()
        self._asked = 0

    def __call__(self) -> Fleet:
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._now

    def say(self, now: Fleet) -> None:
        """Set it, and wait until it was read and the next reading has begun: then the runtime has heard of it."""
        with self._changed:
            self._now = now
            asked = self._asked
            assert self._changed.wait_for(lambda: self._asked >= asked + 2, 60)


@pytest.mark.slow
def test_a_running_driver_hears_of_others(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real runtime: a call waits while someone else holds the memory and runs when it is free; a lost GPU is said once."""
    monkeypatch.setattr("gpucache.runtime.gpu_watch.READ_EVERY_S", 0.01)
    readings = Readings(fleet(80))
    big = Resources(gpus=0.5, gpu_memory_bytes=60 * GIB)
    with Driver(Config(max_workers=2), read_fleet=readings) as driver:
        assert driver.submit(abs, (-1,), resources=Resources(gpus=0.5, gpu_memory_bytes=GIB)).result(60) == 1
        readings.say(fleet(5))
        held_up = driver.submit(abs, (-2,), resources=big)
        readings.say(fleet(5))
        assert not held_up.running()
        assert not held_up.done()

        readings.say(fleet(80))
        assert held_up.result(60) == 2
        readings.say(fleet(None))
        with pytest.raises(DoesNotFit, match="GPU-0 gets no new worker: it is lost"):
            driver.submit(abs, (-3,), resources=Resources(gpus=1)).result(60)
        readings.say(fleet(None))

    assert [record.message for record in caplog.records].count("GPU-0 gets no new worker: it is lost") == 1


@pytest.mark.slow
def test_a_driver_that_hangs_holds_up_nobody_else() -> None:
    """While the first reading does not come, calls without a GPU run; then the one that wants a GPU does."""
    asked, answer = threading.Event(), threading.Event()

    def hangs() -> Fleet:
        asked.set()
        assert answer.wait(60)
        return fleet(80)

    with Driver(Config(max_workers=2), read_fleet=hangs) as driver:
        waiting: list[int] = []
        wants = threading.Thread(
            target=lambda: waiting.append(driver.submit(abs, (-1,), resources=Resources(gpus=1)).result(60))
        )
        wants.start()
        assert asked.wait(60)

        assert driver.submit(abs, (-2,)).result(60) == 2
        assert driver.workers()[0].gpus == ()
        assert waiting == []
        answer.set()
        wants.join(60)

    assert waiting == [1]
