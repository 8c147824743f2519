"""Placement: what fits where, what is taken, and what is given back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.errors import PolicyFailed
from gpucache.placement import Cluster, Demand, Gpu, Node
from gpucache.placement.policies import BY_NAME, Fgd

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
    assert cluster.why_not(demand) == (
        "too little GPU memory left on 1 of 1 nodes; nearest: n1 with 8 CPUs, 64 GiB of memory and of its GPUs 0.9 (4 GiB) left"
    )
    assert cluster.ever_fits(demand)


@pytest.mark.parametrize(
    ("demand", "limit"),
    [
        (Demand(cpus=8), "too few CPUs"),
        (Demand(memory_bytes=64 * GIB), "too little memory"),
        (Demand(gpus=0.2, models=("A10",)), "no GPU of model A10"),
        (Demand(gpus=0.5), "too few GPUs with enough of their share left"),
        (Demand(gpus=1), "too few whole GPUs left"),
        (Demand(gpus=0.2, gpu_memory_bytes=15 * GIB), "too little GPU memory left"),
        (Demand(gpus=0.2, gpu_memory_bytes=10 * GIB), "too little GPU memory left beside what others use"),
    ],
)
def test_the_limit_is_named(demand: Demand, limit: str) -> None:
    """CPUs, memory, model, share, GPU memory, and GPU memory that others took are different limits; the nearest node is named."""
    empty = Node("empty", 8, 64 * GIB, [Gpu(1, "A10"), Gpu(1, "A10")])
    cluster = Cluster([machine(gpus=1), empty])
    cluster.remove_node("empty")
    cluster.place(Demand(gpus=0.6, cpus=1, memory_bytes=GIB, gpu_memory_bytes=2 * GIB))
    cluster.observe({"n1-0": 6 * GIB})
    if demand.models:
        cluster.return_node("empty")
        cluster.place(Demand(gpus=2))

    assert (cluster.why_not(demand) or "").startswith(f"{limit} on 1 of 2 nodes")


def test_gpus_out_of_service_are_named_as_such() -> None:
    """They are not full."""
    cluster = Cluster([machine()])
    cluster.set_out_of_service("n1-0")

    assert (cluster.why_not(Demand(gpus=2)) or "").startswith("too few GPUs in service on 1 of 1 nodes")


def test_memory_of_others_is_not_promised() -> None:
    """What a reading says that others use is gone."""
    cluster = Cluster([machine(gpus=1)])

    cluster.observe({"n1-0": 10 * GIB})

    assert cluster.place(Demand(gpus=0.5, gpu_memory_bytes=8 * GIB)) is None
    assert cluster.place(Demand(gpus=0.5, gpu_memory_bytes=6 * GIB)) is not None


def test_the_smallest_of_cpus_is_not_nothing() -> None:
    """A thousandth is taken for less than one: a node's CPUs don't feed tasks without end."""
    cluster = Cluster([Node("n", cpus=0.002, memory_bytes=0)])

    assert [cluster.place(Demand(cpus=0.0001)) is not None for _ in range(3)] == [True, True, False]


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
        (lambda room, demand, gpus: Fraction(10**400), "no float"),
        (lambda room, demand, gpus: (1, 2), "\\(1, 2\\)"),
        (lambda room: 0, "TypeError"),
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


def test_a_policy_that_places_is_refused() -> None:
    """What it took would be given to the one that it was asked about as well."""

    def places(room: object, demand: object, gpus: object) -> float:
        cluster.place(Demand(gpus=1))
        return 0

    cluster = Cluster([machine(gpus=1)], policy=places)
    before = state(cluster)

    with pytest.raises(PolicyFailed, match="can't place anything itself"):
        cluster.place(Demand(gpus=1))

    assert state(cluster) == before
    cluster.check_integrity()


def test_scores_have_no_largest() -> None:
    """Whole numbers beyond every float are compared as they are."""
    cluster = Cluster([machine("a"), machine("b")], policy=lambda room, demand, gpus: 10**400 + room.index)

    place = cluster.place(Demand(gpus=0.5))

    assert place is not None
    assert place.node == "b"


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


@pytest.mark.parametrize(
    ("demand", "most", "what"),
    [
        (Demand(gpus=3, cpus=2), {"gpus": 2}, "2 GPUs"),
        (Demand(cpus=9, gpus=1, models=("A10",)), {"cpus": 4}, "4 CPUs"),
        (Demand(memory_bytes=65 * GIB), {"memory_bytes": 64 * GIB}, f"{64 * GIB:,} bytes of memory"),
        (
            Demand(gpus=2, cpus=8, gpu_memory_bytes=17 * GIB),
            {"gpu_memory_bytes": 16 * GIB},
            f"{16 * GIB:,} bytes of each GPU",
        ),
    ],
)
def test_the_largest_that_would_fit_does(demand: Demand, most: dict[str, int], what: str) -> None:
    """With the rest as asked; and one more of it does not."""
    cluster = Cluster([machine(gpus=2), Node("small", 4, 64 * GIB, [Gpu(24 * GIB, "A10")])])

    assert str(cluster.never_fits(demand)).endswith(f"with the rest as asked would fit: {what} at most")
    assert cluster.place(replace(demand, **most)) is not None
    ((field, largest),) = most.items()
    assert not cluster.ever_fits(replace(demand, **{field: largest + 1}))


def test_where_there_is_no_gpu_or_no_node_left_that_is_said() -> None:
    """Instead of GPUs of nought bytes."""
    cluster = Cluster([Node("n", 8, GIB)])

    assert "1,073,741,824 bytes of memory and no GPU, not always" in str(cluster.why_not(Demand(gpus=1)))
    cluster.remove_node("n")
    assert cluster.why_not(Demand(cpus=1)) == "never fits: every node is gone"
    cluster.return_node("n")
    assert cluster.why_not(Demand(cpus=1)) is None


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


def test_generators_are_taken_once_and_sets_in_one_order() -> None:
    """Names that came from a generator are not lost, and a set's order, which differs between processes, is no matter."""
    demand = Demand(gpus=1, models=(name for name in ["A10"]))  # type: ignore[arg-type]

    assert demand.models == ("A10",)
    assert Demand(gpus=1, models={"c", "a", "b"}).models == ("a", "b", "c")  # type: ignore[arg-type]
    assert Cluster(machine(name) for name in "ab").place(Demand(gpus=1)) is not None


