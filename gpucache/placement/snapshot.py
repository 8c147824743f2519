"""All that a cluster knows beside its nodes, as a value: what is placed, what is said of nodes and GPUs, what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpucache.placement.books import Books
from gpucache.placement.model import Demand, Placement
from gpucache.placement.shapes import Shape


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a cluster knows beside its nodes.

    Attributes:
        foreign_bytes: Memory that others use, by GPU uuid; those of which they use none are left out.
        asked, shapes: What `fgd` and `packed` expect.
        holds: What nodes hold, where it is not what their Node says.
        closed: Nodes that are out of service, and why.
        out: GPUs that are out of service, by uuid.
        gone: Nodes that were removed.
    """

    placements: tuple[Placement, ...]
    foreign_bytes: Mapping[str, int]
    next_id: int
    decisions: int
    asked: Mapping[Demand, int]
    shapes: tuple[Shape, ...]
    holds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)
    out: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def is_free_for(books: Books, node: int, uuids: Sequence[str], placement: Placement) -> bool:
    """Whether a placement's GPUs are so many as it asks for, each once, by these names, and have room for it."""
    gpus, demand = placement.gpu_indices, placement.demand
    return (
        len(set(gpus)) == len(gpus) == demand.gpu_count
        and set(books.fitting(node, demand)).issuperset(gpus)
        and tuple(uuids[gpu] for gpu in gpus) == placement.gpu_uuids
    )


def holds_told(books: Books) -> dict[str, frozenset[str]]:
    """What nodes hold, where it is not what their Node says."""
    return {node.name: holds for node, holds in zip(books.nodes, books.holds, strict=True) if holds != node.holds}


def gone_from(books: Books) -> frozenset[str]:
    """The nodes that were removed."""
    return frozenset(
        node.name for index, node in enumerate(books.nodes) if not books.alive[index] and index not in books.closed
    )
