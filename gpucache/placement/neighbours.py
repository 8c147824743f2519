"""Who must not share a node with whom: labels and what they are to be kept apart from, counted by node."""

from __future__ import annotations

from collections import Counter, defaultdict

from gpucache.placement.model import Demand


class Neighbours:
    """The labels on each node, and the labels that those on it must be kept apart from."""

    def __init__(self) -> None:
        self._there: dict[str, Counter[int]] = defaultdict(Counter)
        self._unwanted: dict[str, Counter[int]] = defaultdict(Counter)

    def take(self, node: int, demand: Demand, sign: int = 1) -> None:
        """A demand came to a node, or with sign=-1 left it."""
        if demand.label:
            self._there[demand.label][node] += sign
        for label in demand.apart:
            self._unwanted[label][node] += sign

    def closed_to(self, demand: Demand) -> list[int]:
        """The nodes where it would hurt somebody, or somebody it."""
        nodes = {node for label in demand.apart for node, count in self._there[label].items() if count}
        if demand.label:
            nodes |= {node for node, count in self._unwanted[demand.label].items() if count}
        return sorted(nodes)
