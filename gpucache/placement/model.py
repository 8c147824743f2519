"""The nouns of placement: what there is, what is asked for, and where it was put. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that can be shared.

    Attributes:
        memory_bytes: What a task can have of its memory, at most.
        model: Its model, for demands that name some; empty matches any.
        uuid: Its name; made from the node's and its index where it is empty.
    """

    memory_bytes: int
    model: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine: CPUs, host memory and GPUs."""

    name: str
    cpus: float
    memory_bytes: int
    gpus: tuple[Gpu, ...] | list[Gpu] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a task needs while it runs.

    Attributes:
        gpus: A share below 1 of one GPU, or a whole number of GPUs of which nobody else has anything.
        gpu_memory_bytes: On each GPU; None: what the share amounts to.
        cpus, memory_bytes: Of the node.
        models: Allowed GPU models; empty: any.
    """

    gpus: float = 0
    gpu_memory_bytes: int | None = None
    cpus: float = 0
    memory_bytes: int = 0
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        amounts = (self.gpus, self.gpu_memory_bytes or 0, self.cpus, self.memory_bytes)
        if not all(amount >= 0 for amount in amounts):
            raise ValueError(f"{self} asks for less than nothing; every amount is 0 or more")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus={self.gpus} is neither a share below 1 nor a whole number")


@dataclass(frozen=True, slots=True)
class Placement:
    """A demand's place: the node, the GPUs by index and uuid, and the memory taken on each of them."""

    id: int
    node: str
    demand: Demand
    gpu_indices: tuple[int, ...] = ()
    gpu_uuids: tuple[str, ...] = ()
    gpu_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on a node: the form in which policies see it. Shares are 0..1 per GPU."""

    node: Node
    cpus: float
    memory_bytes: int
    shares: tuple[float, ...] = ()
    gpu_bytes: tuple[int, ...] = field(default=())
