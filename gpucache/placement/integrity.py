"""Whether the books say what the placements say."""

from __future__ import annotations

from collections.abc import Iterable

from gpucache.placement.books import Books
from gpucache.placement.model import Placement


def check(books: Books, placements: Iterable[tuple[int, Placement]]) -> None:
    """Count again from nothing. Raises AssertionError: a bug of gpucache.

    Args:
        placements: Each with the index of its node.
    """
    counted = Books(books.nodes)
    for node, placement in placements:
        counted.take(node, placement.gpu_indices, placement.demand)
    for gpu, nbytes in enumerate(books.foreign[: len(counted.foreign)]):
        counted.set_foreign(gpu, nbytes)
    for gpu in books.out:
        counted.set_out(gpu, out=True)
    if books.out != counted.out:
        raise AssertionError(f"what is left of GPUs out of service does not add up: {books.out} against {counted.out}")
    for column in ("cpu_left", "memory_left", "share_left", "bytes_left", "kind_counts"):
        have, should = (list(getattr(each, column)) for each in (books, counted))
        if have[: len(should)] != should:
            raise AssertionError(f"{column} does not add up: {have} against {should}")
    if any(
        left < 0 for column in ("cpu_left", "memory_left", "share_left") for left in getattr(counted, column)
    ) or any(left < 0 for left in counted.out.values()):
        raise AssertionError("more is promised than there is")
