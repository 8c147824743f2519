"""Which of the places that fit is taken: a score for each, the highest wins, the first of equals.

A policy is a function of the room on a node, the demand, and the GPUs considered; a user's own is used like these.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gpucache.placement.model import Demand, Room

Policy = Callable[[Room, Demand, tuple[int, ...]], float]


def first_fit(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """Nodes and GPUs in their order: every place is as good as another."""
    return 0.0


def best_fit(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """The place that is left with least: GPU share first, then GPU memory, then CPUs."""
    left_share, left_bytes = _left(room, demand, gpus)
    return -(left_share * 1e6 + left_bytes / 2**30 + (room.cpus - demand.cpus) * 1e-3)


def worst_fit(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """The place that is left with most: spreads, so that neighbours disturb each other least."""
    return -best_fit(room, demand, gpus)


def gpu_packing(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """GPUs that are shared already, then idle GPUs of nodes in use, then idle nodes (Weng et al., ATC '23, section 6)."""
    if gpus and all(0 < room.shares[index] < 1 for index in gpus):
        return 2.0 - sum(room.shares[index] for index in gpus)
    in_use = room.cpus < room.node.cpus or any(share < 1 for share in room.shares)
    return 0.5 if in_use else 0.0


BY_NAME: dict[str, Policy] = {
    "best_fit": best_fit,
    "first_fit": first_fit,
    "gpu_packing": gpu_packing,
    "worst_fit": worst_fit,
}


def by_name(policy: str | Policy) -> Policy:
    """The policy of that name; a function is itself.

    Raises:
        ValueError: There is none.
    """
    if callable(policy):
        return policy
    if policy not in BY_NAME:
        raise ValueError(f"no policy {policy!r}; there are {', '.join(sorted(BY_NAME))}, or give a function")
    return BY_NAME[policy]


def checked(score: float, policy: Policy) -> float:
    """A score that can be compared. Raises ValueError for NaN: its comparison would pick at random."""
    if math.isnan(score):
        raise ValueError(f"policy {getattr(policy, '__name__', policy)!r} gave NaN; give a number")
    return score


def _left(room: Room, demand: Demand, gpus: tuple[int, ...]) -> tuple[float, float]:
    share = sum(room.shares[index] for index in gpus) - demand.gpus
    memory = sum(room.gpu_bytes[index] for index in gpus) - len(gpus) * (demand.gpu_memory_bytes or 0)
    return share, memory
