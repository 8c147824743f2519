"""XXH3-128 over a tree of 64 KiB leaves: the reference, in Python, which every kernel must agree with.

Two levels, so that one thread, many threads and a GPU give one digest. A leaf is XXH3-128 with seed 0; what fits in one leaf
is its leaf's digest; else the root is XXH3-128 with seed 1 over the leaves' digests and the length. The seeds keep a
leaf and a root from being taken for each other.
"""

from __future__ import annotations

import struct

import xxhash

LEAF_BYTES = 64 * 1024
LEAF_SEED, ROOT_SEED = 0, 1


def tree_digest_reference(data: bytes | bytearray | memoryview) -> bytes:
    """16 bytes, in XXH3's canonical (big-endian) form. `data` is C-contiguous."""
    view = memoryview(data).cast("B")
    if len(view) <= LEAF_BYTES:
        return xxhash.xxh3_128_digest(view, seed=LEAF_SEED)
    root = xxhash.xxh3_128(seed=ROOT_SEED)
    for start in range(0, len(view), LEAF_BYTES):
        root.update(xxhash.xxh3_128_digest(view[start : start + LEAF_BYTES], seed=LEAF_SEED))
    root.update(struct.pack("<Q", len(view)))
    return root.digest()
