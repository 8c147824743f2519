"""A gang on one island of GPUs: the single demand that stands for all its members."""

from __future__ import annotations

from dataclasses import replace

from gpucache.placement.model import LARGEST_BYTES, LARGEST_CPUS, LARGEST_GPUS, MILLI, Demand


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
