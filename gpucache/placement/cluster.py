"""Put demands on nodes and GPUs and take them away again. Pure and deterministic: the same calls give the same places.

Promises and readings both count: what a placement was promised is gone from the room, and so is what observe() was told
that others use. Nothing is changed by a call that raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gpucache.placement.model import Demand, Node, Placement, Room
from gpucache.placement.policies import Policy, by_name, checked

EPSILON = 1e-9
"""Shares are sums of fractions; a tenth ten times is all of a GPU."""


@dataclass
class _State:
    """What of one node is taken."""

    node: Node
    cpus: float = 0.0
    memory_bytes: int = 0
    shares: list[float] = field(default_factory=list)
    gpu_bytes: list[int] = field(default_factory=list)
    foreign_bytes: list[int] = field(default_factory=list)

    def room(self) -> Room:
        gpus = range(len(self.node.gpus))
        return Room(
            self.node,
            self.node.cpus - self.cpus,
            self.node.memory_bytes - self.memory_bytes,
            tuple(1.0 - self.shares[i] for i in gpus),
            tuple(self.node.gpus[i].memory_bytes - self.gpu_bytes[i] - self.foreign_bytes[i] for i in gpus),
        )


class Cluster:
    """Nodes, and what is placed on them. One thread at a time.

    Args:
        nodes: Their names must differ.
        policy: A name (see policies.BY_NAME), or a function that scores a place.

    Raises:
        ValueError: Two nodes of one name, a negative size, an unknown policy.
    """

    def __init__(self, nodes: Sequence[Node], policy: str | Policy = "best_fit") -> None:
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"nodes must have names of their own; {', '.join(twice)} came twice")
        for node in nodes:
            if min([node.cpus, node.memory_bytes, *(gpu.memory_bytes for gpu in node.gpus)]) < 0:
                raise ValueError(f"node {node.name!r} has a negative size")
        self._policy = by_name(policy)
        self._states = {node.name: _state(node) for node in nodes}
        self._placements: dict[int, Placement] = {}
        self._next = 1

    def place(self, demand: Demand) -> Placement | None:
        """Take the best place for a demand; None if it fits nowhere now (why_not() says what is short)."""
        best: tuple[float, _State, tuple[int, ...]] | None = None
        for state in self._states.values():
            room = state.room()
            for gpus in _choices(room, demand):
                score = checked(self._policy(room, demand, gpus), self._policy)
                if best is None or score > best[0]:
                    best = (score, state, gpus)
        if best is None:
            return None
        _, state, gpus = best
        placement = Placement(
            self._next,
            state.node.name,
            demand,
            gpus,
            tuple(state.node.gpus[i].uuid or f"{state.node.name}/{i}" for i in gpus),
            max((_bytes_on(state.node, i, demand) for i in gpus), default=0),
        )
        self._next += 1
        self._take(state, placement, 1)
        self._placements[placement.id] = placement
        return placement

    def release(self, placement: Placement) -> None:
        """Give a place back.

        Raises:
            KeyError: It is not placed here, or was released before; nothing changed.
        """
        if self._placements.get(placement.id) != placement:
            raise KeyError(f"placement {placement.id} is not on this cluster; was it released before?")
        del self._placements[placement.id]
        self._take(self._states[placement.node], placement, -1)

    def observe(self, foreign_bytes: Mapping[str, int]) -> None:
        """Say how much memory others than this cluster's placements use, by GPU uuid; GPUs not named keep what they had."""
        for state in self._states.values():
            for index, gpu in enumerate(state.node.gpus):
                state.foreign_bytes[index] = max(0, foreign_bytes.get(gpu.uuid, state.foreign_bytes[index]))

    def why_not(self, demand: Demand) -> str | None:
        """Why a demand fits nowhere: which limit, on how many nodes. None if it fits somewhere now."""
        reasons: dict[str, int] = {}
        for state in self._states.values():
            reason = _what_is_short(state.room(), demand)
            if reason is None:
                return None
            reasons[reason] = reasons.get(reason, 0) + 1
        if not reasons:
            return "there are no nodes"
        told = sorted(reasons.items(), key=lambda item: -item[1])
        return "; ".join(f"{reason} on {count} of {len(self._states)} nodes" for reason, count in told)

    def ever_fits(self, demand: Demand) -> bool:
        """Whether the demand would fit on this cluster if it were empty."""
        return any(_what_is_short(_state(state.node).room(), demand) is None for state in self._states.values())

    def rooms(self) -> tuple[Room, ...]:
        """What is left on each node."""
        return tuple(state.room() for state in self._states.values())

    def snapshot(self) -> tuple[Placement, ...]:
        """All placements: with the nodes, all there is to know."""
        return tuple(self._placements.values())

    def restore(self, placements: Sequence[Placement]) -> None:
        """Have exactly these placements, as snapshot() gave them.

        Raises:
            KeyError: One names a node that is not here; nothing changed.
        """
        missing = [placement.node for placement in placements if placement.node not in self._states]
        if missing:
            raise KeyError(f"no node {missing[0]!r} on this cluster")
        fresh = {name: _state(state.node) for name, state in self._states.items()}
        for name, state in fresh.items():
            state.foreign_bytes = self._states[name].foreign_bytes
        for placement in placements:
            self._take(fresh[placement.node], placement, 1)
        self._states = fresh
        self._placements = {placement.id: placement for placement in placements}
        self._next = max(self._placements, default=0) + 1

    def check_integrity(self) -> None:
        """See that what is taken is what the placements say. Raises AssertionError: a bug of gpucache."""
        counted = {name: _state(state.node) for name, state in self._states.items()}
        for placement in self._placements.values():
            self._take(counted[placement.node], placement, 1)
        for name, state in self._states.items():
            same = counted[name].gpu_bytes == state.gpu_bytes and counted[name].memory_bytes == state.memory_bytes
            near = all(abs(a - b) < 1e-6 for a, b in zip(counted[name].shares, state.shares, strict=True))
            if not same or not near:
                raise AssertionError(f"node {name!r} does not add up: {state} against {counted[name]}")

    @staticmethod
    def _take(state: _State, placement: Placement, sign: int) -> None:
        demand = placement.demand
        state.cpus += sign * demand.cpus
        state.memory_bytes += sign * demand.memory_bytes
        for index in placement.gpu_indices:
            state.shares[index] = max(0.0, state.shares[index] + sign * min(1.0, demand.gpus))
            state.gpu_bytes[index] += sign * _bytes_on(state.node, index, demand)