def test_a_node_is_not_changed_through_its_makers_list() -> None:
    """The books were made of what it was."""
    gpus = [Gpu(GIB)]
    node = Node("n", 1, 0, gpus)
    gpus.append(Gpu(GIB))

    assert node.gpus == (Gpu(GIB),)
    assert hash(node)


def test_an_interrupted_placing_of_many_changes_nothing() -> None:
    """Ctrl-C in a user's policy, after some were placed."""
    asked = []

    def interrupted(room: object, demand: object, gpus: object) -> float:
        asked.append(demand)
        if len(asked) > 3:
            raise KeyboardInterrupt
        return 0

    cluster = Cluster([machine(gpus=1)], policy=interrupted)
    before = state(cluster)

    with pytest.raises(KeyboardInterrupt):
        cluster.place_many([Demand(gpus=0.1)] * 9)

    assert state(cluster) == before
    cluster.check_integrity()


NO_DEMANDS = [None, "gpu", {"gpus": 1}, 5]


@pytest.mark.parametrize("method", ["place", "place_gang", "place_many", "why_not", "never_fits", "ever_fits"])
@pytest.mark.parametrize("given", NO_DEMANDS)
def test_what_is_no_demand_is_refused_by_name(method: str, given: object) -> None:
    """Whatever is asked about it; nothing changes."""
    cluster = Cluster([machine()])
    before = state(cluster)

    with pytest.raises(ValueError, match=r"is no Demand|several demands"):
        getattr(cluster, method)(given)

    assert state(cluster) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda cluster: cluster.place_many(Demand(gpus=1)),
        lambda cluster: cluster.place_many([Demand(gpus=1), None]),
        lambda cluster: cluster.observe(None),
        lambda cluster: cluster.observe([("n1-0", 1)]),
        lambda cluster: cluster.set_holds("n1", [1]),
        lambda cluster: cluster.set_holds("n1", None),
        lambda cluster: cluster.restore(None),
        lambda cluster: cluster.restore({}),
    ],
)
def test_other_things_are_refused(call: Callable[[Cluster], object]) -> None:
    """In words, and nothing changes."""
    cluster = Cluster([machine()])
    before = state(cluster)

    with pytest.raises(ValueError, match=r"\w"):
        call(cluster)

    assert state(cluster) == before


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


