"""What a call asks of the runtime. Nouns only: nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass

from gpucache.workers.kind import Env

__all__ = ["Env", "Resources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a call needs while it runs, per worker. Hashable.

    Attributes:
        cpus: CPUs; counted, not enforced.
        gpus: Share of one GPU below 1, or a whole number of GPUs. 0 on a machine without GPUs whatever is asked.
        gpu_memory_bytes: Device memory per GPU; None: what the share amounts to.
        memory_bytes: Host memory; counted, not enforced. None: nothing is counted.
        env: The environment to run in, None for the driver's own.
        workers: More than 1: a gang, which starts together or not at all; its result is that of rank 0.
    """

    cpus: float = 1
    gpus: float = 0
    gpu_memory_bytes: int | None = None
    memory_bytes: int | None = None
    env: Env | None = None
    workers: int = 1
