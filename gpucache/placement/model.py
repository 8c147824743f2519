"""The nouns of placement: what there is, what is asked for, and where it was put. No I/O, no clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from numbers import Real
from operator import index

MILLI = 1000
"""CPUs and GPU shares are counted in thousandths, as whole numbers: a tenth ten times is exactly all of a GPU."""

LARGEST_BYTES = 2**53
LARGEST_CPUS, LARGEST_GPUS, LARGEST_GANG = 16_000, 1_000, 100_000
"""More than this of one node is a mistake of units; and the products that policies make of such numbers fit 64 bits."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that can be shared, or a MIG slice: to placement a slice is a GPU of its own model and memory.

    Attributes:
        memory_bytes: What a task can have of its memory, at most.
        model: Its model, for demands that name some; empty matches only demands that name none.
        uuid: Its name; made from the node's and its index where it is empty.
    """

    memory_bytes: int
    model: str = ""
    uuid: str = ""

    def __post_init__(self) -> None:
        _refuse_no_text("a GPU", model=self.model, uuid=self.uuid)
        _refuse_parts("a GPU", memory_bytes=self.memory_bytes)
        if not 0 <= self.memory_bytes <= LARGEST_BYTES:
            raise ValueError(f"memory_bytes={self.memory_bytes} of a GPU is a negative or absurd size")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine: CPUs, host memory and GPUs.

    Attributes:
        holds: Names of the weights and artifacts that are resident there, for demands that want to be near them.
        islands: Indices of GPUs that are joined by fast links (NVLink), one tuple for each group; empty: all are alike.
    """

    name: str
    cpus: float
    memory_bytes: int
    gpus: tuple[Gpu, ...] | list[Gpu] = ()
    holds: frozenset[str] = frozenset()
    islands: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        _refuse_no_text(f"node {self.name!r}", name=self.name)
        if not self.name:
            raise ValueError("a node's name is a text of at least one character")
        _refuse_others(self.name, self.gpus)
        if len(self.gpus) > LARGEST_GPUS:
            raise ValueError(
                f"node {self.name!r} has {len(self.gpus):,} GPUs, an absurd number: {LARGEST_GPUS:,} at most"
            )
        _refuse_numbers(f"node {self.name!r}", cpus=self.cpus)
        _refuse_parts(f"node {self.name!r}", memory_bytes=self.memory_bytes)
        if not 0 <= self.memory_bytes <= LARGEST_BYTES or not 0 <= self.cpus <= LARGEST_CPUS:
            raise ValueError(f"node {self.name!r} has a negative or absurd size: {self}")
        # Tuples of its own: a list that its maker changes later would change the node, but not the books.
        object.__setattr__(self, "gpus", tuple(self.gpus))
        object.__setattr__(self, "holds", frozenset(texts_of(f"node {self.name!r}", "holds", self.holds)))
        object.__setattr__(self, "islands", _islands(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a task needs while it runs.

    Attributes:
        gpus: A share below 1 of one GPU (to a thousandth), or a whole number of GPUs of which nobody else has anything.
        gpu_memory_bytes: On each GPU; None: what the share amounts to.
        cpus, memory_bytes: Of the node.
        models: Allowed GPU models; empty: any.
        joined: Its GPUs must be of one island; without it that is only preferred, before what the policy says.
        near: Names of residents and artifacts it would like to be beside; only the policy `locality` looks at them.
        label: What it is, to those that must be kept apart from it.
        apart: Labels of what it must not share a node with, whichever of the two comes first: what hurts a neighbour.
        gang: So many tasks of this kind must be placed together, or none (see Cluster.place_gang).
        priority: place_many() serves higher ones first.
    """

    gpus: float = 0
    gpu_memory_bytes: int | None = None
    cpus: float = 0
    memory_bytes: int = 0
    models: tuple[str, ...] = ()
    joined: bool = False
    near: tuple[str, ...] = ()
    label: str = ""
    apart: tuple[str, ...] = ()
    gang: int = 1
    priority: int = 0

    def __post_init__(self) -> None:
        for several in ("models", "near", "apart"):  # lists are taken, and can't be hashed
            object.__setattr__(self, several, texts_of("a demand", several, getattr(self, several)))
        _refuse_no_text("a demand", label=self.label)
        if self.joined not in (True, False):
            raise ValueError(f"joined={self.joined!r} of a demand must be True or False")
        _refuse_numbers("a demand", gpus=self.gpus, cpus=self.cpus)
        _refuse_parts("a demand", gpu_memory_bytes=self.gpu_memory_bytes or 0, memory_bytes=self.memory_bytes)
        nbytes = (self.gpu_memory_bytes or 0, self.memory_bytes)
        if not all(amount >= 0 for amount in (self.gpus, self.cpus, *nbytes)):
            raise ValueError(f"{self} asks for less than nothing; every amount is 0 or more")
        if max(nbytes) > LARGEST_BYTES or self.cpus > LARGEST_CPUS or self.gpus > LARGEST_GPUS:
            raise ValueError(
                f"{self} asks for more than {LARGEST_CPUS:,} CPUs, {LARGEST_GPUS:,} GPUs or {LARGEST_BYTES:,} bytes "
                "of one node; are the units right?"
            )
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus={self.gpus} is neither a share below 1 nor a whole number")
        if 0 < self.gpus * MILLI <= 0.5:
            raise ValueError(f"gpus={self.gpus} is less than a thousandth of a GPU, the smallest share")
        _refuse_parts("a demand", gang=self.gang, priority=self.priority)
        if not 1 <= self.gang <= LARGEST_GANG:
            raise ValueError(f"gang={self.gang}; a gang has 1 to {LARGEST_GANG:,} members")

    @property
    def gpu_count(self) -> int:
        """GPUs it has something of."""
        return math.ceil(self.gpus)

    @property
    def share_milli(self) -> int:
        """What it takes of each of them."""
        return min(MILLI, round(self.gpus * MILLI))

    @property
    def cpu_milli(self) -> int:
        """CPUs in thousandths; one at least where it asks for any, or a million of the smallest would take nothing."""
        return max(round(self.cpus * MILLI), int(self.cpus > 0))


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
    """What is left on a node: the form in which policies see it.

    Attributes:
        share_milli: What is left of each GPU; 0 of one that is out of service.
        index: The node's place in the order of the cluster.
        decision: How many places were sought before this one: what policies that draw lots draw them from.
        kinds: How many placements of each kind are on the node: "share", or the number of whole GPUs.
    """

    node: Node
    cpu_milli: int
    memory_bytes: int
    share_milli: tuple[int, ...] = ()
    gpu_bytes: tuple[int, ...] = field(default=())
    index: int = 0
    decision: int = 0
    kinds: tuple[tuple[str, int], ...] = ()
    holds: frozenset[str] = frozenset()

    @property
    def cpus(self) -> float:
        """CPUs left."""
        return self.cpu_milli / MILLI

    @property
    def shares(self) -> tuple[float, ...]:
        """What is left of each GPU, 0..1."""
        return tuple(share / MILLI for share in self.share_milli)


def distinct(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Nodes whose names differ, and whose GPUs' do.

    Raises:
        ValueError: They don't, or something is no node.
    """
    if isinstance(nodes, Node) or not isinstance(nodes, Iterable):
        raise ValueError(f"nodes={nodes!r} must be several Node records")  # noqa: TRY004 - as all bad amounts
    known = tuple(nodes)
    if not all(isinstance(node, Node) for node in known):
        raise ValueError(f"nodes={nodes!r} must be Node records")
    _refuse_repeated("nodes", [node.name for node in known])
    _refuse_repeated("GPUs", [uuid for node in known for uuid in uuids_of(node)])
    return known


def uuids_of(node: Node) -> tuple[str, ...]:
    """The names of a node's GPUs: their own, or made from the node's."""
    return tuple(gpu.uuid or f"{node.name}/{place}" for place, gpu in enumerate(node.gpus))


def a_demand(given: object) -> Demand:
    """The same. Raises ValueError if it is something else."""
    if not isinstance(given, Demand):
        raise ValueError(f"{given!r} is no Demand")  # noqa: TRY004 - as all bad amounts
    return given


def demands_of(given: Iterable[Demand]) -> list[Demand]:
    """Several demands. Raises ValueError if something is none."""
    if isinstance(given, Demand) or not isinstance(given, Iterable):
        raise ValueError(f"{given!r} is not several demands")  # noqa: TRY004 - as all bad amounts
    return [a_demand(demand) for demand in given]


def texts_of(whose: str, field_name: str, given: object) -> tuple[str, ...]:
    """Several names. One string is refused: its letters would be taken for names, and "A10" for a part of "A100"."""
    if isinstance(given, str):
        raise ValueError(f"{field_name}={given!r} of {whose} is one string; give a tuple: ({given!r},)")  # noqa: TRY004 - as all bad amounts
    if not isinstance(given, Iterable):
        raise ValueError(f"{field_name}={given!r} of {whose} must be several texts")  # noqa: TRY004 - as all bad amounts
    names = tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{field_name}={given!r} of {whose} must be several texts")
    # The order of a set differs between processes, and with it that of equal shapes.
    return tuple(sorted(names)) if isinstance(given, AbstractSet) else names


def _islands(node: Node) -> tuple[tuple[int, ...], ...]:
    """A node's islands as tuples."""
    said = f"node {node.name!r} has {len(node.gpus)} GPUs; islands={node.islands!r} must name each once at most"
    try:
        islands = tuple(tuple(map(index, island)) for island in node.islands)
    except TypeError:
        raise ValueError(f"{said}, by index, in a tuple for each island") from None
    joined = [each for island in islands for each in island]
    if len(set(joined)) != len(joined) or not all(0 <= each < len(node.gpus) for each in joined):
        raise ValueError(said)
    return islands


def _refuse_no_text(whose: str, **texts: object) -> None:
    for field_name, given in texts.items():
        if not isinstance(given, str):
            raise ValueError(f"{field_name}={given!r} of {whose} must be a text")  # noqa: TRY004 - as all bad amounts


def _refuse_others(node: str, gpus: object) -> None:
    if not isinstance(gpus, tuple | list) or not all(isinstance(gpu, Gpu) for gpu in gpus):
        raise ValueError(f"gpus={gpus!r} of node {node!r} must be a list of Gpu records, each with its memory_bytes")


def _refuse_numbers(whose: str, **amounts: object) -> None:
    for field_name, amount in amounts.items():
        if not isinstance(amount, Real):
            raise ValueError(f"{field_name}={amount!r} of {whose} must be a number")  # noqa: TRY004 - as all bad amounts


def _refuse_parts(whose: str, **amounts: object) -> None:
    """A float where the books count in whole numbers."""
    for field_name, amount in amounts.items():
        if not hasattr(amount, "__index__"):
            raise ValueError(f"{field_name}={amount!r} of {whose} must be a whole number")


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"{what} must have names of their own; {', '.join(twice)} came twice")
