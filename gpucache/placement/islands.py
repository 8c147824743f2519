"""Which GPUs of a node go together: those that are joined by fast links, so that a task over several does not wait for the host.

The oracle of what _scores.pyx does for whole nodes at once.
"""

from __future__ import annotations

from collections.abc import Sequence


def together(fitting: Sequence[int], count: int, islands: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """So many of the GPUs that fit, on as few islands as can be, and leaving large islands whole.

    One island if one has enough: the one with fewest that fit. Else the fullest islands first, so that few are crossed. GPUs
    on no island are islands of one.

    Args:
        fitting: Indices, at least `count` of them.
    """
    if not islands:
        return tuple(fitting[:count])
    groups = groups_of(fitting, islands)
    enough = [group for group in groups if len(group) >= count]
    if enough:
        return tuple(min(enough, key=len)[:count])
    taken: list[int] = []
    for group in sorted(groups, key=len, reverse=True):
        taken += group[: count - len(taken)]
    return tuple(sorted(taken))


def largest_group(fitting: Sequence[int], islands: Sequence[Sequence[int]]) -> int:
    """How many GPUs that fit are joined; on a node without islands all are."""
    return max(map(len, groups_of(fitting, islands)), default=0) if islands else len(fitting)


def island_of_each(count: int, islands: Sequence[Sequence[int]]) -> list[int]:
    """The number of the island of each of so many GPUs: 0 for all without islands; those on none have numbers of their own.

    All numbers are below `count`: the compiled chooser has so much room, and islands without a GPU get none.
    """
    numbers = [0] * count
    alone = [index for index in range(count) if not any(index in island for island in islands)] if islands else []
    for number, group in enumerate([*filter(None, islands), *([index] for index in alone)]):
        for index in group:
            numbers[index] = number
    return numbers


def groups_of(fitting: Sequence[int], islands: Sequence[Sequence[int]]) -> list[list[int]]:
    """The GPUs that fit by island, those on none each by itself."""
    joined = {index for island in islands for index in island}
    groups = [[index for index in sorted(island) if index in fitting] for island in islands]
    return groups + [[index] for index in fitting if index not in joined]
