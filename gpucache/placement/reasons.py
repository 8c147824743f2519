"""Why a demand does not fit, in a sentence: which limit, on how many nodes, what is nearest, and what would fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gpucache.placement.books import Books
from gpucache.placement.islands import groups_of, largest_group
from gpucache.placement.model import MILLI, Demand, Node


def why_not_now(books: Books, demand: Demand) -> str | None:
    """Why a demand fits nowhere now; None if it does."""
    never = why_never(books, demand)
    if never is not None:
        return never
    reasons: Counter[str] = Counter()
    for node in range(len(books.nodes)):
        reason = books.short(node, demand)
        if reason is None:
            return None
        reasons[reason] += 1
    told = [f"{reason} on {count} of {len(books.nodes)} nodes" for reason, count in reasons.most_common()]
    return f"{'; '.join(told)}; nearest: {_nearest(books, demand)}"


def why_never(books: Books, demand: Demand) -> str | None:
    """Why a demand would fit on no node even if all were empty, with the largest that would; None if it would."""
    if not books.nodes:
        return "there are no nodes"
    empty = Books(books.nodes)
    for node, alive in enumerate(books.alive):
        empty.alive[node] = int(bool(alive) or node in books.closed)  # out of service is not gone
    together = 0
    for node in range(len(books.nodes)):
        together += _members(empty, node, demand)
        if together >= demand.gang:
            return None
    if together:
        return f"never fits: a gang of {demand.gang}, of which {together} would fit were the cluster empty"
    living = [node for node, alive in zip(books.nodes, empty.alive, strict=False) if alive]
    if not living:
        return "never fits: every node is gone"
    have = sorted({gpu.model or "no name" for node in living for gpu in node.gpus})
    if demand.models and not any(model in demand.models for model in have):
        models = f"the GPUs there are have models {', '.join(have)}" if have else "there are no GPUs"
        return f"never fits: no GPU of model {' or '.join(demand.models)}; {models}"
    return (
        f"never fits: the largest node there is has {max(node.cpus for node in living):g} CPUs, "
        f"{max(node.memory_bytes for node in living):,} bytes of memory and {_largest_gpus(living, demand)}, not always on one node; "
        f"asked: {demand.cpus:g} CPUs, {demand.memory_bytes:,} bytes, {demand.gpus:g} GPUs"
        + (f" of {demand.gpu_memory_bytes:,} bytes" if demand.gpu_memory_bytes is not None else "")
        + _largest_that_would(empty, demand)
    )


def _largest_gpus(nodes: Sequence[Node], demand: Demand) -> str:
    """The most GPUs of a node that a demand may use, and the largest of them."""
    count = max(_gpus_of_models(node, demand) for node in nodes)
    sizes = [gpu.memory_bytes for node in nodes for gpu in node.gpus if not demand.models or gpu.model in demand.models]
    if not sizes:
        return "no GPU"
    joined = "joined in one island " if demand.joined else ""
    models = f"of model {' or '.join(demand.models)} " if demand.models else ""
    return f"{count} GPUs {joined}{models}of up to {max(sizes):,} bytes"


def _largest_that_would(empty: Books, demand: Demand) -> str:
    """The most of each amount that would fit were the rest as asked; nothing where changing one amount is not enough."""
    single, count = replace(demand, gang=1), demand.gpu_count
    told: list[str] = []
    if nodes := _that_fit(empty, replace(single, cpus=0)):
        told.append(f"{max(empty.cpu_total[node] for node in nodes) / MILLI:g} CPUs")
    if nodes := _that_fit(empty, replace(single, memory_bytes=0)):
        told.append(f"{max(empty.memory_total[node] for node in nodes):,} bytes of memory")
    if count and (nodes := _that_fit(empty, replace(single, gpu_memory_bytes=0))):
        told.append(f"{max(_bytes_of_the_last(empty, node, single) for node in nodes):,} bytes of each GPU")
    if count > 1 and (nodes := _that_fit(empty, one := replace(single, gpus=1))):
        told.append(f"{max(_gpus_with_room(empty, node, one) for node in nodes)} GPUs")
    return f"; with the rest as asked would fit: {', or '.join(told)} at most" if told else ""


def _that_fit(empty: Books, demand: Demand) -> list[int]:
    return [node for node in range(len(empty.nodes)) if empty.short(node, demand) is None]


def _bytes_of_the_last(empty: Books, node: int, demand: Demand) -> int:
    """What the smallest of the largest GPUs that a demand could have has."""
    first = empty.gpu_first[node]
    fitting = empty.fitting(node, replace(demand, gpu_memory_bytes=0))
    islands = empty.nodes[node].islands
    groups = groups_of(fitting, islands) if demand.joined and islands else [fitting]
    sizes = [sorted((empty.capacity[first + gpu] for gpu in group), reverse=True) for group in groups]
    return max((size[demand.gpu_count - 1] for size in sizes if len(size) >= demand.gpu_count), default=0)


def _gpus_of_models(node: Node, demand: Demand) -> int:
    allowed = [index for index, gpu in enumerate(node.gpus) if not demand.models or gpu.model in demand.models]
    return largest_group(allowed, node.islands) if demand.joined else len(allowed)


def _members(empty: Books, node: int, demand: Demand) -> int:
    """How many members of a gang an empty node would take; nodes don't depend on one another, so these add up."""
    if empty.short(node, demand) is not None:
        return 0
    limits = [demand.gang]
    if demand.label and demand.label in demand.apart:
        limits.append(1)
    if demand.cpu_milli:
        limits.append(empty.cpu_left[node] // demand.cpu_milli)
    if demand.memory_bytes:
        limits.append(empty.memory_left[node] // demand.memory_bytes)
    fitting = empty.fitting(node, demand)
    if demand.gpus >= 1:
        islands = empty.nodes[node].islands
        groups = groups_of(fitting, islands) if demand.joined and islands else [fitting]
        limits.append(sum(len(group) // demand.gpu_count for group in groups))
    elif demand.gpus:
        first, taken = empty.gpu_first[node], 0
        for gpu in fitting:
            nbytes = empty.bytes_on(first + gpu, demand)
            fits = MILLI // demand.share_milli
            taken += min(fits, empty.capacity[first + gpu] // nbytes) if nbytes else fits
        limits.append(taken)
    return min(limits)


def _nearest(books: Books, demand: Demand) -> str:
    """The node that lacks least of what is asked, and what it has left."""
    lacking: list[tuple[float, int]] = []
    for node in range(len(books.nodes)):
        if not books.alive[node]:
            continue
        parts = [
            _lack(books.cpu_left[node], demand.cpu_milli),
            _lack(books.memory_left[node], demand.memory_bytes),
            _lack(_gpus_of_models(books.nodes[node], demand), demand.gpu_count),
            _lack(_gpus_with_room(books, node, demand), demand.gpu_count),
        ]
        lacking.append((sum(parts), node))
    if not lacking:
        return "none that is open"
    _, node = min(lacking)
    first, last = books.gpu_first[node], books.gpu_first[node + 1]
    left = [
        "out of service" if gpu in books.out else f"{books.share_left[gpu] / MILLI:g} ({gib(books.bytes_left[gpu])})"
        for gpu in range(first, last)
    ]
    return (
        f"{books.nodes[node].name} with {books.cpu_left[node] / MILLI:g} CPUs, {gib(books.memory_left[node])} of memory and "
        f"{'of its GPUs ' + ', '.join(left) if left else 'no GPU'} left"
    )


def gib(nbytes: int) -> str:
    """Memory for people."""
    return f"{nbytes / 2**30:.4g} GiB"


def _gpus_with_room(books: Books, node: int, demand: Demand) -> int:
    fitting = books.fitting(node, demand)
    return largest_group(fitting, books.nodes[node].islands) if demand.joined else len(fitting)


def _lack(have: int, want: int) -> float:
    """The part of what is wanted that is not there, 0..1."""
    return max(0.0, (want - have) / want) if want else 0.0
