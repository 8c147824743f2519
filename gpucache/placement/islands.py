"""Which GPUs of a node go together: those that are joined by fast links, so that a task over several does not wait for the host."""

from __future__ import annotations

from collections.abc import Sequence


def together(fitting: Sequence[int], count: int, islands: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """So many of the GPUs that fit, on as few islands as can be, and leaving large islands whole.

    One island if one has enough: the one with fewest that fit. Else the fullest islands first, so that few are crossed. GPUs
    on no island are islands of one.

    Args:
        fitting: Indices, at least `count` of them.
    """
    joined = {index for island in islands for index in island}
    groups = [[index for index in island if index in fitting] for island in islands]
    groups += [[index] for index in fitting if index not in joined]
    enough = [group for group in groups if len(group) >= count]
    if enough:
        return tuple(min(enough, key=len)[:count])
    taken: list[int] = []
    for group in sorted(groups, key=len, reverse=True):
        taken += group[: count - len(taken)]
    return tuple(sorted(taken))
