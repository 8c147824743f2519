"""Placement: what fits where, what is taken, and what is given back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.errors import PolicyFailed
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


def state(cluster: Cluster) -> object:
    return cluster.snapshot(), cluster.rooms()


def raises(room: object, demand: object, gpus: object) -> float:
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (raises, "RuntimeError: boom"),
        (lambda room, demand, gpus: float("nan"), "NaN"),
        (lambda room, demand, gpus: "best", "'best'"),
        (lambda room, demand, gpus: None, "None"),
        (lambda room, demand, gpus: np.float32("nan"), "NaN"),
    ],
)
def test_a_broken_policy_is_named_and_changes_nothing(policy: object, said: str) -> None:
    """What it did, and the cluster as before."""
    cluster = Cluster([machine()], policy=policy)
    before = state(cluster)

    with pytest.raises(PolicyFailed, match=said):
        cluster.place(Demand(gpus=0.5))

    assert state(cluster) == before
    cluster.check_integrity()


def test_a_users_policy_chooses() -> None:
    """The highest score wins, whatever the compiled policies would say."""
    cluster = Cluster(
        [machine("a"), machine("b")], policy=lambda room, demand, gpus: room.node.name == "b" and gpus == (1,)
    )

    place = cluster.place(Demand(gpus=0.5))

    assert place is not None
    assert place.gpu_uuids == ("b-1",)


def test_a_policy_may_give_numpys_numbers() -> None:
    """Of any width."""
    for give in (np.int64, np.float32):
        cluster = Cluster([machine("a"), machine("b")], policy=lambda room, demand, gpus: give(room.index))  # noqa: B023
        place = cluster.place(Demand(gpus=0.5, models=[]))
        assert place is not None
        assert place.node == "b"


def test_models_that_nobody_has_are_told_those_there_are() -> None:
    """Instead of the largest GPU of them."""
    cluster = Cluster([Node("n", 1, 0, [Gpu(1, "H100"), Gpu(1, "A10")])])

    assert "the GPUs there are have models A10, H100" in str(cluster.never_fits(Demand(gpus=1, models=("A100",))))


def test_demands_that_can_never_fit_are_told_the_largest() -> None:
    """Said at once, with what would fit."""
    cluster = Cluster([machine(gpus=2)])

    why = cluster.why_not(Demand(gpus=3))

    assert why is not None
    assert why.startswith("never fits: the largest node there is has 8 CPUs")
    assert "2 GPUs" in why
    assert cluster.why_not(Demand(gpus=2)) is None


def test_gangs_are_placed_whole_or_not_at_all() -> None:
    """Three of four fit: none is placed, and the reason counts them."""
    cluster = Cluster([machine("a", gpus=2), machine("b", gpus=1)])
    before = state(cluster)

    assert cluster.place_gang(Demand(gpus=1, gang=4)) is None
    assert state(cluster) == before
    assert (cluster.why_not(Demand(gpus=1, gang=4)) or "").startswith("never fits: a gang of 4, of which 3")
    placed = cluster.place_gang(Demand(gpus=1, gang=3))
    assert placed is not None
    assert len({place.gpu_uuids for place in placed}) == 3
    with pytest.raises(ValueError, match="place_gang"):
        cluster.place(Demand(gpus=1, gang=2))


@pytest.mark.parametrize(
    ("member", "most"),
    [
        (Demand(gpus=1), 3),
        (Demand(gpus=2), 1),
        (Demand(gpus=0.3), 9),
        (Demand(gpus=0.1, gpu_memory_bytes=8 * GIB), 6),
        (Demand(cpus=3), 4),
        (Demand(memory_bytes=30 * GIB), 4),
        (Demand(gpus=0.5, label="x", apart=("x",)), 2),
    ],
)
def test_gangs_that_can_never_fit_are_told_the_largest(member: Demand, most: int) -> None:
    """So many members fit on the empty cluster, and as many are placed; one more is refused for good, with the number."""
    cluster = Cluster([machine("a", gpus=2), machine("b", gpus=1)])
    before = state(cluster)

    assert cluster.ever_fits(replace(member, gang=most))
    why = cluster.never_fits(replace(member, gang=most + 1))
    assert why == cluster.why_not(replace(member, gang=most + 1))
    assert why is not None
    assert why.endswith(f"a gang of {most + 1}, of which {most} would fit were the cluster empty")
    assert state(cluster) == before
    assert len(cluster.place_gang(replace(member, gang=most)) or ()) == most


def test_a_gang_kept_apart_is_told_what_closed_the_rest() -> None:
    """One member to a node: where a stranger keeps one node shut, that is what is short."""
    cluster = Cluster([machine("a"), machine("b")])
    cluster.place(Demand(gpus=0.1, apart=("x",)))

    why = cluster.why_not(Demand(gpus=0.5, gang=2, label="x", apart=("x",)))

    assert (why or "").startswith("1 of 2 members of the gang fit; then kept apart from what is there on 2 of 2 nodes")
    cluster.check_integrity()


def test_a_string_is_no_list_of_what_a_node_holds() -> None:
    """Its letters would be taken for names."""
    with pytest.raises(ValueError, match="one string"):
        Cluster([machine("a")]).set_holds("a", "llama")


def test_higher_priorities_are_placed_first() -> None:
    """The answers stand in the order of the demands."""
    cluster = Cluster([machine(gpus=1)])

    low, high = cluster.place_many([Demand(gpus=1), Demand(gpus=1, priority=5)])

    assert low is None
    assert high is not None


def test_a_node_that_vanishes_takes_its_placements() -> None:
    """They are given back to the caller, can't be released, and nothing is placed there until it returns."""
    cluster = Cluster([machine("a", gpus=1)])
    place = cluster.place(Demand(gpus=1))

    assert cluster.remove_node("a") == (place,)
    assert place is not None
    with pytest.raises(KeyError, match="node removed"):
        cluster.release(place)
    with pytest.raises(KeyError, match="gone already"):
        cluster.remove_node("a")
    assert cluster.place(Demand(gpus=1)) is None
    cluster.return_node("a")
    assert cluster.place(Demand(gpus=1)) is not None
    cluster.check_integrity()


