"""What is expected to be asked for, and what of a node such demands could not use: the measure that FGD descends.

Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC '23. All in whole numbers, so that every implementation gives the same scores on every machine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gpucache.placement.model import MILLI, Demand, Node

MOST_SHAPES = 512
"""So that a decision stays short however many kinds of demands there are."""
MOST_EXPECTED = 10**10
"""So that a weight times the GPU share of the largest node fits 64 bits, in hundredths."""
POPULAR_PERCENT = 95
"""Rarer shapes are left out, as in the publication."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of demand, and how often it comes."""

    cpu_milli: int
    gpu_count: int
    share_milli: int
    models: tuple[str, ...]
    weight: int

    @property
    def gpu_milli(self) -> int:
        """GPU share in all."""
        return self.gpu_count * self.share_milli

    def may_use(self, models: Iterable[str]) -> bool:
        """Whether a node with GPUs of these models is one of its own."""
        return not self.models or any(model in self.models for model in models)


PRIOR = tuple(
    Shape(0, count, share, (), 1)
    for count, share in ((1, 250), (1, 500), (1, MILLI), (2, MILLI), (4, MILLI), (8, MILLI))
)
"""What is expected while nothing is known."""


def counted(expected: Iterable[Demand] | Mapping[Demand, int]) -> Counter[Demand]:
    """Demands with their numbers.

    Raises:
        ValueError: Something is no demand, or no number of demands.
    """
    try:
        asked: Counter[Any] = Counter(expected)
    except TypeError as problem:
        raise ValueError(f"expected={expected!r} must be demands, or demands with their numbers: {problem}") from None
    for demand, times in asked.items():
        if not isinstance(demand, Demand) or not hasattr(times, "__index__") or times < 0:
            raise ValueError(f"expected: {demand!r}: {times!r} is no demand with the number of times that it comes")
    if sum(asked.values()) > MOST_EXPECTED:
        raise ValueError(f"expected names {sum(asked.values()):,} demands; {MOST_EXPECTED:,} are the most")
    return +asked


def popular_shapes(asked: Iterable[Demand] | Mapping[Demand, int], percent: int = POPULAR_PERCENT) -> tuple[Shape, ...]:
    """The shapes that make up the most popular part of the demands; ties by shape, so that the order asked is no matter."""
    counts = Counter[tuple[int, int, int, tuple[str, ...]]]()
    for demand, times in Counter(asked).items():
        counts[demand.cpu_milli, demand.gpu_count, demand.share_milli, demand.models] += times
    wanted, seen = sum(counts.values()) * percent, 0
    shapes: list[Shape] = []
    for shape, times in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_SHAPES]:
        if seen * 100 >= wanted:
            break
        shapes.append(Shape(*shape, times))
        seen += times
    return tuple(shapes) or PRIOR


def fragment(cpu_milli: int, share_milli: Iterable[int], models: Iterable[str], shapes: Iterable[Shape]) -> int:
    """The GPU share of a node that the expected demands could not use, times the sum of their weights.

    A shape that fits can't use the GPUs with less left than it takes; one that does not fit can use nothing. Shapes
    without a GPU count as unable to use any: so a GPU share that is left is never free.
    """
    lefts, known = tuple(share_milli), tuple(models)
    total, unused = sum(lefts), 0
    for shape in shapes:
        wide = [left for left in lefts if left >= shape.share_milli]
        fits = (
            shape.gpu_count and shape.cpu_milli <= cpu_milli and len(wide) >= shape.gpu_count and shape.may_use(known)
        )
        unused += shape.weight * (total - sum(wide) if fits else total)
    return unused


def starved(
    cpu_milli: int, share_milli: Iterable[int], models: Iterable[str], shapes: Iterable[Shape], fluid_percent: int
) -> int:
    """As fragment(), in hundredths, and with an eye on the CPUs that a GPU needs beside it.

    So many percent of a share that fits count only as far as the CPUs left would feed it, were the node filled with that
    shape alone: a GPU beside CPUs that the next few tasks use up is not usable for long.
    """
    lefts, known = tuple(share_milli), tuple(models)
    total, unused = sum(lefts), 0
    for shape in shapes:
        wide = [left for left in lefts if left >= shape.share_milli]
        usable = 0
        if shape.gpu_count and shape.cpu_milli <= cpu_milli and len(wide) >= shape.gpu_count and shape.may_use(known):
            fed = min(sum(wide), cpu_milli * shape.gpu_milli // shape.cpu_milli) if shape.cpu_milli else sum(wide)
            usable = (100 - fluid_percent) * sum(wide) + fluid_percent * fed
        unused += shape.weight * (100 * total - usable)
    return unused


def thresholds(weight: int, steps: int) -> list[int]:
    """From which decrease of fragment() on a score of 1, 2, ... is given: floor(steps * sigmoid(decrease / weight / 1000)).

    The authors' scores are whole numbers of 0..100; a table instead of exp() makes them the same on every machine.
    """
    return [math.ceil(weight * MILLI * math.log(score / (steps - score))) for score in range(1, steps)]


def scarcity_milli(shapes: Iterable[Shape], nodes: Iterable[Node]) -> dict[str, int]:
    """By GPU model: the share expected of demands that name models, over that of all, per GPU that there is of it.

    1000: demands that name this model ask as much of each such GPU as all demands ask of an average one.
    """
    supply = Counter(gpu.model for node in nodes for gpu in node.gpus)
    asked = tuple(shape for shape in shapes if shape.gpu_milli)
    total = sum(shape.weight * shape.gpu_milli for shape in asked)
    pressure: dict[str, int] = dict.fromkeys(supply, 0)
    everything = sum(supply.values())
    for shape in asked:
        mine = [model for model in supply if model in shape.models]
        have = sum(supply[model] for model in mine)
        for model in mine:
            pressure[model] += shape.weight * shape.gpu_milli * everything * MILLI // (have * total)
    return pressure
