"""The digest of a file's bytes, read in pieces: a mapped file that is cut short, or whose disk fails, would kill by SIGBUS."""

from __future__ import annotations

import os
from collections.abc import Callable

from gpucache.digests._kernel import leaf_digests, root_digest, tree_digest
from gpucache.digests.tree import LEAF_BYTES

PIECE_BYTES = 64 * LEAF_BYTES  # 4 MiB stay in the second-level cache between reading and hashing


def digest_of_file(descriptor: int, *, each: Callable[[bytes], object] | None = None) -> tuple[bytes, int]:
    """The tree digest and the size of what is read from here to the end; `each` is given every piece.

    Raises:
        OSError: It can't be read.
    """
    leaves: list[bytes] = []
    size = 0
    while True:
        piece = _whole_piece(descriptor)
        if size and not piece:
            break
        if each is not None:
            each(piece)
        size += len(piece)
        if size == len(piece) and len(piece) < PIECE_BYTES:
            return tree_digest(piece), size  # all of it; one leaf is its own root
        leaves.append(leaf_digests(piece))
    return root_digest(b"".join(leaves), size), size


def _whole_piece(descriptor: int) -> bytes:
    """PIECE_BYTES, or what is left: a read may give less than was asked for, and a piece is whole leaves."""
    piece = os.read(descriptor, PIECE_BYTES)
    while piece and len(piece) < PIECE_BYTES:
        more = os.read(descriptor, PIECE_BYTES - len(piece))
        if not more:
            break
        piece += more
    return piece
