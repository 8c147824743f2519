"""Which of the places that fit is taken: a score for each, the highest wins, the first of equals.

A policy is a function of the room on a node, the demand, and the GPUs considered; a user's own is used like these.
The ones here give whole numbers: a node's score times TIER, plus what tells its GPUs apart. They are the oracle of the
compiled ones in _scores.pyx, which Cluster uses for those that compiled_name() knows.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from numbers import Real

from gpucache.errors import PolicyFailed
from gpucache.placement.model import MILLI, Demand, Node, Room
from gpucache.placement.shapes import PRIOR, Shape, fragment, scarcity_milli, starved, thresholds

Policy = Callable[[Room, Demand, tuple[int, ...]], float]

TIER = 10_000
LARGEST_CPU_MILLI, LARGEST_GPU_MILLI = 128_000, 8_000
"""What the authors of FGD scale CPUs and GPU share by: the largest node of their cluster."""
RAY_SPREAD_MILLI = 500
"""Ray treats nodes that are used less than this as equal (RAY_scheduler_spread_threshold)."""
MANY_GPUS = 16
"""Demands for more are of one kind to gpu_clustering."""
FGD_STEPS = 100
PACKED_STEPS, FLUID_PERCENT, SCARCITY_POINTS, PACKED_POPULAR_PERCENT = 200, 40, 60, 100
"""Of packed: chosen on seeds 1 to 5, which no published figure uses; see benchmarks/PLACEMENT.md."""


def first_fit(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """Nodes and GPUs in their order: every place is as good as another."""
    return 0


def best_fit(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """The node that is left with least CPU and GPU share, half each, then its fullest GPU.

    Source: the scheduler simulator of the authors of FGD (best_fit_score.go), with its whole numbers of 0..100.
    """
    return _least_left(room, demand) * TIER - _widest(room, gpus)


def worst_fit(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """The node that is left with most, then its emptiest GPU: spreads, so that neighbours disturb each other least."""
    return -_least_left(room, demand) * TIER + _widest(room, gpus)


def dot_product(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """The node whose room is least along the demand: the smallest product of the two, CPU and GPU share scaled to 0..1.

    Source: Grandl et al., "Multi-resource packing for cluster schedulers", SIGCOMM '14, as the authors of FGD run it
    (dot_product_score.go, dimensions merged, scaled by the largest node).
    """
    cpu = room.cpu_milli * demand.cpu_milli * 100 * (LARGEST_GPU_MILLI // MILLI) ** 2
    gpu = sum(room.share_milli) * demand.gpu_count * demand.share_milli * 100 * (LARGEST_CPU_MILLI // MILLI) ** 2
    scale = 2 * LARGEST_CPU_MILLI**2 * (LARGEST_GPU_MILLI // MILLI) ** 2
    return (100 * scale - cpu - gpu) // scale * TIER - _widest(room, gpus)


def gpu_packing(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """GPUs that are shared already, then idle GPUs of nodes in use, then idle nodes.

    Source: Weng et al., "MLaaS in the wild", NSDI '22, as the authors of FGD run it (gpu_packing_score.go).
    """
    if not gpus:
        return 0
    idle = sum(share == MILLI for share in room.share_milli)
    opened = sum(room.share_milli[index] == MILLI for index in gpus)
    if idle == len(room.share_milli):
        score = max(33 - idle, idle)
    elif opened:
        score = max(50 - opened, 33)
    else:
        score = max(100 - sum(room.share_milli[index] // 10 for index in gpus) // 10, 50)
    return score * TIER - _widest(room, gpus)


def gpu_clustering(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """Nodes that have tasks of the same kind (a share, or so many GPUs), before idle ones, before those with only others.

    Nodes of that kind alone come before mixed ones; of equals the fullest wins.
    Source: Xiao et al., "Gandiva", OSDI '18, as the authors of FGD run it (gpu_clustering_score.go).
    """
    if not gpus:
        return 0
    mine = kind_of(demand)
    if any(kind == mine for kind, _ in room.kinds):
        rank = 75 if len(room.kinds) == 1 else 50
    elif room.kinds:
        rank = 0
    else:
        rank = 25
    full = 25 * (LARGEST_GPU_MILLI - sum(room.share_milli)) // LARGEST_GPU_MILLI
    return (rank + full) * TIER - _widest(room, gpus)


def locality(room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """The node that holds most of what the demand wants to be near; of equals the best fit.

    Source: the data locality of delay scheduling (Zaharia et al., EuroSys '10), without the delay.
    """
    return sum(name in room.holds for name in demand.near) * 1000 * TIER + best_fit(room, demand, gpus)


class Random:
    """A node drawn by lot, then a GPU: the lots follow from the seed and the number of the decision."""

    code = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = operator.index(seed)

    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        """The lot of the node, then of its GPU."""
        lot = mixed(self.seed, room.decision, room.index) >> 24
        return (lot % 2**34) * TIER + (mixed(self.seed, room.decision, ~gpus[0]) % TIER if gpus else 0)


class Ray:
    """A model of Ray's default: one of the best fifth of the nodes by lot, judged by CPU and memory in use, never by GPUs.

    Nodes less than half used are equal; tasks without a GPU avoid nodes that have some; within a node the fullest GPU.
    Source: Ray 2.60, hybrid scheduling policy (`scheduler_top_k_fraction` 0.2, `scheduler_spread_threshold` 0.5).
    """

    code = "ray"
    pick_percent = 20

    def __init__(self, seed: int = 0) -> None:
        self.seed = operator.index(seed)

    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        """How little the node is used."""
        cpu_total = round(room.node.cpus * MILLI)
        used = (cpu_total - room.cpu_milli) * MILLI // cpu_total if cpu_total else 0
        if room.node.memory_bytes:
            used = max(used, (room.node.memory_bytes - room.memory_bytes) * MILLI // room.node.memory_bytes)
        avoided = bool(room.node.gpus) and not gpus
        score = MILLI - (used if used >= RAY_SPREAD_MILLI else 0)
        return (score + (0 if avoided else MILLI)) * TIER - _widest(room, gpus)


class Fgd:
    """The place where the GPU share that expected demands could not use grows least: fragmentation gradient descent.

    Source: Weng et al., USENIX ATC '23 (fgd_score.go). A score is a whole number of 0..100 and the first best node wins:
    that alone is worth several points of allocation, since it fills nodes one after another.

    Args:
        shapes: What is expected; see shapes.popular_shapes.
    """

    code = "fgd"
    steps = FGD_STEPS

    def __init__(self, shapes: Iterable[Shape] = PRIOR) -> None:
        self.shapes = tuple(shapes)
        self.thresholds = thresholds(max(1, sum(shape.weight for shape in self.shapes)), self.steps)

    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        """The decrease of what is unusable, through the authors' sigmoid."""
        return self.points(room, demand, gpus)

    def points(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> int:
        """0..steps."""
        models = [gpu.model for gpu in room.node.gpus]
        after = [share - demand.share_milli * (index in gpus) for index, share in enumerate(room.share_milli)]
        before_less_after = self.unusable(room.cpu_milli, room.share_milli, models) - self.unusable(
            room.cpu_milli - demand.cpu_milli, after, models
        )
        return bisect_right(self.thresholds, before_less_after)

    def unusable(self, cpu_milli: int, share_milli: Sequence[int], models: Sequence[str]) -> int:
        """What of a node the expected demands could not use."""
        return fragment(cpu_milli, share_milli, models, self.shapes)


class Packed(Fgd):
    """Our own, the default: FGD with two things that it does not see, on a scale twice as fine.

    GPU share that a node's CPUs could not feed: to FGD a node is usable as long as one more task fits, so CPUs are used up
    beside GPUs that stay idle. Here two fifths of a share count only as far as the CPUs would reach (shapes.starved).

    Scarce models: a demand that may use any GPU lets those alone that others must have. A place costs points by how much
    more of its model is expected to be named than of the least wanted model that this demand may use (shapes.scarcity_milli).
    """

    code = "packed"
    steps = PACKED_STEPS
    fluid_percent = FLUID_PERCENT

    def __init__(self, shapes: Iterable[Shape] = PRIOR, nodes: Iterable[Node] = ()) -> None:
        super().__init__(shapes)
        self.thresholds = [100 * limit for limit in self.thresholds]
        self.scarcity = scarcity_milli(self.shapes, nodes)

    def __call__(self, room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
        """FGD's points, less the price."""
        price = self.price(demand.models, (room.node.gpus[index].model for index in gpus)) if gpus else 0
        return self.points(room, demand, gpus) - price

    def unusable(self, cpu_milli: int, share_milli: Sequence[int], models: Sequence[str]) -> int:
        """As FGD's, and what the CPUs would not feed."""
        return starved(cpu_milli, share_milli, models, self.shapes, self.fluid_percent)

    def price(self, allowed: tuple[str, ...], models: Iterable[str]) -> int:
        """Points that GPUs of these models cost a demand that may use those allowed."""
        cheapest = min((cost for model, cost in self.scarcity.items() if not allowed or model in allowed), default=0)
        dearest = max((self.scarcity.get(model, 0) for model in models), default=0)
        return max(0, dearest - cheapest) * SCARCITY_POINTS // MILLI


BY_NAME: dict[str, Policy] = {
    "best_fit": best_fit,
    "dot_product": dot_product,
    "fgd": Fgd(),
    "first_fit": first_fit,
    "gpu_clustering": gpu_clustering,
    "gpu_packing": gpu_packing,
    "locality": locality,
    "packed": Packed(),
    "random": Random(),
    "ray": Ray(),
    "worst_fit": worst_fit,
}

_UNCOMPILED = frozenset({"locality"})


def by_name(policy: str | Policy) -> Policy:
    """The policy of that name; a function is itself.

    Raises:
        ValueError: There is none, or it is a class and not what a class makes.
    """
    if isinstance(policy, type):
        raise ValueError(f"policy={policy!r} is a class; give what it makes: {policy.__name__}()")  # noqa: TRY004 - as all bad policies
    if callable(policy):
        return policy
    if str(policy) not in BY_NAME:
        raise ValueError(f"no policy {policy!r}; there are {', '.join(sorted(BY_NAME))}, or give a function")
    return BY_NAME[str(policy)]


def compiled_name(policy: Policy) -> str | None:
    """By what name the compiled chooser knows a policy; None if it does not.

    One that is derived from ours is not ours: what it does otherwise would be passed over.
    """
    if type(policy) in {Fgd, Packed, Random, Ray}:
        return str(policy.code)  # type: ignore[attr-defined]  # those four have it
    return next((name for name, ours in BY_NAME.items() if ours is policy and name not in _UNCOMPILED), None)


def score_of(policy: Callable[..., object], room: Room, demand: Demand, gpus: tuple[int, ...]) -> float:
    """A score that can be compared.

    Raises:
        PolicyFailed: The policy raised, or gave something that is no number: comparing it would pick at random.
    """
    name = getattr(policy, "__name__", type(policy).__name__)
    try:
        score = policy(room, demand, gpus)
    except Exception as problem:
        raise PolicyFailed(name, f"raised {type(problem).__name__}: {problem}") from problem
    if not isinstance(score, int | float | Real):  # numpy's numbers are Real
        raise PolicyFailed(name, f"gave {score!r}")
    if isinstance(score, int):
        return score
    try:
        number = float(score)
    except OverflowError as problem:
        raise PolicyFailed(name, f"gave {score!r}, which is no float") from problem
    if math.isnan(number):
        raise PolicyFailed(name, "gave NaN")
    return number


def kind_of(demand: Demand) -> str:
    """What GPU clustering puts together: shares, or demands for so many GPUs."""
    return "share" if 0 < demand.gpus < 1 else str(min(demand.gpu_count, MANY_GPUS))


def mixed(seed: int, decision: int, item: int) -> int:
    """64 bits that look random and are the same for the same three numbers (splitmix64's finaliser)."""
    x = (seed * 0x9E3779B97F4A7C15 + decision * 0xBF58476D1CE4E5B9 + item * 0x94D049BB133111EB) & (2**64 - 1)
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return x ^ (x >> 31)


def _least_left(room: Room, demand: Demand) -> int:
    cpu = room.cpu_milli - demand.cpu_milli
    gpu = sum(room.share_milli) - demand.gpu_count * demand.share_milli
    ratio = LARGEST_CPU_MILLI // LARGEST_GPU_MILLI
    return (200 * LARGEST_CPU_MILLI - 100 * (cpu + ratio * gpu)) // (2 * LARGEST_CPU_MILLI)


def _widest(room: Room, gpus: tuple[int, ...]) -> int:
    return max((room.share_milli[index] for index in gpus), default=0)
