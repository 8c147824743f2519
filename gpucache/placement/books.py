"""What is left of every node and GPU, as flat columns of whole numbers that Python and the compiled chooser both read."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from gpucache.placement.islands import island_of_each, largest_group
from gpucache.placement.model import LARGEST_BYTES, MILLI, Demand, Node, Room
from gpucache.placement.policies import MANY_GPUS, kind_of

KINDS = ("share", *(str(count) for count in range(1, MANY_GPUS + 1)))
_NOTHING = 4 * LARGEST_BYTES
_KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}


class Books:
    """One column per quantity; a node's GPUs are gpu_first[node] to gpu_first[node + 1].

    A node's version moves whenever anything of it does, so that whoever keeps a score knows when it is stale.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        gpus = [gpu for node in nodes for gpu in node.gpus]
        self.nodes = tuple(nodes)
        self.holds: list[frozenset[str]] = [frozenset(node.holds) for node in nodes]
        self.models = tuple(sorted({gpu.model for gpu in gpus}))
        first = [0]
        for node in nodes:
            first.append(first[-1] + len(node.gpus))
        ids = {model: index for index, model in enumerate(self.models)}
        self.gpu_first = array("q", first)
        self.alive = array("q", [1] * len(nodes))
        self.closed: dict[int, str] = {}  # nodes that are not alive, and why, where they are not simply gone
        self.out: dict[int, int] = {}  # GPUs out of service, with the share that is left for when they are back
        self.version = array("q", [1] * len(nodes))
        self.cpu_total = array("q", [round(node.cpus * MILLI) for node in nodes])
        self.cpu_left = array("q", self.cpu_total)
        self.memory_total = array("q", [node.memory_bytes for node in nodes])
        self.memory_left = array("q", self.memory_total)
        self.model = array("q", [ids[gpu.model] for gpu in gpus])
        self.capacity = array("q", [gpu.memory_bytes for gpu in gpus])
        self.bytes_left = array("q", self.capacity)
        self.foreign = array("q", [0] * len(gpus))
        self.share_left = array("q", [MILLI] * len(gpus))
        self.island = array("q", [number for node in nodes for number in island_of_each(len(node.gpus), node.islands)])
        self.kind_counts = array("q", [0] * (len(KINDS) * len(nodes)))

    def take(self, node: int, gpus: Iterable[int], demand: Demand, sign: int = 1) -> None:
        """Take a demand's place on a node, or with sign=-1 give it back."""
        self.cpu_left[node] -= sign * demand.cpu_milli
        self.memory_left[node] -= sign * demand.memory_bytes
        first, share = self.gpu_first[node], demand.share_milli
        for index in gpus:
            if first + index in self.out:
                self.out[first + index] -= sign * share
            else:
                self.share_left[first + index] -= sign * share
            self.bytes_left[first + index] -= sign * self.bytes_on(first + index, demand)
        if demand.gpus:
            self.kind_counts[node * len(KINDS) + _KIND_INDEX[kind_of(demand)]] += sign
        self.version[node] += 1

    def set_foreign(self, gpu: int, nbytes: int) -> None:
        """Others use so much of a GPU's memory."""
        self.bytes_left[gpu] -= nbytes - self.foreign[gpu]
        self.foreign[gpu] = nbytes

    def set_out(self, gpu: int, *, out: bool) -> None:
        """Take a GPU out of service, or back: out of service it has no share to give, and no byte, not even none."""
        if out == (gpu in self.out):
            return
        self.bytes_left[gpu] -= _NOTHING if out else -_NOTHING
        if out:
            self.out[gpu], self.share_left[gpu] = self.share_left[gpu], 0
        else:
            self.share_left[gpu] = self.out.pop(gpu)

    def close(self, node: int, why: str) -> None:
        """Let nothing onto a node; what is there stays."""
        self.alive[node] = 0
        self.closed[node] = why
        self.version[node] += 1

    def open(self, node: int) -> None:
        """Let demands onto a node again."""
        self.alive[node] = 1
        self.closed.pop(node, None)
        self.version[node] += 1

    def bytes_on(self, gpu: int, demand: Demand) -> int:
        """What a demand takes of a GPU's memory: what it declares, else what its share amounts to."""
        if demand.gpu_memory_bytes is not None:
            return demand.gpu_memory_bytes
        return self.capacity[gpu] * demand.share_milli // MILLI

    def room(self, node: int, decision: int = 0) -> Room:
        """What is left of a node, for policies."""
        first, last = self.gpu_first[node], self.gpu_first[node + 1]
        counts = self.kind_counts[node * len(KINDS) : (node + 1) * len(KINDS)]
        return Room(
            self.nodes[node],
            self.cpu_left[node],
            self.memory_left[node],
            tuple(self.share_left[first:last]),
            tuple(self.bytes_left[first:last]),
            node,
            decision,
            tuple((kind, count) for kind, count in zip(KINDS, counts, strict=True) if count),
            self.holds[node],
        )

    def fitting(self, node: int, demand: Demand) -> list[int]:
        """The GPUs of a node that have room for a demand's share and memory."""
        first, last = self.gpu_first[node], self.gpu_first[node + 1]
        share = demand.share_milli
        return [
            gpu - first
            for gpu in range(first, last)
            if (not demand.models or self.models[self.model[gpu]] in demand.models)
            and self.share_left[gpu] >= share
            and self.bytes_left[gpu] >= self.bytes_on(gpu, demand)
        ]

    def short(self, node: int, demand: Demand) -> str | None:
        """The first limit that keeps a demand off a node; None if it fits."""
        if not self.alive[node]:
            return self.closed.get(node, "node gone")
        if self.cpu_left[node] < demand.cpu_milli:
            return "too few CPUs"
        if self.memory_left[node] < demand.memory_bytes:
            return "too little memory"
        if not demand.gpus:
            return None
        if demand.models and not any(gpu.model in demand.models for gpu in self.nodes[node].gpus):
            return f"no GPU of model {' or '.join(demand.models)}"
        fitting = self.fitting(node, demand)
        if len(fitting) < demand.gpu_count:
            return self._short_of_gpus(node, demand)
        if demand.joined and largest_group(fitting, self.nodes[node].islands) < demand.gpu_count:
            return "too few GPUs with room on one island"
        return None

    def _short_of_gpus(self, node: int, demand: Demand) -> str:
        """The limit that leaves too few of a node's GPUs: how many there are, then health, then share, then memory."""
        count, first = demand.gpu_count, self.gpu_first[node]
        gpus = [
            first + index
            for index, gpu in enumerate(self.nodes[node].gpus)
            if not demand.models or gpu.model in demand.models
        ]
        if len(gpus) < count:
            return "too few GPUs" + (f" of model {' or '.join(demand.models)}" if demand.models else "")
        gpus = [gpu for gpu in gpus if gpu not in self.out]
        if len(gpus) < count:
            return "too few GPUs in service"
        gpus = [gpu for gpu in gpus if self.share_left[gpu] >= demand.share_milli]
        if len(gpus) < count:
            return (
                "too few whole GPUs left"
                if demand.share_milli == MILLI
                else "too few GPUs with enough of their share left"
            )
        gpus = [gpu for gpu in gpus if self.bytes_left[gpu] + self.foreign[gpu] >= self.bytes_on(gpu, demand)]
        return "too little GPU memory left" + (" beside what others use" if len(gpus) >= count else "")

    def crosses(self, node: int, demand: Demand) -> bool:
        """Whether the GPUs that a demand would have on a node that it fits are on several islands."""
        islands = self.nodes[node].islands
        return bool(islands) and largest_group(self.fitting(node, demand), islands) < demand.gpu_count
