"""Which blobs go first when room is short. Pure: the same candidates give the same victims.

A candidate is worth what it saves for each byte that it takes: the seconds to compute it again, times how likely it is asked for
soon, over its bytes. Likely is, from what a store knows without writing at each read: sqrt(uses) / (age + pause). A chance of
1 / age is what reuse looks like where nothing else is known (its distances spread over all scales alike; Blankstein, Sen and
Freedman, "Hyperbolic Caching", ATC 2017, rank by uses over age, too); the root keeps what was dear to many last month from
outliving all of this week. The pause is the mean time between the last few times that the store was in use at all: whoever runs a
pipeline once a week has not abandoned it after an hour, so what the last run used counts as equally fresh, and cost and size
decide. Measured beside LRU, GDSF, S3-FIFO and what no rule can beat in benchmarks/EVICTION.md.

What no record can give again goes last, the longest unused first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from gpucache.store.record import BlobRow

TICK_S = 600.0
"""Uses closer together than this are one: readers note them no finer (values.NOTE_USE_AGAIN_S)."""

PAUSES = 3
"""Over so many of the last pauses the mean is taken."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob that may go.

    Attributes:
        digest, row, nbytes: Which it is, where it lies, and what it takes.
        recompute_seconds: What it costs to have it again, s; infinite if no record says how.
        used_at: When it was last read or written, Unix time, s.
        uses: How often, as far as that was noted: at most once each TICK_S.
    """

    digest: bytes
    row: BlobRow
    nbytes: int
    recompute_seconds: float
    used_at: float
    uses: int = 1


def victims(candidates: Iterable[Candidate], excess_bytes: int, *, now: float) -> list[Candidate]:
    """The candidates least worth keeping, until excess_bytes are freed."""
    if excess_bytes <= 0:
        return []
    found = list(candidates)
    pause = pause_s(found)
    ranked = [(worth(one, now, pause), one.used_at, one.digest, index) for index, one in enumerate(found)]
    heapq.heapify(ranked)
    chosen: list[Candidate] = []
    freed = 0
    while ranked and freed < excess_bytes:
        one = found[heapq.heappop(ranked)[-1]]
        chosen.append(one)
        freed += one.nbytes
    return chosen


def worth(candidate: Candidate, now: float, pause: float) -> float:
    """What keeping a candidate is expected to save, up to a factor that is the same for all.

    Args:
        candidate: The blob.
        now: Unix time, s.
        pause: pause_s() of all candidates, s.
    """
    age_s = max(0.0, now - candidate.used_at)
    saved = candidate.recompute_seconds / max(1, candidate.nbytes)
    return saved * math.sqrt(candidate.uses) / (age_s + pause)


def pause_s(candidates: Iterable[Candidate]) -> float:
    """The mean time between the last few times that anything was used, s; at least TICK_S."""
    ticks = heapq.nlargest(PAUSES + 1, {one.used_at // TICK_S for one in candidates})
    return max(1.0, (ticks[0] - ticks[-1]) / (len(ticks) - 1) if len(ticks) > 1 else 1.0) * TICK_S
