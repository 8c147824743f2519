"""What a store names its blobs by: the digest of their bytes, by an algorithm that is chosen when the store is made.

XXH3-128 is right against accident and as fast as memory. BLAKE3 is right against intent too, at an eighth of that speed: nobody can
put other bytes in a blob's place, or make two contents of one name. What makes two *values* equal is XXH3-128 in either store.

Files are read in pieces: a mapped file that is cut short, or whose disk fails, would kill by SIGBUS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gpucache.digests import file_digest
from gpucache.digests._kernel import leaf_digests, root_digest, tree_digest
from gpucache.digests.tree import LEAF_BYTES

PIECE_BYTES = 64 * LEAF_BYTES  # 4 MiB stay in the second-level cache between reading and hashing

Each = Callable[[bytes], object]


class Content(Protocol):
    """An algorithm that names blobs."""

    name: str

    def of(self, data: Any) -> bytes:
        """The digest of a buffer."""
        ...

    def of_open_file(self, descriptor: int, *, each: Each | None = None) -> bytes:
        """The digest of what is read from here to the end; `each` is given every piece. Raises OSError if it can't be read."""
        ...

    def of_file(self, path: Path) -> bytes:
        """The digest of a file. Raises OSError if it can't be read."""
        ...


class Xxh3:
    """XXH3-128 over a tree of leaves: a value's digest is by the same, so a file's is most often known already."""

    name = "xxh3-128"

    def of(self, data: Any) -> bytes:
        """The digest of a buffer."""
        return tree_digest(data)

    def of_open_file(self, descriptor: int, *, each: Each | None = None) -> bytes:
        """The digest of what is read from here to the end."""
        return digest_of_file(descriptor, each=each)[0]

    def of_file(self, path: Path) -> bytes:
        """The digest of a file."""
        return file_digest(path)


class Blake3:
    """BLAKE3, 32 bytes, by the package of that name.

    Raises:
        ImportError: There is none.
    """

    name = "blake3"

    def __init__(self) -> None:
        from blake3 import blake3

        self._blake3 = blake3

    def of(self, data: Any) -> bytes:
        """The digest of a buffer."""
        digest: bytes = self._blake3(memoryview(data).cast("B"), max_threads=self._blake3.AUTO).digest()
        return digest

    def of_open_file(self, descriptor: int, *, each: Each | None = None) -> bytes:
        """The digest of what is read from here to the end."""
        hashed = self._blake3(max_threads=self._blake3.AUTO)
        while piece := _whole_piece(descriptor):
            if each is not None:
                each(piece)
            hashed.update(piece)
        digest: bytes = hashed.digest()
        return digest

    def of_file(self, path: Path) -> bytes:
        """The digest of a file."""
        with path.open("rb", buffering=0) as file:
            return self.of_open_file(file.fileno())


ALGORITHMS: dict[str, Callable[[], Content]] = {Xxh3.name: Xxh3, Blake3.name: Blake3}


def digest_of_file(descriptor: int, *, each: Each | None = None) -> tuple[bytes, int]:
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
