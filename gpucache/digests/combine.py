"""One digest of several byte strings, which no other split of the same bytes gives."""

from __future__ import annotations

import struct

from gpucache.digests._kernel import hash128

_SEED = 2
"""Not that of a leaf or a root (tree.py): a combination is never taken for a value."""


def combine(*parts: bytes) -> bytes:
    """16 bytes; each part is prefixed by its length, so ("ab", "c") and ("a", "bc") differ."""
    return hash128(b"".join(struct.pack("<Q", len(part)) + part for part in parts), _SEED)
