"""Put demands on nodes and GPUs and take them away again. Pure and deterministic: the same calls give the same places.

Promises and readings both count: what a placement was promised is gone from the room, and so is what observe() was told
that others use. Nothing is changed by a call that raises.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

from gpucache.placement import _scores, choice
from gpucache.placement.books import Books
from gpucache.placement.gangs import as_one, why_no_gang
from gpucache.placement.integrity import check
from gpucache.placement.model import (
    LARGEST_BYTES,
    Demand,
    Node,
    Placement,
    Room,
    a_demand,
    demands_of,
    distinct,
    texts_of,
    uuids_of,
)
from gpucache.placement.neighbours import Neighbours
from gpucache.placement.policies import BY_NAME, PACKED_POPULAR_PERCENT, Fgd, Packed, Policy, by_name, compiled_name
from gpucache.placement.reasons import why_never, why_not_now
from gpucache.placement.shapes import POPULAR_PERCENT, PRIOR, Shape, counted, fragment, popular_shapes
from gpucache.placement.snapshot import Snapshot, gone_from, holds_told, is_free_for

LEARN_FROM = 64
"""Demands seen before a cluster that was told nothing expects more like them; again at every doubling."""


class Cluster:
    """Nodes, and what is placed on them. One thread at a time.

    Args:
        nodes: Their names must differ.
        policy: A name (see policies.BY_NAME), or a function that scores a place, given the Room on a node, the Demand, and the
            indices of the GPUs considered (policies.Policy).
        expected: The demands that are to come, or like those that are, with their numbers: what `fgd` and `packed` weigh.
            Without them they learn from what is asked.
        compiled: False has the policy's Python version choose: slow, and the same places.

    Raises:
        ValueError: Two nodes or GPUs of one name, an unknown policy, something else where nodes or demands go.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        policy: str | Policy = "packed",
        *,
        expected: Iterable[Demand] | Mapping[Demand, int] = (),
        compiled: bool = True,
    ) -> None:
        nodes = distinct(nodes)
        self._books = Books(nodes)
        self._index = {node.name: index for index, node in enumerate(nodes)}
        self._uuids = [uuids_of(node) for node in nodes]
        self._gpu_index = {uuid: index for index, uuid in enumerate(chain.from_iterable(self._uuids))}
        self._placements: dict[int, Placement] = {}
        self._neighbours = Neighbours()
        self._has_islands = any(node.islands for node in nodes)
        self._next, self._decisions = 1, 0
        self._is_choosing = False
        self._given, self._compiled = by_name(policy), compiled
        self._asked = counted(expected)
        self._learns = isinstance(policy, str) and policy in {"fgd", "packed"} and not self._asked
        self._shapes = self._expected() if self._asked else PRIOR
        self._chooser = self._make_chooser()

    def place(self, demand: Demand) -> Placement | None:
        """Take the best place for a demand; None if it fits nowhere now (why_not() says what is short).

        Raises:
            ValueError: It is no demand, or a gang; place_gang() places those.
            PolicyFailed: The policy raised, or gave no number.
        """
        if a_demand(demand).gang != 1:
            raise ValueError(f"a gang of {demand.gang} is placed by place_gang(), all or nothing")
        place = self._choose(demand)
        self._decisions += 1
        if self._learns:
            self._learn(demand)
        if place is None:
            return None
        node, gpus = place
        placement = self._placement(self._next, node, gpus, demand)
        self._next += 1
        self._take(placement)
        return placement

    def place_many(self, demands: Iterable[Demand], *, all_or_nothing: bool = False) -> list[Placement | None]:
        """Place several, higher priorities first, in their order; the answers are in the order of the demands.

        Args:
            demands: None of them a gang.
            all_or_nothing: Place them all, or have the cluster as it was and only None in the answer.

        Raises:
            ValueError: Something is no demand, or a gang; nothing was placed.
            PolicyFailed: The policy raised, or gave no number; nothing was placed.
        """
        demands = demands_of(demands)
        answers: list[Placement | None] = [None] * len(demands)
        before, tried = (self._next, self._decisions, self._shapes, self._chooser), list[Demand]()
        try:
            for index in sorted(range(len(demands)), key=lambda index: -demands[index].priority):
                answers[index] = self.place(demands[index])
                tried.append(demands[index])
                if all_or_nothing and answers[index] is None:
                    break
        except BaseException:  # an interrupt, too
            self._undo(answers, before, tried)
            raise
        if all_or_nothing and None in answers:
            self._undo(answers, before, tried)
            return [None] * len(demands)
        return answers

    def place_gang(self, demand: Demand) -> tuple[Placement, ...] | None:
        """Place all members of a gang, or none (None): on one island of GPUs if one has room for all of them, else one by one."""
        whole = as_one(a_demand(demand)) if self._has_islands else None
        place = None if whole is None else self._choose(whole)
        if place is not None:
            return self._place_side_by_side(demand, *place)
        members = self.place_many([replace(a_demand(demand), gang=1)] * demand.gang, all_or_nothing=True)
        placed = tuple(member for member in members if member is not None)
        return placed if len(placed) == demand.gang else None

    def release(self, placement: Placement) -> None:
        """Give a place back.

        Raises:
            KeyError: It is not placed here, was released before, or its node is gone; nothing changed.
        """
        if self._placements.get(getattr(placement, "id", 0)) != placement or placement is None:
            raise KeyError(
                f"placement {getattr(placement, 'id', placement)} is not on this cluster; was it released before, or its node removed?"
            )
        del self._placements[placement.id]
        self._books.take(self._index[placement.node], placement.gpu_indices, placement.demand, -1)
        self._neighbours.take(self._index[placement.node], placement.demand, -1)

    def set_out_of_service(self, name: str, why: str = "out of service") -> None:
        """Let nothing new onto a node, or a GPU by its uuid; what is there stays until it is released.

        Raises:
            KeyError: There is no such node or GPU, or the node is gone; nothing changed.
        """
        if name in self._gpu_index:
            self._set_out(name, out=True)
            return
        self._books.close(self._there(name), why)

    def return_to_service(self, name: str) -> None:
        """A node or a GPU is well again.

        Raises:
            KeyError: There is no such node or GPU, or the node is gone (return_node() is for those); nothing changed.
        """
        if name in self._gpu_index:
            self._set_out(name, out=False)
            return
        self._books.open(self._there(name))

    def remove_node(self, name: str) -> tuple[Placement, ...]:
        """A node is gone, and what was placed on it with it: those placements, to be placed again by whoever asked.

        Raises:
            KeyError: No such node, or it is gone already; nothing changed.
        """
        index = self._there(name)
        lost = tuple(placement for placement in self._placements.values() if placement.node == name)
        for placement in lost:
            self.release(placement)
        self._books.alive[index] = 0
        self._books.closed.pop(index, None)
        self._books.version[index] += 1
        return lost

    def return_node(self, name: str) -> None:
        """A node that was removed is back, empty.

        Raises:
            KeyError: There was no such node.
        """
        self._books.open(self._node(name))

    def observe(self, foreign_bytes: Mapping[str, int]) -> None:
        """Say how much memory others than this cluster's placements use, by GPU uuid; GPUs not named keep what they had.

        Raises:
            KeyError: There is no GPU of that uuid here; nothing changed.
            ValueError: Negative or absurd, or no mapping; nothing changed.
        """
        if not isinstance(foreign_bytes, Mapping):
            raise ValueError(f"foreign_bytes={foreign_bytes!r} must map GPU uuids to bytes")  # noqa: TRY004 - as all bad amounts
        for uuid, nbytes in foreign_bytes.items():
            if uuid not in self._gpu_index:
                raise KeyError(f"no GPU {uuid!r} on this cluster")
            if not hasattr(nbytes, "__index__") or not 0 <= nbytes <= LARGEST_BYTES:
                raise ValueError(f"GPU {uuid!r}: {nbytes} bytes used by others is no size")
        for uuid, nbytes in foreign_bytes.items():
            self._books.set_foreign(self._gpu_index[uuid], int(nbytes))
            self._touch(self._gpu_index[uuid])

    def set_holds(self, node: str, names: Iterable[str]) -> None:
        """Say which residents and artifacts a node holds now.

        Raises:
            KeyError: There is no such node; nothing changed.
            ValueError: A string instead of several, or something that is no text; nothing changed.
        """
        index = self._node(node)
        self._books.holds[index] = frozenset(texts_of(f"node {node!r}", "names", names))
        self._books.version[index] += 1

    def why_not(self, demand: Demand) -> str | None:
        """Why a demand fits nowhere: which limit, on how many nodes, and what is nearest; None if it fits somewhere now."""
        if a_demand(demand).gang > 1:
            return why_no_gang(self, demand)
        with self._kept_apart(demand):
            return why_not_now(self._books, demand)

    def never_fits(self, demand: Demand) -> str | None:
        """Why a demand would not fit if the cluster were empty, with the largest that would; None if it would."""
        return why_never(self._books, a_demand(demand))

    def ever_fits(self, demand: Demand) -> bool:
        """Whether the demand would fit on this cluster if it were empty."""
        return why_never(self._books, a_demand(demand)) is None

    def rooms(self) -> tuple[Room, ...]:
        """What is left on each node."""
        return tuple(
            self._books.room(index, self._decisions) for index in range(len(self._index)) if self._books.alive[index]
        )

    def fragmentation(self) -> float:
        """The part of the GPU share left that the expected demands could not use, 0..1."""
        weight = sum(shape.weight for shape in self._shapes)
        left = sum(sum(room.share_milli) for room in self.rooms())
        unused = sum(
            fragment(room.cpu_milli, room.share_milli, [gpu.model for gpu in room.node.gpus], self._shapes)
            for room in self.rooms()
        )
        return unused / (left * weight) if left else 0.0

    def snapshot(self) -> Snapshot:
        """All there is to know beside the nodes: restore() makes a cluster that goes on in the same way."""
        foreign = {uuid: self._books.foreign[gpu] for uuid, gpu in self._gpu_index.items() if self._books.foreign[gpu]}
        return Snapshot(
            placements=tuple(self._placements.values()),
            foreign_bytes=foreign,
            next_id=self._next,
            decisions=self._decisions,
            asked=dict(self._asked),
            shapes=self._shapes,
            holds=holds_told(self._books),
            closed={self._books.nodes[node].name: why for node, why in self._books.closed.items()},
            out=frozenset(uuid for uuid, gpu in self._gpu_index.items() if gpu in self._books.out),
            gone=gone_from(self._books),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Be as when the snapshot was taken, of this cluster or one of the same nodes.

        What is out of service or gone now stays so as well.

        Raises:
            KeyError: It names a node or GPU that is not here; nothing changed.
            ValueError: Its placements take more than there is, or it is no snapshot; nothing changed.
        """
        if not isinstance(snapshot, Snapshot):
            raise ValueError(f"{snapshot!r} is no Snapshot")  # noqa: TRY004 - as all bad amounts
        now, fresh = self.snapshot(), Cluster(self._books.nodes, self._given, compiled=self._compiled)
        for placement in snapshot.placements:
            self._there(placement.node)
            fresh._retake(placement)
        if snapshot.next_id <= max(fresh._placements, default=0):
            raise ValueError(f"the next placement of the snapshot would be {snapshot.next_id}, which is taken")
        fresh.observe(snapshot.foreign_bytes)
        for name, holds in snapshot.holds.items():
            fresh.set_holds(name, holds)
        for name, why in ({**snapshot.closed, **now.closed} | dict.fromkeys(snapshot.out | now.out, "")).items():
            fresh.set_out_of_service(name, why)
        for name in snapshot.gone | now.gone:
            fresh.remove_node(name)
        self._books, self._placements, self._neighbours = fresh._books, fresh._placements, fresh._neighbours
        self._next, self._decisions = snapshot.next_id, snapshot.decisions
        self._asked, self._shapes = Counter(snapshot.asked), snapshot.shapes
        self._chooser = self._make_chooser()

    def check_integrity(self) -> None:
        """See that what is taken is what the placements say. Raises AssertionError: a bug of gpucache."""
        check(self._books, ((self._index[each.node], each) for each in self._placements.values()))

    def _choose(self, demand: Demand) -> choice.Place | None:
        if self._is_choosing:
            raise RuntimeError("a policy is asked where to place something; it can't place anything itself")
        self._is_choosing = True
        try:
            if demand.label or demand.apart:
                with self._kept_apart(demand):
                    return self._chooser.choose(demand, self._decisions)
            return self._chooser.choose(demand, self._decisions)
        finally:
            self._is_choosing = False

    def _place_side_by_side(self, gang: Demand, node: int, gpus: tuple[int, ...]) -> tuple[Placement, ...]:
        member, each, placed = replace(gang, gang=1), gang.gpu_count, list[Placement]()
        for first in range(0, len(gpus), each):
            placement = self._placement(self._next, node, gpus[first : first + each], member)
            self._next += 1
            self._decisions += 1
            self._take(placement)
            placed.append(placement)
            if self._learns:
                self._learn(member)
        return tuple(placed)

    @contextmanager
    def _kept_apart(self, demand: Demand) -> Iterator[None]:
        """The nodes closed where it would hurt a neighbour, or a neighbour it."""
        hurt = self._neighbours.closed_to(demand) if demand.label or demand.apart else []
        closed = [node for node in hurt if self._books.alive[node]]
        for node in closed:
            self._books.close(node, "kept apart from what is there")
        try:
            yield
        finally:
            for node in closed:
                self._books.open(node)

    def _take(self, placement: Placement) -> None:
        node = self._index[placement.node]
        self._books.take(node, placement.gpu_indices, placement.demand)
        self._neighbours.take(node, placement.demand)
        self._placements[placement.id] = placement

    def _retake(self, placement: Placement) -> None:
        """Take a place that was had before. Raises KeyError or ValueError if it is not there."""
        node = self._node(placement.node)
        if placement.id in self._placements or not is_free_for(self._books, node, self._uuids[node], placement):
            raise ValueError(f"placement {placement.id} takes what is not there or taken already: {placement}")
        self._take(placement)
        if min(self._books.cpu_left[node], self._books.memory_left[node]) < 0:
            raise ValueError(f"placement {placement.id} takes more CPUs or memory than node {placement.node!r} has")

    def _set_out(self, uuid: str, *, out: bool) -> None:
        gpu = self._gpu_index[uuid]
        self._books.set_out(gpu, out=out)
        self._touch(gpu)

    def _touch(self, gpu: int) -> None:
        """Something of the node of a GPU has changed: scores of it are stale."""
        self._books.version[bisect_right(self._books.gpu_first, gpu) - 1] += 1

    def _make_chooser(self) -> choice.Chooser | _scores.Chooser:
        policy = self._given
        if policy is BY_NAME["fgd"]:
            policy = Fgd(self._shapes)
        elif policy is BY_NAME["packed"]:
            policy = Packed(self._shapes, self._books.nodes)
        code = compiled_name(policy)
        if not self._compiled or code is None:
            return choice.Chooser(self._books, policy)
        return _scores.Chooser(self._books, policy, code)

    def _expected(self) -> tuple[Shape, ...]:
        percent = PACKED_POPULAR_PERCENT if self._given is BY_NAME["packed"] else POPULAR_PERCENT
        return popular_shapes(self._asked, percent)

    def _learn(self, demand: Demand) -> None:
        self._asked[demand] += 1
        seen = self._decisions
        if seen >= LEARN_FROM and seen & (seen - 1) == 0:
            self._shapes = self._expected()
            self._chooser = self._make_chooser()

    def _placement(self, number: int, node: int, gpus: tuple[int, ...], demand: Demand) -> Placement:
        uuids, first = self._uuids[node], self._books.gpu_first[node]
        nbytes = max([self._books.bytes_on(first + gpu, demand) for gpu in gpus], default=0)
        return Placement(
            number, self._books.nodes[node].name, demand, gpus, tuple([uuids[gpu] for gpu in gpus]), nbytes
        )

    def _undo(
        self,
        answers: Iterable[Placement | None],
        before: tuple[int, int, tuple[Shape, ...], choice.Chooser | _scores.Chooser],
        tried: Iterable[Demand],
    ) -> None:
        for placement in answers:
            if placement is not None:
                self.release(placement)
        self._next, self._decisions, self._shapes, self._chooser = before
        if self._learns:
            self._asked.subtract(tried)
            self._asked = +self._asked

    def _there(self, name: str) -> int:
        node = self._node(name)
        if not self._books.alive[node] and node not in self._books.closed:
            raise KeyError(f"node {name!r} is gone already")
        return node

    def _node(self, name: str) -> int:
        if name not in self._index:
            raise KeyError(f"no node {name!r} on this cluster")
        return self._index[name]
