"""Which GPUs go together, who is kept apart from whom, and what is out of service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.placement import Cluster, Demand, Gpu, Node
from gpucache.placement.islands import together

GIB = 2**30


def node(name: str, gpus: int = 2, islands: tuple[tuple[int, ...], ...] = ()) -> Node:
    return Node(
        name, 64, 256 * GIB, tuple(Gpu(80 * GIB, uuid=f"{name}-{index}") for index in range(gpus)), islands=islands
    )


def test_several_gpus_are_of_one_island() -> None:
    """Two GPUs of an island of two leave the island of four whole; four are those of the island that has them."""
    cluster = Cluster([node("a", 6, ((0, 2), (1, 3, 4, 5)))])

    pair = cluster.place(Demand(gpus=2))
    four = cluster.place(Demand(gpus=4))

    assert pair is not None
    assert four is not None
    assert (pair.gpu_indices, four.gpu_indices) == ((0, 2), (1, 3, 4, 5))
    cluster.check_integrity()


def test_islands_are_crossed_only_where_none_is_large_enough() -> None:
    """Three of islands of two: one whole island, and one GPU beside; a node without islands takes the first."""
    assert together([0, 1, 2, 3], 3, ((0, 2), (1, 3))) == (0, 1, 2)
    assert together([1, 2, 3], 2, ((0, 2), (1, 3))) == (1, 3)
    assert together([0, 1, 2], 2, ()) == (0, 1)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("policy", ["packed", "fgd", "first_fit", "best_fit", "random", "ray"])
def test_a_node_with_an_island_free_comes_first(policy: str, compiled: bool) -> None:
    """Two GPUs go where two joined ones are free, whatever the policy prefers; across islands only if nothing else is left."""
    split, joined = node("split", 4, ((0, 1), (2, 3))), node("joined", 4, ((0, 1), (2, 3)))
    cluster = Cluster([split, joined], policy, compiled=compiled)
    held = [cluster.place(Demand(gpus=1)) for _ in range(8)]
    for placement in held:
        assert placement is not None
        if placement.gpu_uuids[0] in {"split-0", "split-2", "joined-2", "joined-3"}:
            cluster.release(placement)

    pairs = [cluster.place(Demand(gpus=2)) for _ in range(2)]

    assert [pair and pair.gpu_uuids for pair in pairs] == [("joined-2", "joined-3"), ("split-0", "split-2")]


@pytest.mark.parametrize("compiled", [True, False])
def test_joined_is_a_demand(compiled: bool) -> None:
    """With joined=True a demand waits for an island, and is told what is short, now or for ever."""
    cluster = Cluster([node("a", 4, ((0, 1), (2, 3)))], compiled=compiled)
    cluster.observe({"a-0": 80 * GIB, "a-2": 80 * GIB})
    pair = Demand(gpus=2, joined=True)

    assert cluster.place(pair) is None
    assert "too few GPUs with room on one island on 1 of 1 nodes" in str(cluster.why_not(pair))
    assert cluster.never_fits(pair) is None
    assert "2 GPUs joined in one island" in str(cluster.never_fits(Demand(gpus=3, joined=True)))
    assert "of which 2 would fit" in str(cluster.never_fits(Demand(gpus=2, joined=True, gang=3)))
    assert cluster.place(Demand(gpus=2)) is not None


@pytest.mark.parametrize("compiled", [True, False])
def test_a_gang_stays_on_one_island(compiled: bool) -> None:
    """Members of one GPU each are put where an island has room for all, else one by one."""
    cluster = Cluster([node("a", 4, ((0, 2), (1, 3))), node("b", 4, ((0, 1), (2, 3)))], compiled=compiled)
    held = [cluster.place(Demand(gpus=1)) for _ in range(8)]
    for placement in held:
        assert placement is not None
        if placement.gpu_uuids[0] in {"a-0", "a-1", "b-2", "b-3"}:
            cluster.release(placement)
    pair = Demand(gpus=1, gang=2, cpus=0.3, memory_bytes=7)

    first, second = cluster.place_gang(pair), cluster.place_gang(pair)

    assert [member.gpu_uuids for member in first or ()] == [("b-2",), ("b-3",)]
    assert sorted(member.gpu_uuids for member in second or ()) == [("a-0",), ("a-1",)]
    assert cluster.place_gang(pair) is None
    cluster.check_integrity()
    for member in (*(first or ()), *(second or ())):
        cluster.release(member)
    cluster.check_integrity()


@given(
    fitting=st.sets(st.integers(0, 7), min_size=1).map(sorted),
    cut=st.integers(0, 8),
    data=st.data(),
)
def test_together_takes_what_fits(fitting: list[int], cut: int, data: st.DataObject) -> None:
    """So many as were asked for, each once, all of them fitting; from one island if one has enough."""
    islands = (tuple(range(cut)), tuple(range(cut, 8)))
    count = data.draw(st.integers(1, len(fitting)))

    taken = together(fitting, count, islands)

    assert len(set(taken)) == count
    assert set(taken) <= set(fitting)
    if any(len(set(island) & set(fitting)) >= count for island in islands):
        assert any(set(taken) <= set(island) for island in islands)


def test_islands_must_name_gpus_that_are_there() -> None:
    """Once each, and no others."""
    with pytest.raises(ValueError, match="must name each once"):
        node("a", 2, ((0, 0),))
    with pytest.raises(ValueError, match="must name each once"):
        node("a", 2, ((0, 2),))


def test_what_hurts_a_neighbour_is_kept_apart() -> None:
    """Whichever comes first; with its label gone the node is open again; why_not() says what closed it."""
    noisy, quiet = Demand(gpus=0.25, label="noisy"), Demand(gpus=0.25, apart=("noisy",))
    cluster = Cluster([node("a"), node("b")], "best_fit")

    first = cluster.place(noisy)
    second = cluster.place(quiet)
    third = cluster.place(noisy)

    assert [placed and placed.node for placed in (first, second, third)] == ["a", "b", "a"]
    assert first is not None
    assert third is not None
    also = cluster.place(Demand(gpus=0.25))
    assert also is not None  # who has no label is nobody's business
    cluster.check_integrity()
    only = Cluster([node("a")])
    held = only.place(noisy)
    assert only.place(quiet) is None
    assert "kept apart from what is there on 1 of 1 nodes" in str(only.why_not(quiet))
    assert only.never_fits(quiet) is None
    assert held is not None
    only.release(held)
    assert only.place(quiet) is not None


def test_labels_survive_a_snapshot() -> None:
    """restore() knows who is where."""
    cluster = Cluster([node("a")])
    cluster.place(Demand(gpus=0.25, label="noisy"))
    other = Cluster([node("a")])

    other.restore(cluster.snapshot())

    assert other.place(Demand(gpus=0.25, apart=("noisy",))) is None


@pytest.mark.parametrize("compiled", [True, False])
def test_out_of_service(*, compiled: bool) -> None:
    """Nothing new comes to a GPU or a node that is out of service; what is there stays, and is released as ever."""
    cluster = Cluster([node("a"), node("b")], "first_fit", compiled=compiled)
    there = cluster.place(Demand(gpus=1))
    assert there is not None
    assert there.gpu_uuids == ("a-0",)

    cluster.set_out_of_service("a-1")
    moved = cluster.place(Demand(gpus=0.5, gpu_memory_bytes=0))
    assert moved is not None
    assert moved.node == "b"
    cluster.set_out_of_service("b", "its fan is loud")
    assert cluster.place(Demand(gpus=0.5)) is None
    assert "its fan is loud on 1 of 2 nodes" in str(cluster.why_not(Demand(gpus=0.5)))
    assert cluster.ever_fits(Demand(gpus=2))
    cluster.check_integrity()
    cluster.restore(cluster.snapshot())
    cluster.release(there)
    cluster.set_out_of_service("a-0")
    assert cluster.place(Demand(gpus=0.5)) is None

    for name in ("a-0", "a-1", "b"):
        cluster.return_to_service(name)
    whole = cluster.place(Demand(gpus=2))
    assert whole is not None
    assert whole.node == "a"
    cluster.check_integrity()
    with pytest.raises(KeyError, match="no node 'nowhere'"):
        cluster.set_out_of_service("nowhere")
    cluster.remove_node("b")
    with pytest.raises(KeyError, match="is gone"):
        cluster.return_to_service("b")
