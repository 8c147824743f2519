"""Which GPU a worker gets: by share, by memory, best fit, released at its end. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.config import Config
from gpucache.errors import DoesNotFit
from gpucache.runtime.demand import Resources
from gpucache.runtime.driver import Driver
from gpucache.runtime.gpus import GpusOfFleet
from gpucache.telemetry import Fleet, GpuReading
from gpucache.telemetry.reading import PathBetween
from gpucache.workers import context
from gpucache.workers.kind import Kind, WorkerId

GIB = 2**30


def fleet(*free_gib: int) -> Fleet:
    gpus = tuple(
        GpuReading(f"GPU-{index}", index, "a GPU", size * GIB, 0, size * GIB) for index, size in enumerate(free_gib)
    )
    return Fleet(gpus, read_at_ns=0)


def taker(*free_gib: int) -> Callable[..., tuple[str, ...] | None]:
    places = GpusOfFleet(fleet(*free_gib))
    workers = iter(range(99))
    return lambda gpus, gib=None: places.take(WorkerId(next(workers)), Kind(None, gpus, gib and gib * GIB))


def test_shares_fill_one_gpu_before_the_next() -> None:
    """Two halves go to one GPU, the third to the other."""
    take = taker(80, 80)

    assert [take(0.5), take(0.5), take(0.5)] == [("GPU-0",), ("GPU-0",), ("GPU-1",)]


def test_three_thirds_are_one() -> None:
    """Shares that add up to a GPU fit on it, whatever floats say."""
    take = taker(80)

    assert [take(1 / 3) for _ in range(4)] == [("GPU-0",)] * 3 + [None]


def test_several_gpus_are_joined_by_nvlink() -> None:
    """Of four GPUs that NVLinks join in pairs, two for one worker are a pair."""
    pairs = (PathBetween("GPU-0", "GPU-2", "numa node", 4), PathBetween("GPU-1", "GPU-3", "numa node", 4))
    far = (PathBetween("GPU-0", "GPU-1", "machine", 0),)
    places = GpusOfFleet(replace(fleet(80, 80, 80, 80), paths=(*pairs, *far)))

    assert places.take(WorkerId(0), Kind(None, 2)) == ("GPU-0", "GPU-2")
    assert places.take(WorkerId(1), Kind(None, 2)) == ("GPU-1", "GPU-3")


def test_memory_counts_too() -> None:
    """A tenth of a GPU that wants more memory than is left goes elsewhere, or waits."""
    take = taker(80, 40)

    assert take(0.1, 60) == ("GPU-0",)
    assert take(0.1, 30) == ("GPU-1",)
    assert take(0.1, 30) is None


def test_whole_gpus_are_not_shared() -> None:
    """Two whole GPUs are two that nobody else has; then nothing is left for a tenth."""
    take = taker(80, 80)

    assert take(2) == ("GPU-0", "GPU-1")
    assert take(0.1) is None


def test_what_a_worker_held_is_free_after_it() -> None:
    """give() frees share and memory; giving twice frees nothing more."""
    places = GpusOfFleet(fleet(80))
    places.take(WorkerId(0), Kind(None, 1))
    assert places.take(WorkerId(1), Kind(None, 1)) is None

    places.give(WorkerId(0))
    places.give(WorkerId(0))

    assert places.take(WorkerId(1), Kind(None, 1)) == ("GPU-0",)
    assert places.take(WorkerId(2), Kind(None, 0.1)) is None


@pytest.mark.parametrize(("gpus", "gib", "members"), [(3, None, 1), (0.5, 100, 1), (1, None, 3), (0.5, 50, 3)])
def test_what_can_never_fit_is_known(gpus: float, gib: int | None, members: int) -> None:
    """More GPUs, more memory or a larger gang than the machine could ever hold, even when nothing else runs."""
    places = GpusOfFleet(fleet(80, 40))

    assert places.fits(Kind(None, gpus, gib and gib * GIB), members) == (f"2 of {80 * GIB:,}, {40 * GIB:,} free bytes")
    assert places.fits(Kind(None, 0.5, 10 * GIB), 3) is None


def where() -> tuple[str, str | None, str | None]:
    here = context.current()
    assert here is not None
    return here.device, os.getenv("CUDA_VISIBLE_DEVICES"), os.getenv("CUDA_DEVICE_ORDER")


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_workers_see_the_gpus_that_they_hold(runtime: str) -> None:
    """CUDA_VISIBLE_DEVICES is the UUID in each worker; the same kind reuses the worker, too much is refused."""
    with Driver(Config(runtime=runtime, max_workers=2), read_fleet=lambda: fleet(80, 80)) as driver:
        half = Resources(gpus=0.5)
        seen = {driver.submit(where, resources=half).result() for _ in range(3)}
        both = driver.submit(where, resources=Resources(gpus=1)).result()
        infos = {(worker.device, worker.gpus) for worker in driver.workers()}
        too_much = driver.submit(where, resources=Resources(gpus=4), name="greedy")

        assert seen == {("cuda:0", "GPU-0", "PCI_BUS_ID")}
        assert both == ("cuda:0", "GPU-1", "PCI_BUS_ID")
        assert infos == {("cuda:0", ("GPU-0",)), ("cuda:0", ("GPU-1",))}
        with pytest.raises(DoesNotFit, match=r"'greedy' needs GPUs: 4, but the largest place has 2 of"):
            too_much.result()


@pytest.mark.slow
def test_without_gpus_everything_runs_on_cpus(caplog: pytest.LogCaptureFixture) -> None:
    """A task that asks for a GPU runs on a machine that has none, on the workers of all others; it is said once."""
    with Driver(Config(max_workers=1), read_fleet=lambda: Fleet((), 0, ("no driver",))) as driver:
        device = [driver.submit(where, resources=Resources(gpus=1, gpu_memory_bytes=GIB)).result()[0] for _ in range(2)]
        driver.submit(abs, (1,)).result()
        count = len(driver.workers())

    assert device == ["cpu", "cpu"]
    assert count == 1
    assert [record.message for record in caplog.records].count("tasks that ask for a GPU run on CPUs: no driver") == 1


def test_of_equal_shares_the_memory_decides() -> None:
    """Least room that suffices, by memory too: so the emptiest GPU is left for what needs one."""
    take = taker(80, 80)
    assert [take(0.25, 60), take(0.5, 5), take(0.25, 5)] == [("GPU-0",), ("GPU-0",), ("GPU-0",)]

    take = taker(80, 40)
    assert [take(0.1, 10), take(0.1, 70)] == [("GPU-1",), ("GPU-0",)]

    take = taker(80, 80)
    assert [take(0.1, 10), take(0.1, 75)] == [("GPU-0",), ("GPU-1",)]
    assert [take(0.1, 3), take(0.1, 60)] == [("GPU-1",), ("GPU-0",)]


def test_what_we_promised_is_left_to_nobody() -> None:
    """Half a GPU without a size gets no place where a small share was promised most of the memory, whatever is free of it now."""
    take = taker(80)

    assert take(0.1, 70) == ("GPU-0",)
    assert take(0.5) is None
    assert take(0.1) == ("GPU-0",)


def test_whole_gpus_are_the_smallest() -> None:
    """A GPU without a size asked is the one that the fewest others could make use of."""
    take = taker(80, 40, 60)

    assert [take(1), take(1), take(1)] == [("GPU-1",), ("GPU-2",), ("GPU-0",)]


@pytest.mark.parametrize(
    "kind",
    [Kind(None, 0.0001), Kind(None, 2000), Kind(None, 0.5, 2**60), Kind(None, 1.0, 0)],
    ids=["less than a thousandth", "more GPUs than any machine has", "absurd memory", "no memory"],
)
def test_odd_kinds_end_no_engine(kind: Kind) -> None:
    """What the model of placement would refuse is answered: a thousandth is the least share, absurd amounts never fit."""
    places = GpusOfFleet(fleet(80))

    told = places.fits(kind, 1)
    got = places.take(WorkerId(0), kind)

    assert (told is None) == (got is not None) == (kind.gpus <= 1 and kind.gpu_memory_bytes != 2**60)


def test_promises_are_shown_in_the_order_of_the_gpus() -> None:
    """Memory and time of each, whatever order they are given out in."""
    places = GpusOfFleet(fleet(80, 40))
    places.take(WorkerId(0), Kind(None, 0.25, 4 * GIB))
    places.take(WorkerId(1), Kind(None, 1))

    told = [(one.uuid, one.nbytes, one.share_milli) for one in places.promised()]

    assert told == [("GPU-0", 80 * GIB, 1000), ("GPU-1", 4 * GIB, 250)]
    assert (places.promised_to(WorkerId(0)), places.promised_to(WorkerId(9))) == (4 * GIB, None)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.sampled_from([0.1, 1 / 3, 0.5, 1, 2]), st.sampled_from([None, 5, 30, 70])),
            st.tuples(st.just("give"), st.integers(0, 9), st.none()),
            st.tuples(st.just("read"), st.integers(0, 80), st.integers(0, 120)),
        ),
        max_size=30,
    )
)
def test_more_than_there_is_is_never_promised(steps: list[tuple[str, float, int | None]]) -> None:
    """Whatever is taken, given back and read: shares and bytes stay within each GPU, and what is given back is all there."""
    places, held = GpusOfFleet(fleet(80, 40)), dict[WorkerId, Kind]()
    for number, (what, first, second) in enumerate(steps):
        if what == "take":
            kind = Kind(None, first, second and second * GIB)
            if places.take(WorkerId(number), kind) is not None:
                held[WorkerId(number)] = kind
        elif what == "give" and held:
            worker = sorted(held)[int(first) % len(held)]
            del held[worker]
            places.give(worker)
        elif what == "read":
            places.observe(fleet(int(first), second or 0))
        shares = sum(round(kind.gpus * 1000) for kind in held.values())
        assert sum(one.share_milli for one in places.promised()) == shares
        sizes = {gpu.uuid: gpu.memory_bytes for gpu in places._gpus}
        assert all(0 <= one.nbytes <= sizes[one.uuid] and one.share_milli <= 1000 for one in places.promised())
    for worker in held:
        places.give(worker)

    assert [(one.nbytes, one.share_milli) for one in places.promised()] == [(0, 0), (0, 0)]
