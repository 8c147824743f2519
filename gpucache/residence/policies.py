"""Which of the things that are warm goes, when something else needs its place: pure, no clock, no I/O.

A policy is told of every request, in order, and is asked for a victim. Items are anything hashable: kinds of workers, loaded
models. What was measured on a published trace stands in docs/residence.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item", bound=Hashable)

SCALES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""In requests: from what is asked for at this moment to what is asked for in this month, half an order of magnitude apart."""


class Policy(Protocol):
    """What decides what stays. Not thread-safe."""

    def asked(self, item: Hashable) -> None:
        """A request for an item, warm or not."""

    def victim(self, held: Collection[Item]) -> Item:
        """The one of these (at least one) that is missed least."""


class LeastRecentlyUsed:
    """What was not asked for longest goes: the usual choice, and what everything else is compared with."""

    def __init__(self) -> None:
        self._asked_at: dict[Hashable, int] = {}
        self._requests = 0

    def asked(self, item: Hashable) -> None:
        """A request for an item."""
        self._requests += 1
        self._asked_at[item] = self._requests

    def victim(self, held: Collection[Item]) -> Item:
        """The one that was not asked for longest."""
        return min(held, key=lambda item: self._asked_at.get(item, 0))


class DecayedFrequency:
    """What was asked for least goes, where a request counts less the longer ago it was (LRFU: Lee et al., 2001).

    Args:
        scale: After so many requests one counts 1/e.
    """

    def __init__(self, scale: float = 100.0) -> None:
        self._blend = BlendedFrequency((scale,))
        self.asked = self._blend.asked
        self.victim = self._blend.victim


class BlendedFrequency:
    """What is least likely to be asked for next goes: frequencies over several time scales, each trusted as far as it was right.

    Each scale s has an opinion of how likely an item is next: its exponentially decayed share of the requests,
    F_s(item) / sum of F_s. The opinions are mixed, p(item) = sum_s w_s p_s(item), and every request is evidence: by Bayes' rule
    the scale that expected it gains weight, w_s <- (1 - rate) w_s + rate w_s p_s / p (online expectation maximisation of a mixture;
    Cappé and Moulines, 2009). So a morning of one model after another is followed at a short scale, and what comes back every
    hour is kept at a long one, without a parameter to choose for the load.

    A request costs about 3 µs and a victim 2 µs an item, whatever the number of items known.

    Args:
        scales: In requests; the defaults span three orders of magnitude.
        learning_rate: How fast the trust in scales moves: 0.005 forgets over some 200 requests.
        remembered_max: Items known at most; beyond that the one that was not asked for longest is forgotten.
    """

    def __init__(
        self, scales: Sequence[float] = SCALES, *, learning_rate: float = 0.005, remembered_max: int = 4096
    ) -> None:
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales={scales!r}: give at least one number of requests, each above 0")
        self._decays = [math.exp(-1 / scale) for scale in scales]
        self._weights = [1 / len(scales)] * len(scales)
        self._learning_rate = learning_rate
        self._remembered_max = remembered_max
        self._requests = 0
        self._known: dict[Hashable, tuple[int, list[float]]] = {}  # when asked last, and the shares as of then

    @property
    def weights(self) -> tuple[float, ...]:
        """How far each scale is trusted; they sum to 1."""
        return tuple(self._weights)

    def asked(self, item: Hashable) -> None:
        """A request for an item, warm or not."""
        shares = self._shares(item)
        self._learn(shares)
        self._requests += 1
        self._known.pop(item, None)  # last in order, too
        self._known[item] = (
            self._requests,
            [share * decay + 1 - decay for share, decay in zip(shares, self._decays, strict=True)],
        )
        if len(self._known) > self._remembered_max:
            del self._known[next(iter(self._known))]

    def victim(self, held: Collection[Item]) -> Item:
        """The one that is least likely to be asked for; of equals the first."""
        return min(held, key=self.likelihood)

    def likelihood(self, item: Hashable) -> float:
        """How likely the next request is for this item; 0 for one never asked for."""
        if item not in self._known:
            return 0.0
        opinions = zip(self._weights, self._shares(item), self._decays, strict=True)
        return sum(weight * share / self._all(decay) for weight, share, decay in opinions)

    def _shares(self, item: Hashable) -> list[float]:
        """The item's decayed count by scale, as of now."""
        known = self._known.get(item)
        if known is None:
            return [0.0] * len(self._decays)
        ago = self._requests - known[0]
        return [share * decay**ago for share, decay in zip(known[1], self._decays, strict=True)]

    def _all(self, decay: float) -> float:
        """What the decayed counts of all items sum to: a geometric series."""
        return 1 - decay**self._requests

    def _learn(self, shares: Sequence[float]) -> None:
        if not any(shares):
            return  # nobody expected it
        opinions = [share / self._all(decay) for share, decay in zip(shares, self._decays, strict=True)]
        expected = sum(weight * opinion for weight, opinion in zip(self._weights, opinions, strict=True))
        if expected <= 0:  # it was so long ago that the shares have underflowed
            return
        rate = self._learning_rate
        self._weights = [
            (1 - rate) * weight + rate * weight * opinion / expected
            for weight, opinion in zip(self._weights, opinions, strict=True)
        ]