def test_readings_are_checked_as_a_whole() -> None:
    """A GPU that is not there, or a negative size: no reading of that call counts."""
    cluster = Cluster([machine(gpus=1)])
    before = state(cluster)

    with pytest.raises(KeyError, match="no GPU 'n2-0'"):
        cluster.observe({"n1-0": GIB, "n2-0": GIB})
    with pytest.raises(ValueError, match="no size"):
        cluster.observe({"n1-0": -1})
    assert state(cluster) == before


def test_restore_refuses_what_does_not_fit() -> None:
    """A snapshot of a larger cluster, and one with a place taken twice; the state stays."""
    large, small = Cluster([machine(gpus=2)]), Cluster([machine(gpus=1)])
    large.place(Demand(gpus=2))
    before = state(small)

    with pytest.raises(ValueError, match="not there"):
        small.restore(large.snapshot())
    with pytest.raises(KeyError, match="no node"):
        Cluster([machine("other")]).restore(large.snapshot())
    assert state(small) == before


def test_restored_clusters_go_on_alike() -> None:
    """Lots, learned shapes and numbers continue where the snapshot was taken."""
    for policy in ("random", "packed"):
        one = Cluster([machine(f"n{i}") for i in range(4)], policy)
        for turn in range(70):
            place = one.place(Demand(gpus=(0.1, 0.2)[turn % 2]))
            if place is not None and turn % 3 == 0:
                one.release(place)
        other = Cluster([machine(f"n{i}") for i in range(4)], policy)
        other.restore(one.snapshot())

        for _ in range(70):
            assert one.place(Demand(gpus=0.01)) == other.place(Demand(gpus=0.01))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Demand(cpus=float("inf")),
        lambda: Demand(memory_bytes=2**60),
        lambda: Demand(gpus=5000),
        lambda: Demand(gpus=0.0001),
        lambda: Demand(gang=0),
        lambda: Demand(gang=10**9),
        lambda: Demand(gang=1.5),
        lambda: Demand(priority=float("nan")),
        lambda: Demand(memory_bytes=1.5),
        lambda: Demand(gpu_memory_bytes=1e9),
        lambda: Demand(models="A100"),
        lambda: Demand(apart="noisy"),
        lambda: Node("n", 1, 1e9),
        lambda: Node("n", 1, 0, [Gpu(1e9)]),
        lambda: Node("n", 1, 0, holds="llama"),
        lambda: Node("n", float("nan"), 0),
        lambda: Node("n", 1, 2**60),
        lambda: Cluster([Node("n", 1, 0, [Gpu(0, uuid="x"), Gpu(0, uuid="x")])]),
        lambda: Cluster([{"name": "n"}]),
        lambda: Demand(gpus="1"),
        lambda: Demand(gpus=0.0005),
        lambda: Demand(cpus=None),
        lambda: Demand(models=(1,)),
        lambda: Demand(label=3),
        lambda: Demand(joined="no"),
        lambda: Node("", 1, 0),
        lambda: Node(3, 1, 0),
        lambda: Node("n", "8", 0),
        lambda: Node("n", 1, 0, ["GPU"]),
        lambda: Node("n", 1, 0, 2),
    ],
)
def test_absurd_sizes_are_refused(make: object) -> None:
    """Not finite, larger than any machine, smaller than a share, no whole number, one string for several, two GPUs of one name."""
    with pytest.raises(ValueError, match=r"\w"):
        make()
