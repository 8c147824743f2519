"""The compiled chooser gives the places that the Python policies give; each policy does what it is named for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucache.placement import Cluster, Demand, Gpu, Node, Placement, Room
from gpucache.placement._scores import CODES
from gpucache.placement.policies import Fgd, Random

GIB = 2**30

demands = st.builds(
    Demand,
    gpus=st.sampled_from([0, 0.1, 0.25, 0.5, 0.6, 0.999, 1, 2, 3, 8]),
    gpu_memory_bytes=st.sampled_from([None, 0, GIB, 20 * GIB]),
    cpus=st.sampled_from([0, 0.5, 1, 4, 12.345]),
    memory_bytes=st.sampled_from([0, GIB, 7 * GIB]),
    models=st.sampled_from([(), ("A",), ("A", "B"), ("C",)]),
    joined=st.booleans(),
)
ISLANDS: tuple[tuple[tuple[int, ...], ...], ...] = (
    (),
    ((0, 1), (2, 3)),
    ((3, 1), (0, 2)),
    ((1, 2, 4),),
    ((0, 1, 2, 3, 4),),
)
nodes = st.lists(
    st.tuples(
        st.sampled_from([0, 2, 8, 96]),
        st.sampled_from([0, 8 * GIB, 64 * GIB]),
        st.lists(st.sampled_from([Gpu(16 * GIB, "A"), Gpu(80 * GIB, "B"), Gpu(24 * GIB)]), max_size=5),
        st.sampled_from(ISLANDS),
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("policy", CODES)
@given(
    nodes,
    st.lists(demands, max_size=5),
    st.lists(st.tuples(demands, st.integers(0, 3), st.integers(0, 9)), max_size=25),
)
def test_compiled_places_are_the_oracles(
    policy: str, have: list[tuple], expected: list[Demand], asked: list[tuple[Demand, int, int]]
) -> None:
    """Whatever is placed, released and read, both choose the same node and GPUs, and the books add up."""
    machines = [
        Node(f"n{i}", cpus, memory, gpus, islands=tuple(tuple(g for g in group if g < len(gpus)) for group in islands))
        for i, (cpus, memory, gpus, islands) in enumerate(have)
    ]
    fast = Cluster(machines, policy, expected=expected)
    slow = Cluster(machines, policy, expected=expected, compiled=False)
    placed: list[Placement] = []
    for demand, release, foreign in asked:
        place = fast.place(demand)
        assert place == slow.place(demand)
        if place is not None:
            placed.append(place)
            if foreign == 9 and place.gpu_uuids:
                fast.observe({place.gpu_uuids[0]: GIB})
                slow.observe({place.gpu_uuids[0]: GIB})
            if foreign in (7, 8) and place.gpu_uuids:
                for cluster in (fast, slow):
                    (cluster.set_out_of_service if foreign == 8 else cluster.return_to_service)(place.gpu_uuids[0])
        if not release and placed:
            gone = placed.pop(0)
            fast.release(gone)
            slow.release(gone)
    fast.check_integrity()


@pytest.mark.parametrize("islands", [((0,), ()), ((), (), (), (0,)), ((), ())])
def test_islands_without_a_gpu_are_none(islands: tuple[tuple[int, ...], ...]) -> None:
    """They take no number, for which the compiled chooser would have no room."""
    machines = [Node("n", 8, GIB, [Gpu(GIB)] * 2, islands=islands)]

    for demand in (Demand(gpus=2, joined=True), Demand(gpus=2), Demand(gpus=1)):
        fast, slow = Cluster(machines), Cluster(machines, compiled=False)
        assert [fast.place(demand) for _ in range(3)] == [slow.place(demand) for _ in range(3)]
    assert Cluster(machines).place(Demand(gpus=2, joined=True)) is None


class MyFgd(Fgd):
    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        return room.index


class MyRandom(Random):
    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        return room.index


class Versioned:
    code = "v1"

    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        return room.index


@pytest.mark.parametrize("policy", [MyFgd(), MyRandom(), Versioned()])
def test_a_policy_that_is_derived_from_ours_is_asked(policy: object) -> None:
    """Not the compiled one of the class that it was derived from; and an attribute `code` of its own means nothing."""
    cluster = Cluster([Node("a", 8, 0, [Gpu(0)]), Node("b", 8, 0, [Gpu(0)])], policy)

    place = cluster.place(Demand(gpus=0.5))

    assert place is not None
    assert place.node == "b"


def test_learning_clusters_agree() -> None:
    """A cluster that learns what to expect learns the same with either chooser."""
    machines = [Node(f"n{i}", 16, 0, [Gpu(0, "A")] * 4) for i in range(8)]
    fast, slow = Cluster(machines, "fgd"), Cluster(machines, "fgd", compiled=False)
    for turn in range(140):
        demand = Demand(gpus=(0.1, 0.5, 1)[turn % 3], cpus=turn % 4)
        assert fast.place(demand) == slow.place(demand)


@pytest.mark.parametrize("compiled", [True, False])
def test_fgd_leaves_whole_gpus(compiled: bool) -> None:
    """Where whole GPUs and shares are expected, a share goes where one is shared already."""
    expected = {Demand(gpus=2): 10, Demand(gpus=0.5): 10}
    cluster = Cluster(
        [Node("a", 8, 0, [Gpu(0)] * 2), Node("b", 8, 0, [Gpu(0)] * 3)], "fgd", expected=expected, compiled=compiled
    )

    places = [cluster.place(Demand(gpus=0.5)) for _ in range(2)]

    assert [(place.node, place.gpu_indices) for place in places if place] == [("b", (0,)), ("b", (0,))]


@pytest.mark.parametrize("compiled", [True, False])
def test_packed_keeps_scarce_models(compiled: bool) -> None:
    """A task that may use any GPU leaves the model that others name, though it comes first."""
    nodes_ = [Node("scarce", 64, 0, [Gpu(0, "A")] * 2), Node("plenty", 64, 0, [Gpu(0, "B")] * 8)]
    expected = {Demand(gpus=1, models=("A",)): 10, Demand(gpus=1): 10}
    cluster = Cluster(nodes_, "packed", expected=expected, compiled=compiled)

    place = cluster.place(Demand(gpus=1))

    assert place is not None
    assert place.node == "plenty"


def test_locality_goes_where_the_weights_are() -> None:
    """The node that holds more of what is wanted near wins over the better fit."""
    cluster = Cluster([Node("a", 8, 0, [Gpu(0)]), Node("b", 80, 0, [Gpu(0)] * 8)], "locality")
    cluster.set_holds("b", ["llama"])

    place = cluster.place(Demand(gpus=0.5, near=("llama",)))

    assert place is not None
    assert place.node == "b"


def test_clustering_keeps_kinds_apart() -> None:
    """Whole-GPU tasks go to the node that has such tasks, shares to an idle one."""
    cluster = Cluster([Node(name, 64, 0, [Gpu(0)] * 4) for name in "ab"], "gpu_clustering")

    places = [cluster.place(Demand(gpus=gpus)) for gpus in (1, 0.5, 1, 0.5)]

    assert [place.node for place in places if place] == ["a", "b", "a", "b"]


def test_random_follows_its_seed() -> None:
    """Equal seeds give equal places, other seeds others; all nodes are used."""
    machines = [Node(f"n{i}", 100, 0) for i in range(4)]
    runs = []
    for seed in (1, 1, 2):
        cluster = Cluster(machines, Random(seed))
        runs.append([place.node for place in (cluster.place(Demand(cpus=1)) for _ in range(40)) if place])

    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {"n0", "n1", "n2", "n3"}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("policy", ["fgd", "packed", "best_fit"])
def test_a_gpu_out_of_service_is_no_room(policy: str, compiled: bool) -> None:
    """Scores and fragmentation() are those of a node that never had the GPU, and again those of before when it is back."""
    expected = [Demand(gpus=2), Demand(gpus=0.5)]
    wide = Node("wide", 8, GIB, [Gpu(16 * GIB)] * 4)
    narrow = Node("narrow", 8, GIB, [Gpu(16 * GIB)] * 2)
    whole = Cluster([narrow, replace(narrow, name="wide")], policy, expected=expected, compiled=compiled)
    maimed = Cluster([narrow, wide], policy, expected=expected, compiled=compiled)
    for index in (2, 3):
        maimed.set_out_of_service(f"wide/{index}")

    for demand in (Demand(gpus=0.5, cpus=1), Demand(gpus=1), Demand(gpus=0.25)):
        assert maimed.place(demand) == whole.place(demand)
        assert maimed.fragmentation() == whole.fragmentation()
    assert maimed.rooms()[1].share_milli[2:] == (0, 0)
    maimed.check_integrity()
    for index in (2, 3):
        maimed.return_to_service(f"wide/{index}")
    assert maimed.rooms()[1].share_milli[2:] == (1000, 1000)
    maimed.check_integrity()


@pytest.mark.parametrize("compiled", [True, False])
def test_what_runs_on_a_gpu_that_goes_out_of_service(compiled: bool) -> None:
    """It may be released meanwhile, and the books say so when the GPU is back."""
    cluster = Cluster([Node("a", 8, GIB, [Gpu(16 * GIB)])], "fgd", compiled=compiled)
    stays, goes = cluster.place(Demand(gpus=0.5)), cluster.place(Demand(gpus=0.25))
    assert stays is not None
    assert goes is not None
    cluster.set_out_of_service("a/0")

    cluster.release(goes)
    assert cluster.fragmentation() == 0
    cluster.check_integrity()
    cluster.restore(cluster.snapshot())
    cluster.return_to_service("a/0")

    assert cluster.rooms()[0].share_milli == (500,)
    cluster.check_integrity()
