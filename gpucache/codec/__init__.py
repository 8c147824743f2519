"""How a value is laid out, and read again: the codec is chosen by the value's type, the fastest exact one first."""

from __future__ import annotations

from typing import Any

from gpucache.codec import array, arrow, file, python, scalars, structure, tensor
from gpucache.codec.kinds import Encoded, FilePart, OpenPart, part_bytes
from gpucache.codec.structure import NO_SCALARS, decode_scalars
from gpucache.digests import File
from gpucache.errors import RecordCorrupt, Untrusted

__all__ = ["NO_SCALARS", "Encoded", "FilePart", "OpenPart", "decode", "decode_scalars", "encode", "part_bytes"]

_STRUCTURED = frozenset({list, tuple, dict, set, frozenset, int, str, bytes, bytearray, *scalars.WRITERS})


def encode(value: Any) -> Encoded:
    """Lay a value out. Its parts are the value's own memory: write them before it changes.

    Raises:
        NotStorable: It can't be turned into bytes and back, exactly.
    """
    found = structure.encode_plain(value)
    if found is not None:
        return found
    kind = type(value)
    if kind in _STRUCTURED:
        found = structure.encode(value)
    elif isinstance(value, File):
        found = file.encode(value)
    else:
        match kind.__module__.partition(".")[0]:
            case "numpy":
                found = array.encode(value) or structure.encode(value)
            case "torch":
                found = tensor.encode(value) if hasattr(value, "layout") else None
            case "pyarrow":
                found = arrow.encode(value)
    return python.encode(value) if found is None else found


def decode(codec: str, meta: bytes, open_part: OpenPart, *, allow_pickle: bool, part_count: int | None = None) -> Any:
    """Read a value again.

    Args:
        codec: As encode() said.
        meta: As encode() said.
        open_part: open_part(index, writable) gives the bytes of a part; it is called for the parts that are needed.
        allow_pickle: The bytes are one's own. False: what is pickled is refused, and all else is checked so that no bytes,
            whoever wrote them, can run code, take memory that they don't fill, or lead out of themselves.
        part_count: How many parts there are, if that is known: a part beyond is then refused before it is opened.

    Raises:
        RecordCorrupt: The bytes are not what this codec writes, or no such codec is known.
        Untrusted: It would have to be unpickled, and allow_pickle says not to; nothing was read.
    """
    if codec == structure.PLAIN:
        return structure.decode_plain(meta)
    if codec == python.NAME and not allow_pickle:
        raise Untrusted("this store", "others can write to it")
    opener = open_part if part_count is None else _bounded(open_part, part_count)
    try:
        match codec:
            case array.NAME:
                return array.decode(meta, opener)
            case structure.STRUCT:
                return structure.decode(meta, opener, trusted=allow_pickle)
            case tensor.NAME:
                return tensor.decode(meta, opener)
            case arrow.NAME:
                return arrow.decode(meta, opener, trusted=allow_pickle)
            case python.NAME:
                return python.decode(meta, opener)
    except IndexError as problem:
        raise RecordCorrupt(codec, "one of its parts is missing") from problem
    if codec == file.NAME:
        raise RecordCorrupt(codec, "a file is made again by a store, which has a place for it, not by decode()")
    raise RecordCorrupt(codec, "no codec of this name is known to this gpucache")


def _bounded(open_part: OpenPart, part_count: int) -> OpenPart:
    def opener(index: int, writable: bool) -> Any:
        if not 0 <= index < part_count:
            raise IndexError(index)
        return open_part(index, writable)

    return opener