def test_restore_refuses_a_forged_snapshot() -> None:
    """One GPU taken twice by one placement, fewer GPUs than asked, another GPU's name, a number that is to come again."""
    cluster = Cluster([machine(gpus=2)])
    (place,) = cluster.place_many([Demand(gpus=2)])
    assert place is not None
    told = cluster.snapshot()
    before = state(cluster)

    for forged in (
        replace(place, gpu_indices=(0, 0)),
        replace(place, gpu_indices=(0,)),
        replace(place, gpu_uuids=("n1-0", "other")),
        replace(place, id=told.next_id),
    ):
        with pytest.raises(ValueError, match="placement"):
            cluster.restore(replace(told, placements=(forged,)))
    assert state(cluster) == before


@pytest.mark.parametrize("policy", ["packed", "locality", "random", "ray"])
def test_another_process_goes_on_with_all_that_was_said(policy: str) -> None:
    """What nodes hold, what is out of service, gone, closed or used by others comes with a snapshot, also through a pickle."""
    machines = [replace(machine(name), holds=frozenset({"old"})) for name in "abcdef"]
    one, other = Cluster(machines, policy), Cluster(machines, policy)
    one.place(Demand(gpus=0.5, label="noisy"))
    one.set_holds("e", ["llama"])
    one.set_out_of_service("a-0")
    one.set_out_of_service("b", "maintenance")
    one.remove_node("c")
    one.observe({"d-1": 15 * GIB})

    other.restore(pickle.loads(pickle.dumps(one.snapshot())))

    assert state(other) == state(one)
    demand = Demand(gpus=0.3, near=("llama",), apart=("noisy",))
    for _ in range(20):
        assert other.why_not(demand) == one.why_not(demand)
        assert other.place(demand) == one.place(demand)
    for cluster in (one, other):
        cluster.return_node("c")
        cluster.return_to_service("b")
        cluster.return_to_service("a-0")
    assert state(other) == state(one)
    other.check_integrity()


def test_what_went_out_of_service_since_stays_out() -> None:
    """Going back to what was promised mends no GPU."""
    cluster = Cluster([machine("a"), machine("b"), machine("c")])
    before = cluster.snapshot()
    cluster.set_out_of_service("a-0")
    cluster.set_out_of_service("b")
    cluster.remove_node("c")

    cluster.restore(before)

    assert cluster.why_not(Demand(gpus=2)) is not None
    assert len(cluster.rooms()) == 1


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
        lambda: Node("n", 1, 0, [Gpu(0)] * 1001),
        lambda: Node("n", 1, 0, [Gpu(0)], islands=(0,)),
        lambda: Node("n", 1, 0, [Gpu(0)], islands=None),
        lambda: Node("n", 1, 0, [Gpu(0)], islands=(("a",),)),
        lambda: Gpu(-1),
        lambda: Gpu(None),
        lambda: Gpu(0, model=None),
        lambda: Gpu(0, uuid=7),
        lambda: Cluster(None),
        lambda: Cluster(machine()),
        lambda: Cluster([], policy=["fgd"]),
        lambda: Cluster([], policy=Fgd),
        lambda: Cluster([], expected=[1]),
        lambda: Cluster([], expected="fgd"),
        lambda: Cluster([], expected=[[]]),
        lambda: Cluster([], expected={Demand(gpus=1): -1}),
        lambda: Cluster([], expected={Demand(gpus=1): 0.5}),
        lambda: Cluster([], expected={Demand(gpus=1): 10**30}),
    ],
)
def test_absurd_sizes_are_refused(make: object) -> None:
    """Not finite, larger than any machine, smaller than a share, no whole number, one string for several, two GPUs of one name."""
    with pytest.raises(ValueError, match=r"\w"):
        make()
