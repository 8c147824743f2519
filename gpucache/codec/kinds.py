"""How a value is laid out: a codec's name, a few bytes that describe it, and parts that hold its bulk.

Parts are the source's own buffers, not copies; a part can also be a file. Knows nothing of where they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Buffer = Any
"""Anything with the buffer protocol, C-contiguous: typing has no name for it before Python 3.12."""

OpenPart = Callable[[int, bool], Any]
"""open_part(index, writable): the part's bytes; writable means private to the caller, else they can't be written."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part whose bytes lie in a file."""

    path: Path

    @property
    def nbytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value laid out.

    Attributes:
        codec: Who can read it.
        meta: What the codec needs beside the parts, msgpack.
        parts: Its bulk, in order.
        pickled: Reading it runs what pickle says, so only a store of one's own is read so.
    """

    codec: str
    meta: bytes
    parts: tuple[Buffer | FilePart, ...] = ()
    pickled: bool = False

    @property
    def nbytes(self) -> int:
        """All its bytes."""
        return len(self.meta) + sum(part_bytes(part) for part in self.parts)


def part_bytes(part: Buffer | FilePart) -> int:
    """The size of a part."""
    return part.nbytes if isinstance(part, FilePart) else memoryview(part).nbytes
