"""Rules for what a store gives up, as a replay drives them: each told of every use, each asked for one to go.

Ours is the store's own code (gpucache.store.eviction). The others are here to be compared with.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gpucache.store.eviction import TICK_S, Candidate, victims
from gpucache.store.record import BlobRow


@dataclass(frozen=True, slots=True)
class Access:
    """One look for a result.

    Attributes:
        at_s: When, s from any start.
        item: Which.
        nbytes: What it takes.
        recompute_s: What it costs to have it again, s.
    """

    at_s: float
    item: str
    nbytes: int
    recompute_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay found: of all looks, how many were misses, of how many bytes, and what they cost to compute, s."""

    misses: int
    missed_bytes: int
    recomputed_s: float


class Evictor(Protocol):
    """What decides what goes. It knows what is held, for it is told of everything."""

    def hit(self, access: Access) -> None:
        """Something that is held was used."""

    def add(self, access: Access) -> None:
        """Something was computed, and is held from now on."""

    def give_up(self, excess_bytes: int, now_s: float) -> Sequence[str]:
        """What goes, so that at least so many bytes are freed."""


def replay(accesses: Sequence[Access], max_bytes: int, evictor: Evictor) -> Outcome:
    """Look after look; what is not held is computed and held, and what is too much goes at once."""
    held: dict[str, int] = {}
    total = misses = missed_bytes = 0
    recomputed_s = 0.0
    for access in accesses:
        if access.item in held:
            evictor.hit(access)
            continue
        misses, missed_bytes = misses + 1, missed_bytes + access.nbytes
        recomputed_s += access.recompute_s
        evictor.add(access)
        held[access.item] = access.nbytes
        total += access.nbytes
        if total > max_bytes:
            for item in evictor.give_up(total - max_bytes, access.at_s):
                total -= held.pop(item)
    return Outcome(misses, missed_bytes, recomputed_s)


class Ours:
    """The store's own rule, by the store's own code, with uses noted as readers note them: at most once each TICK_S."""

    def __init__(self) -> None:
        self._held: dict[str, Candidate] = {}
        self._noted_s: dict[str, float] = {}

    def hit(self, access: Access) -> None:
        """As a reader notes it."""
        if access.at_s - self._noted_s[access.item] > TICK_S:
            before = self._held[access.item]
            self._held[access.item] = replace(before, used_at=access.at_s, uses=before.uses + 1)
            self._noted_s[access.item] = access.at_s

    def add(self, access: Access) -> None:
        """As a record says."""
        row = BlobRow(access.item, access.nbytes, (0, 0, 0), "")
        self._held[access.item] = Candidate(access.item.encode(), row, access.nbytes, access.recompute_s, access.at_s)
        self._noted_s[access.item] = float("-inf")

    def give_up(self, excess_bytes: int, now_s: float) -> Sequence[str]:
        """As collect() does."""
        gone = [found.row.name for found in victims(self._held.values(), excess_bytes, now=now_s)]
        for item in gone:
            del self._held[item]
        return gone


