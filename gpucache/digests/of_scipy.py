"""scipy.sparse: a matrix by its class, shape and the entries it has, whatever order they are kept in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gpucache.digests.canonical import Walker, by_digest


def encoders() -> dict[type, Callable[[Walker, Any], None]]:
    """The encoders of scipy.sparse's classes, if it is imported."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None:
        return {}
    names = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    classes = [getattr(sparse, f"{name}_{kind}") for name in names for kind in ("matrix", "array")]
    return dict.fromkeys(classes, _sparse)


@by_digest
def _sparse(walker: Walker, value: Any) -> None:
    import numpy as np

    entries = value.tocoo(copy=True)
    entries.sum_duplicates()
    walker.tag(b"s", type(value).__name__.encode(), repr(tuple(int(length) for length in value.shape)).encode())
    walker.child(".data", np.asarray(entries.data))
    for axis, places in enumerate(entries.coords):
        walker.child(f".coords[{axis}]", np.asarray(places, dtype=np.int64))
