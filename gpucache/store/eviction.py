"""Which blobs go first when room is short. Pure: the same candidates give the same victims.

Score: seconds to compute again, per byte, halved for each HALF_LIFE_S that it lay unused: GreedyDual-Size-Frequency's idea
(Cherkasova, HP Labs 1998) with age in place of a running clock, since readers don't write. What no record can give again goes
last, the longest unused first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gpucache.store.record import BlobRow

HALF_LIFE_S = 3 * 86400.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob that may go.

    Attributes:
        digest, row, nbytes: Which it is, where it lies, and what it takes.
        recompute_seconds: What it costs to have it again, s; infinite if no record says how.
        used_at: When it was last read or written, Unix time, s.
    """

    digest: bytes
    row: BlobRow
    nbytes: int
    recompute_seconds: float
    used_at: float


def victims(candidates: Iterable[Candidate], excess_bytes: int, *, now: float) -> list[Candidate]:
    """The candidates least worth keeping, until excess_bytes are freed."""
    chosen: list[Candidate] = []
    freed = 0
    for candidate in sorted(candidates, key=lambda found: (worth(found, now), found.used_at, found.digest)):
        if freed >= excess_bytes:
            break
        chosen.append(candidate)
        freed += candidate.nbytes
    return chosen


def worth(candidate: Candidate, now: float) -> float:
    """What keeping a candidate saves, in seconds per byte, discounted by how long nobody used it."""
    age_s = max(0.0, now - candidate.used_at)
    return float(candidate.recompute_seconds / max(1, candidate.nbytes) * 0.5 ** (age_s / HALF_LIFE_S))
