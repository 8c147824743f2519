"""Which blobs go first when room is short. Pure: the same candidates give the same victims.

Score: seconds to compute again, per byte, halved for each HALF_LIFE_S that it lay unused: the idea of
GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998) with age in place of a running clock, since readers don't write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HALF_LIFE_S = 3 * 86400.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob that may go.

    Attributes:
        digest, name, nbytes: Which it is, and what it takes.
        recompute_seconds: What it costs to have it again, s; infinite if nobody can.
        used_at: When it was last read or written, Unix time, s.
    """

    digest: bytes
    name: str
    nbytes: int
    recompute_seconds: float
    used_at: float


def victims(candidates: Iterable[Candidate], excess_bytes: int, *, now: float) -> list[Candidate]:
    """The candidates least worth keeping, until excess_bytes are freed; none that can't be computed again."""
    chosen: list[Candidate] = []
    freed = 0
    for candidate in sorted(candidates, key=lambda candidate: (worth(candidate, now), candidate.digest)):
        if freed >= excess_bytes:
            break
        if candidate.recompute_seconds != float("inf"):
            chosen.append(candidate)
            freed += candidate.nbytes
    return chosen


def worth(candidate: Candidate, now: float) -> float:
    """What keeping a candidate saves, in seconds per byte, discounted by how long nobody used it."""
    age_s = max(0.0, now - candidate.used_at)
    return float(candidate.recompute_seconds / max(1, candidate.nbytes) * 0.5 ** (age_s / HALF_LIFE_S))
