"""Values that carry their digest: what came out of the store is not hashed again.

By id(), guarded by a weak reference, so that a dead object's address is never taken for it. Remembered is only what nobody can
change by numpy's or Arrow's own means: an array whose memory belongs, at the end of its chain of bases, to a read-only buffer
(a mapping, bytes). An array that owns its memory can be made writable, changed and locked again, and would then lie.
Its address, shape, strides and dtype are compared at every look: numpy lets those be changed in place. Arrays of objects are
never remembered, since what they refer to can change.

Views too: the memory itself (the mapping) keeps the digests of what was seen over it, by address, shape, strides and dtype. So `a[:]`
is known where `a` is, even when `a` is gone, and `a[:1000]` is hashed once, however often it is made.
"""

from __future__ import annotations

import sys
import weakref
from contextlib import suppress
from typing import Any

VIEWS_MAX = 4096
"""So many views of one memory are known at most; then they are found out anew."""

_known: dict[int, tuple[weakref.ref[Any], object, bytes]] = {}
_views: weakref.WeakKeyDictionary[Any, dict[object, bytes]] = weakref.WeakKeyDictionary()


def remember(value: object, digest: bytes) -> bool:
    """Keep value's digest with it for as long as it lives; False if it is not an array that can't change.

    `digest` is its value digest, 16 bytes. Any thread; a forked child keeps what was remembered before the fork.
    """
    form = _form(value)
    if form is None:
        return False
    address = id(value)
    _known[address] = (weakref.ref(value, lambda _: _known.pop(address, None)), form, digest)
    if form is not _ARROW:
        with suppress(TypeError):  # bytes, say, take no weak references; they are short
            _views.setdefault(_memory(value), {})[form] = digest
    return True


def note_view(value: object, digest: bytes) -> None:
    """Keep the digest that was found of an array, if it is a view of memory of which something is remembered."""
    views = _views_beside(value)
    if views is not None and (form := _form(value)) is not None:
        if len(views) >= VIEWS_MAX:
            views.clear()
        views[form] = digest


def remembered(value: object) -> bytes | None:
    """The digest that value carries, or None."""
    known = _known.get(id(value))
    if known is not None and known[0]() is value and known[1] == _form(value):
        return known[2]
    views = _views_beside(value)
    return None if views is None else views.get(_form(value))


def _views_beside(value: Any) -> dict[object, bytes] | None:
    """What is known of the memory of an array that is none of its own; None if nothing is."""
    numpy = sys.modules.get("numpy")
    if not _views or numpy is None or type(value) is not numpy.ndarray or value.flags.owndata or value.flags.writeable:
        return None
    try:
        return _views.get(_memory(value))
    except TypeError:  # what takes no weak references was never put there
        return None


def _memory(array: Any) -> Any:
    """Whose memory an array lies in."""
    kind = sys.modules["numpy"].ndarray
    while isinstance(array, kind):
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


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
