"""Values that carry their digest: what came out of the store is not hashed again.

By id(), guarded by a weak reference, so that a dead object's address is never taken for it. Remembered is only what nobody can
change by numpy's or Arrow's own means: an array whose memory belongs, at the end of its chain of bases, to a read-only buffer
(a mapping, bytes). An array that owns its memory can be made writable, changed and locked again, and would then lie.
Its address, shape, strides and dtype are compared at every look: numpy lets those be changed in place. Arrays of objects are
never remembered, since what they refer to can change.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

_known: dict[int, tuple[weakref.ref[Any], object, bytes]] = {}


def remember(value: object, digest: bytes) -> bool:
    """Keep value's digest with it for as long as it lives; False if it is not an array that can't change.

    `digest` is its value digest, 16 bytes. Any thread; a forked child keeps what was remembered before the fork.
    """
    form = _form(value)
    if form is None:
        return False
    address = id(value)
    _known[address] = (weakref.ref(value, lambda _: _known.pop(address, None)), form, digest)
    return True


def remembered(value: object) -> bytes | None:
    """The digest that value carries, or None."""
    known = _known.get(id(value))
    if known is None or known[0]() is not value or known[1] != _form(value):
        return None
    return known[2]


def _form(value: Any) -> object:
    """What must stay as it is for a remembered digest to hold; None: this value can change unseen."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        if value.dtype.hasobject or value.dtype.kind == "T" or not _is_locked(value):
            return None
        return value.__array_interface__["data"][0], value.shape, value.strides, value.dtype, id(value.dtype)
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(value, arrow.Table | arrow.RecordBatch | arrow.ChunkedArray | arrow.Array):
        known = _known.get(id(value))
        # Arrow values have no call that changes them; who could write to their buffers is looked at once.
        return _ARROW if (known is not None and known[0]() is value) or _is_sealed(value) else None
    return None


_ARROW = "arrow"


def _is_locked(array: Any) -> bool:
    """Whether the array's memory belongs to a read-only buffer, and no array on the way to it can be written."""
    kind = sys.modules["numpy"].ndarray
    while isinstance(array, kind):
        if array.flags.writeable:
            return False
        array = array.base
    if array is None:
        return False
    try:
        return memoryview(array).readonly
    except TypeError:  # a capsule, say: who owns the memory can't be asked
        return False


def _is_sealed(value: Any) -> bool:
    arrow = sys.modules["pyarrow"]
    if isinstance(value, arrow.Table | arrow.RecordBatch):
        return all(_is_sealed(column) for column in value.columns)
    chunks = value.chunks if isinstance(value, arrow.ChunkedArray) else [value]
    kind = str(value.type)
    if "dictionary<" in kind or "extension<" in kind:  # a dictionary's buffers are not among buffers()
        return False
    return all(buffer is None or not buffer.is_mutable for chunk in chunks for buffer in chunk.buffers())
