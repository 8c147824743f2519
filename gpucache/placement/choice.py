"""Choose among the places that fit, in Python: for a user's own policies, and the oracle of the compiled chooser."""

from __future__ import annotations

from collections.abc import Iterator

from gpucache.placement.books import Books
from gpucache.placement.islands import together
from gpucache.placement.model import MILLI, Demand, Room
from gpucache.placement.policies import TIER, Policy, mixed, score_of

Place = tuple[int, tuple[int, ...]]


class Chooser:
    """The place that a policy likes best."""

    def __init__(self, books: Books, policy: Policy) -> None:
        self._books, self._policy = books, policy

    def choose(self, demand: Demand, decision: int) -> Place | None:
        """Node and GPUs, both by index; None if the demand fits nowhere. Changes nothing."""
        scored: list[tuple[float, Place]] = []
        for node in range(len(self._books.nodes)):
            best: tuple[float, Place] | None = None
            room: Room | None = None
            for gpus in _choices(self._books, node, demand):
                room = room or self._books.room(node, decision)
                score = score_of(self._policy, room, demand, gpus)
                if best is None or score > best[0]:
                    best = score, (node, gpus)
            if best is not None:
                scored.append(best)
        if not scored:
            return None
        # A demand whose GPUs would wait for the host goes there only if it must.
        scored = [item for item in scored if not self._books.crosses(item[1][0], demand)] or scored
        percent = getattr(self._policy, "pick_percent", 0)
        if not percent:
            return max(scored, key=lambda item: item[0])[1]
        lots = max(1, len(self._books.nodes) * percent // 100)
        drawn = mixed(self._policy.seed, decision, 0) % min(lots, len(scored))  # type: ignore[attr-defined]
        return sorted(scored, key=lambda item: (-item[0]) // TIER)[drawn][1]


def _choices(books: Books, node: int, demand: Demand) -> Iterator[tuple[int, ...]]:
    """The sets of GPUs on a node that a demand could have."""
    if books.short(node, demand) is not None:
        return
    if not demand.gpus:
        yield ()
    elif demand.share_milli < MILLI:
        yield from ((index,) for index in books.fitting(node, demand))
    else:
        yield together(books.fitting(node, demand), demand.gpu_count, books.nodes[node].islands)
