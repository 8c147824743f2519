"""Placement: what fits where, what is taken, and what is given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.placement import Cluster, Demand, Gpu, Node
from gpucache.placement.policies import BY_NAME

GIB = 2**30


def machine(name: str = "n1", gpus: int = 2, memory_bytes: int = 16 * GIB) -> Node:
    return Node(name, cpus=8, memory_bytes=64 * GIB, gpus=[Gpu(memory_bytes, uuid=f"{name}-{i}") for i in range(gpus)])


def test_shares_are_packed_onto_one_gpu() -> None:
    """Best fit fills a GPU before it opens another."""
    cluster = Cluster([machine()], policy="best_fit")

    places = [cluster.place(Demand(gpus=0.5)) for _ in range(3)]

    assert [place.gpu_uuids for place in places if place] == [("n1-0",), ("n1-0",), ("n1-1",)]


def test_worst_fit_spreads() -> None:
    """Worst fit takes the GPU with most room."""
    cluster = Cluster([machine()], policy="worst_fit")

    places = [cluster.place(Demand(gpus=0.25)) for _ in range(2)]

    assert [place.gpu_indices for place in places if place] == [(0,), (1,)]


def test_memory_limits_as_well_as_share() -> None:
    """A share that is free is no use without the memory; why_not says so."""
    cluster = Cluster([machine(gpus=1)])
    cluster.place(Demand(gpus=0.1, gpu_memory_bytes=12 * GIB))

    demand = Demand(gpus=0.1, gpu_memory_bytes=8 * GIB)

    assert cluster.place(demand) is None
    assert (cluster.why_not(demand) or "").startswith("too few GPUs with room on 1 of 1 nodes; nearest: n1 with 8 CPUs")
    assert cluster.ever_fits(demand)


def test_memory_of_others_is_not_promised() -> None:
    """What a reading says that others use is gone."""
    cluster = Cluster([machine(gpus=1)])

    cluster.observe({"n1-0": 10 * GIB})

    assert cluster.place(Demand(gpus=0.5, gpu_memory_bytes=8 * GIB)) is None
    assert cluster.place(Demand(gpus=0.5, gpu_memory_bytes=6 * GIB)) is not None


def test_whole_gpus_are_not_shared() -> None:
    """A demand for two GPUs takes two that nobody has anything of."""
    cluster = Cluster([machine(gpus=3)])
    cluster.place(Demand(gpus=0.1))

    place = cluster.place(Demand(gpus=2))

    assert place is not None
    assert place.gpu_indices == (1, 2)


def test_release_twice_is_an_error_and_changes_nothing() -> None:
    """The second release names the placement."""
    cluster = Cluster([machine()])
    place = cluster.place(Demand(gpus=1))
    assert place is not None
    cluster.release(place)

    with pytest.raises(KeyError, match="released before"):
        cluster.release(place)
    cluster.check_integrity()


@pytest.mark.parametrize("make", [lambda: Demand(gpus=-1), lambda: Demand(gpus=1.5), lambda: Demand(cpus=float("nan"))])
def test_absurd_demands_are_refused(make: object) -> None:
    """Negative, fractional above one, and not a number."""
    with pytest.raises(ValueError, match=r"gpus|nothing"):
        make()


def test_bad_clusters_are_refused() -> None:
    """Two nodes of one name, a negative size, an unknown policy, a policy that gives NaN."""
    with pytest.raises(ValueError, match="came twice"):
        Cluster([machine(), machine()])
    with pytest.raises(ValueError, match="negative"):
        Cluster([machine(memory_bytes=-1)])
    with pytest.raises(ValueError, match="no policy"):
        Cluster([machine()], policy="magic")
    with pytest.raises(ValueError, match="NaN"):
        Cluster([machine()], policy=lambda room, demand, gpus: float("nan")).place(Demand(gpus=1))


@given(
    st.sampled_from(sorted(BY_NAME)),
    st.lists(st.tuples(st.sampled_from([0, 0.1, 0.3, 0.5, 1, 2]), st.integers(0, 4)), max_size=40),
)
def test_books_always_add_up(policy: str, demands: list[tuple[float, int]]) -> None:
    """Whatever is placed and released, nothing is promised twice and an emptied cluster is as new."""
    cluster = Cluster([machine("a"), machine("b", gpus=1)], policy=policy)
    fresh = cluster.rooms()
    placed = [cluster.place(Demand(gpus=gpus, cpus=cpus)) for gpus, cpus in demands]
    for room in cluster.rooms():
        assert min(room.shares) > -1e-6
        assert room.cpus >= 0
    cluster.check_integrity()

    cluster.restore(cluster.snapshot())
    cluster.check_integrity()
    for place in placed:
        if place is not None:
            cluster.release(place)

    assert [room.cpus for room in cluster.rooms()] == [room.cpus for room in fresh]
    assert all(share > 1 - 1e-6 for room in cluster.rooms() for share in room.shares)
