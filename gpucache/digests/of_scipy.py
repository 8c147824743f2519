"""scipy.sparse: a matrix by its class, shape and the entries it has, whatever order they are kept in."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpucache.digests.encoders import Encoder, by_digest

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoders of scipy.sparse's classes."""
    sparse = sys.modules["scipy.sparse"]
    names = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    classes = [getattr(sparse, f"{name}_{kind}", None) for name in names for kind in ("matrix", "array")]
    return {kind: _sparse for kind in classes if isinstance(kind, type)}, {}


@by_digest
def _sparse(walker: Walker, value: Any) -> None:
    """Entries by place; entries given twice are one, of their sum; an explicit zero is an entry."""
    entries = value.tocoo(copy=True)
    entries.sum_duplicates()
    walker.begin(b"scipy.sparse", value)
    shape = struct.pack(f"<{len(value.shape)}Q", *value.shape)
    walker.tag(b"", type(value).__name__.encode(), str(value.dtype.str).encode(), shape)
    walker.child(".data", np.asarray(entries.data))
    for axis, places in enumerate(entries.coords):
        walker.child(f".coords[{axis}]", np.asarray(places, dtype=np.int64))