class LeastRecentlyUsed:
    """What was not used longest goes."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, int] = OrderedDict()

    def hit(self, access: Access) -> None:
        """It goes last now."""
        self._held.move_to_end(access.item)

    def add(self, access: Access) -> None:
        """It goes last."""
        self._held[access.item] = access.nbytes

    def give_up(self, excess_bytes: int, now_s: float) -> Sequence[str]:
        """From the front."""
        gone = []
        while excess_bytes > 0:
            item, nbytes = self._held.popitem(last=False)
            excess_bytes -= nbytes
            gone.append(item)
        return gone


class GreedyDualSizeFrequency:
    """GDSF: what has the least L + uses * cost / bytes goes, and L becomes its value (Cherkasova, HP Labs 1998)."""

    def __init__(self) -> None:
        self._clock = 0.0
        self._uses: Counter[str] = Counter()  # while it is held
        self._held: dict[str, tuple[float, int]] = {}

    def hit(self, access: Access) -> None:
        """One use more, valued as of now."""
        self._uses[access.item] += 1
        value = self._clock + self._uses[access.item] * access.recompute_s / access.nbytes
        self._held[access.item] = value, access.nbytes

    add = hit

    def give_up(self, excess_bytes: int, now_s: float) -> Sequence[str]:
        """The least first."""
        gone = []
        for item in sorted(self._held, key=self._held.__getitem__):
            if excess_bytes <= 0:
                break
            self._clock, nbytes = self._held.pop(item)
            del self._uses[item]
            excess_bytes -= nbytes
            gone.append(item)
        return gone


class S3Fifo:
    """S3-FIFO: a small queue filters what is used once, a main one keeps the rest, a third remembers names (Yang et al., SOSP 2023).

    The small one has a tenth of the bytes; uses are counted up to three; the ghost queue has as many names as the main one has
    entries. It knows no cost.
    """

    def __init__(self, max_bytes: int) -> None:
        self._small_max_bytes = max_bytes // 10
        self._small: deque[str] = deque()
        self._main: deque[str] = deque()
        self._ghost: OrderedDict[str, None] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._nbytes: dict[str, int] = {}
        self._small_bytes = 0

    def hit(self, access: Access) -> None:
        """Counted; nothing moves."""
        self._uses[access.item] = min(3, self._uses[access.item] + 1)

    def add(self, access: Access) -> None:
        """Into the small queue, or the main one if it was given up a short while ago."""
        self._uses[access.item], self._nbytes[access.item] = 0, access.nbytes
        if access.item in self._ghost:
            del self._ghost[access.item]
            self._main.append(access.item)
        else:
            self._small.append(access.item)
            self._small_bytes += access.nbytes

    def give_up(self, excess_bytes: int, now_s: float) -> Sequence[str]:
        """From the small queue while it is over its share, else from the main one."""
        gone: list[str] = []
        while excess_bytes > 0:
            is_small = bool(self._small) and (self._small_bytes > self._small_max_bytes or not self._main)
            item = self._from_small() if is_small else self._from_main()
            if item is not None:
                excess_bytes -= self._nbytes.pop(item)
                del self._uses[item]
                gone.append(item)
        return gone

    def _from_small(self) -> str | None:
        item = self._small.popleft()
        self._small_bytes -= self._nbytes[item]
        if self._uses[item] > 1:
            self._uses[item] = 0
            self._main.append(item)
            return None
        self._ghost[item] = None
        while len(self._ghost) > max(1, len(self._main)):
            self._ghost.popitem(last=False)
        return item

    def _from_main(self) -> str | None:
        item = self._main.popleft()
        if self._uses[item] > 0:
            self._uses[item] -= 1
            self._main.append(item)
            return None
        return item


def least_recomputed_s(accesses: Sequence[Access], max_bytes: int) -> float:
    """What no rule can go below: seconds computed by one that knows the future and may keep parts of results.

    The flow-based bound of Berger, Beckmann and Harchol-Balter ("Practical Bounds on Optimal Caching with Variable Object Sizes",
    SIGMETRICS 2018), with what a miss costs in seconds: each wait between two looks for a result is kept in the share x of 0 to 1; what
    is kept takes bytes at every moment between; all of it must fit. A linear program of one row a look.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    last: dict[str, int] = {}
    waits: list[tuple[int, int]] = []
    for index, access in enumerate(accesses):
        if access.item in last:
            waits.append((last[access.item], index))
        last[access.item] = index
    first_s = sum(access.recompute_s for access in accesses)
    if not waits:
        return first_s
    count, moments = len(waits), len(accesses)
    begins, ends = np.array(waits).T
    sizes = np.array([accesses[begin].nbytes for begin, _ in waits], float) / max_bytes
    savings = np.array([accesses[end].recompute_s for _, end in waits])
    # Row t: (bytes kept after look t) - (bytes kept before it) - (waits that begin at t) + (those that end at t) = 0.
    places, columns = np.arange(moments), np.arange(count)
    rows = np.concatenate([places, places[1:], begins, ends])
    cols = np.concatenate([count + places, count + places[:-1], columns, columns])
    values = np.concatenate([np.ones(moments), -np.ones(moments - 1), -sizes, sizes])
    balance = csr_array((values, (rows, cols)), shape=(moments, count + moments))
    found = linprog(
        np.concatenate([-savings, np.zeros(moments)]),
        A_eq=balance,
        b_eq=np.zeros(moments),
        bounds=(0, 1),
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"the linear program was not solved: {found.message}")
    return float(first_s + found.fun)
