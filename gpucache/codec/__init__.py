"""How a value is laid out, and read again: the codec is chosen by the value's type, the fastest exact one first."""

from __future__ import annotations

import sys
from typing import Any

from gpucache.codec import arrow, array, file, python, structure, tensor
from gpucache.codec.kinds import Encoded, FilePart, OpenPart, part_bytes
from gpucache.digests import File
from gpucache.errors import RecordCorrupt, Untrusted

__all__ = ["Encoded", "FilePart", "OpenPart", "decode", "encode", "part_bytes"]

_STRUCTURED = frozenset({list, tuple, dict, set, frozenset, int, complex, bytearray, range})


def encode(value: Any) -> Encoded:
    """Lay a value out.

    Raises:
        NotStorable: It can't be turned into bytes and back.
    """
    plain = structure.encode_plain(value)
    if plain is not None:
        return plain
    kind = type(value)
    if isinstance(value, File):
        return file.encode(value)
    library = kind.__module__.partition(".")[0]
    found: Encoded | None = None
    if library == "numpy" and hasattr(value, "dtype") and array.fits(value):
        found = array.encode(value)
    elif library == "torch":
        found = tensor.encode(value) if "torch" in sys.modules and hasattr(value, "layout") else None
    elif library == "pyarrow":
        found = arrow.encode(value)
    elif kind in _STRUCTURED or kind.__module__ in ("datetime", "decimal", "fractions", "uuid", "pathlib", "numpy"):
        found = structure.encode(value)
    return python.encode(value) if found is None else found


def decode(codec: str, meta: bytes, open_part: OpenPart, *, part_count: int, allow_pickle: bool) -> Any:
    """Read a value again. `open_part(index, writable)` gives the bytes of its parts.

    Raises:
        RecordCorrupt: The bytes are not what this codec writes, or no such codec is known.
        Untrusted: It would have to be unpickled, and allow_pickle says not to; nothing was read.
    """
    match codec:
        case structure.PLAIN:
            return structure.decode_plain(meta)
        case array.NAME:
            return array.decode(meta, open_part)
        case structure.STRUCT:
            return structure.decode(meta, open_part)
        case tensor.NAME:
            return tensor.decode(meta, open_part)
        case arrow.NAME:
            return arrow.decode(meta, open_part)
        case python.NAME:
            if not allow_pickle:
                raise Untrusted("this store", "others can write to it")
            return python.decode(open_part, part_count)
    raise RecordCorrupt(codec, "no codec of this name is known to this gpucache")