def _state(node: Node) -> _State:
    count = len(node.gpus)
    return _State(node, shares=[0.0] * count, gpu_bytes=[0] * count, foreign_bytes=[0] * count)


def _bytes_on(node: Node, index: int, demand: Demand) -> int:
    """What a demand takes of a GPU's memory: what it declares, else what its share amounts to."""
    if demand.gpu_memory_bytes is not None:
        return demand.gpu_memory_bytes
    return int(node.gpus[index].memory_bytes * min(1.0, demand.gpus))


def _choices(room: Room, demand: Demand) -> Iterator[tuple[int, ...]]:
    """The sets of GPUs on a node that a demand could have."""
    if _what_is_short(room, demand) is not None:
        return
    fitting = [index for index in range(len(room.shares)) if _gpu_fits(room, demand, index)]
    if demand.gpus == 0:
        yield ()
    elif demand.gpus < 1:
        yield from ((index,) for index in fitting)
    else:
        yield tuple(fitting[: int(demand.gpus)])


def _gpu_fits(room: Room, demand: Demand, index: int) -> bool:
    model = room.node.gpus[index].model
    if demand.models and model not in demand.models:
        return False
    return room.shares[index] + EPSILON >= min(1.0, demand.gpus) and room.gpu_bytes[index] >= _bytes_on(
        room.node, index, demand
    )


def _what_is_short(room: Room, demand: Demand) -> str | None:
    if room.cpus + EPSILON < demand.cpus:
        return "too few CPUs"
    if room.memory_bytes < demand.memory_bytes:
        return "too little memory"
    if demand.gpus == 0:
        return None
    if demand.models and not any(gpu.model in demand.models for gpu in room.node.gpus):
        return f"no GPU of model {' or '.join(demand.models)}"
    fitting = sum(_gpu_fits(room, demand, index) for index in range(len(room.shares)))
    return None if fitting >= max(1, int(demand.gpus)) else "too few GPUs with room"
