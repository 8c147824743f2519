"""Gangs: the single demand that stands for all members on one island of GPUs, and why one does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpucache.placement.model import LARGEST_BYTES, LARGEST_CPUS, LARGEST_GPUS, MILLI, Demand

if TYPE_CHECKING:
    from gpucache.placement.cluster import Cluster


def as_one(gang: Demand) -> Demand | None:
    """What all members take, on joined GPUs; None where that is no matter, or too much for any node, or they keep apart."""
    gpus = gang.gpu_count * gang.gang
    cpus, nbytes = gang.cpu_milli * gang.gang / MILLI, gang.memory_bytes * gang.gang
    keep_apart = bool(gang.label) and gang.label in gang.apart
    if gpus < 2 or gang.share_milli < MILLI or keep_apart:
        return None
    if gpus > LARGEST_GPUS or cpus > LARGEST_CPUS or nbytes > LARGEST_BYTES:
        return None
    return replace(gang, gang=1, gpus=gpus, cpus=cpus, memory_bytes=nbytes, joined=True)


def why_no_gang(cluster: Cluster, gang: Demand) -> str | None:
    """How many members fit now, and what the next one lacks; None if all fit. The cluster is left as it was."""
    never = cluster.never_fits(gang)
    if never is not None:
        return never
    before, placed, member = cluster.snapshot(), 0, replace(gang, gang=1)
    try:
        if cluster.place_gang(gang) is not None:
            return None
        while placed < gang.gang and cluster.place(member) is not None:
            placed += 1
        return f"{placed} of {gang.gang} members of the gang fit; then {cluster.why_not(member)}"
    finally:
        cluster.restore(before)
