"""A value that anybody may have written: read as what it may be, hostile, and believed if it is the value that it is said to be.

A store reads its own bytes with confidence, so this happens once, before they are its own. Nothing is unpickled; no bytes, whoever
wrote them, can run code or lead out of themselves (codec.decode); and the value's own digest must be the one that its record says,
so that nothing can lie in this store under the name of something else.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from gpucache import codec
from gpucache.codec.file import NAME as FILE
from gpucache.digests import file_digest, value_digest
from gpucache.errors import NotIdentifiable, RecordCorrupt, Untrusted
from gpucache.store.checkout import Checkout
from gpucache.store.record import Manifest, PartRef
from gpucache.store.remote.scratch import Scratch

READ_FROM_ANYBODY = ("plain", "array", "tensor", "struct", "arrow", FILE)


def look_through(encoded: codec.Encoded, digest: bytes, url: str, scratch: Scratch) -> None:
    """Refuse a value that would run code when it is read, or is not what it is said to be.

    Args:
        scratch: For files that are made to be looked at.

    Raises:
        Untrusted: It would be unpickled.
        RecordCorrupt: It is not what its codec writes, or has another digest.
    """
    if encoded.pickled or encoded.codec not in READ_FROM_ANYBODY:
        raise Untrusted(url, "it would be unpickled, and no trusted key signed it")
    try:
        found = value_digest(_files(encoded, scratch) if encoded.codec == FILE else _decoded(encoded))
    except (NotIdentifiable, OSError, ValueError, TypeError) as problem:
        raise RecordCorrupt(f"remote value {digest.hex()[:12]}", str(problem)) from problem
    if found != digest:
        raise RecordCorrupt(f"remote value {digest.hex()[:12]}", f"it is another value, {found.hex()[:12]}")


def _decoded(encoded: codec.Encoded) -> Any:
    def part(index: int, writable: bool) -> Any:
        data = encoded.parts[index]
        if isinstance(data, codec.FilePart):
            return _mapped(data.path, writable=writable)
        return bytearray(data) if writable else data

    return codec.decode(encoded.codec, encoded.meta, part, allow_pickle=False, part_count=len(encoded.parts))


def _mapped(path: Path, *, writable: bool) -> Any:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return bytearray() if writable else b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY if writable else mmap.ACCESS_READ)


def _files(encoded: codec.Encoded, scratch: Scratch) -> Any:
    """The File or Dir as a store would hand it out, of links to the parts' files."""
    refs = tuple(PartRef(None, index.to_bytes(16, "big"), 0) for index in range(len(encoded.parts)))

    def link(part: PartRef, place: Path) -> None:
        source = encoded.parts[int.from_bytes(part.blob or b"", "big")]
        if not isinstance(source, codec.FilePart):
            raise RecordCorrupt("remote file", "its content is no file")
        os.link(source.path, place)

    made, making = scratch.new(), scratch.new()
    made.mkdir()
    making.mkdir()
    checkout = Checkout(made, making, link, lambda *_: True, file_digest)
    return checkout.give(Manifest(bytes(16), FILE, encoded.meta, refs, False, 0))
