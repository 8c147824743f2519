"""How a value is laid out: a codec's name, a few bytes that describe it, and parts that hold its bulk.

Parts are the source's own buffers, not copies; a part can also be a file. Knows nothing of where they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

Buffer = Any
"""Anything with the buffer protocol, C-contiguous: typing has no name for it before Python 3.12."""

OpenPart = Callable[[int, bool], Any]
"""open_part(index, writable): the part's bytes; writable means private to the caller, else they can't be written.

May raise IndexError if there is no such part; whatever else it raises reaches the caller of decode() as it is.
"""

BULK_FROM_BYTES = 4096
"""Smaller pieces stay in the description or the pickle: a part of their own costs a row or a file, tens of microseconds."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part whose bytes lie in a file."""

    path: Path

    @property
    def nbytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size


class Encoded(msgspec.Struct, frozen=True, eq=False):
    """A value laid out. A msgspec struct, since making a frozen dataclass costs more than encoding a number (0.6 µs).

    Attributes:
        codec: Who can read it.
        meta: What the codec needs beside the parts, msgpack; under BULK_FROM_BYTES but for long shapes and directories.
        parts: Its bulk, in order. They are the value's own memory: write them out before the value changes.
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


def type_name(value: object) -> str:
    """The name of a value's type, as an error tells it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
