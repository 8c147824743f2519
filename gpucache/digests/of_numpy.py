"""numpy: arrays by dtype, shape and elements in logical order; strides, memory order, base and owner do not count.

A mapped array (np.memmap) is an array whose base is a file, so it is the same value as the array. Other subclasses count as
their class, with the attributes that they carry: numpy's own reduce forgets those, and depends on the memory order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpucache.digests._kernel import tree_digest
from gpucache.digests.encoders import Encoder, by_digest
from gpucache.digests.of_objects import encode_object

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker

_EXTENDED = np.dtype(np.longdouble)
_EXTENDED_BYTES = 10 if np.finfo(np.longdouble).nmant == 63 else _EXTENDED.itemsize
"""x87's 80 bits lie in 16 bytes (12 on 32-bit machines); the rest is whatever was in memory."""


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoders of numpy's classes, and of those with their subclasses."""
    exact: dict[type, Encoder] = {np.memmap: array, np.ma.MaskedArray: _masked}
    exact[np.random.RandomState] = _random_state
    scalars = dict.fromkeys(set(np.sctypeDict.values()), _scalar)
    return {**exact, **scalars}, {np.ndarray: array, np.generic: _scalar, np.dtype: _dtype}


@by_digest
def array(walker: Walker, value: np.ndarray[Any, Any]) -> None:
    """Append an array: its dtype, its shape, the digest of its elements."""
    walker.begin(b"ndarray", value, type(value) if type(value) is np.memmap else np.ndarray)
    _content(walker, value.view(np.ndarray))


def _content(walker: Walker, plain: np.ndarray[Any, Any]) -> None:
    _describe(walker, plain.dtype)
    walker.tag(b"", struct.pack(f"<{plain.ndim}Q", *plain.shape))
    _elements(walker, plain)


def _elements(walker: Walker, plain: np.ndarray[Any, Any]) -> None:
    dtype = plain.dtype
    if dtype.names is not None:
        # Field by field: the padding between fields is whatever was in memory.
        for name in dtype.names:
            walker.path.append((name,))
            _elements(walker, plain[name])
            walker.path.pop()
    elif dtype.hasobject or dtype.kind == "T":
        for place in np.ndindex(plain.shape):
            walker.child((place[0] if len(place) == 1 else place,), plain[place])
    elif not getattr(type(dtype), "_legacy", True):
        # A dtype of the new kind can keep its elements anywhere: raw bytes may be addresses.
        raise walker.refusal(plain, f"elements of {dtype!r} can't be read as bytes", "convert it with .astype()")
    else:
        walker.out += elements_digest(plain)


def elements_digest(plain: np.ndarray[Any, Any]) -> bytes:
    """The digest of the elements of an array without objects or fields, in logical order. Copies what is not contiguous."""
    flat = np.ascontiguousarray(plain).reshape(-1)
    if not flat.nbytes:
        return tree_digest(b"")
    if (
        flat.dtype.kind in "fc"
        and flat.dtype.itemsize in {_EXTENDED.itemsize, 2 * _EXTENDED.itemsize}
        and _EXTENDED_BYTES < 16
    ):
        return tree_digest(_without_padding(flat))
    return tree_digest(flat.view(np.uint8).data)


def _without_padding(flat: np.ndarray[Any, Any]) -> bytes:
    native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    return native.view(np.uint8).reshape(-1, _EXTENDED.itemsize)[:, :_EXTENDED_BYTES].tobytes()


def _describe(walker: Walker, dtype: np.dtype[Any]) -> None:
    """Append a dtype: byte order and unit; fields by name, place, title and dtype; metadata, which h5py keeps its enums in."""
    if dtype.metadata:
        walker.out += b"M"
        walker.child(".dtype.metadata", dict(dtype.metadata))
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        walker.tag(b"(", struct.pack(f"<{len(shape)}Q", *shape))
        _describe(walker, base)
    elif dtype.names is not None and dtype.fields is not None:
        walker.tag(b"{", _type_name(dtype), struct.pack("<QQ", dtype.itemsize, len(dtype.names)))
        for name in dtype.names:
            field, offset, *title = dtype.fields[name]
            walker.tag(b".", name.encode("utf-8", "surrogatepass"), struct.pack("<Q", offset))
            walker.child(".dtype.title", title[0] if title else None)
            _describe(walker, field)
    elif dtype.kind == "T":
        walker.tag(b"T", repr(getattr(dtype, "coerce", None)).encode(), b"n" if hasattr(dtype, "na_object") else b"")
        walker.child(".dtype.na_object", getattr(dtype, "na_object", None))
    else:
        walker.tag(b"=", dtype.str.encode(), _type_name(dtype))


def _type_name(dtype: np.dtype[Any]) -> bytes:
    """Who made the dtype, where its str does not tell: bfloat16 and numpy's records are "V" to it, as raw bytes are."""
    kind = dtype.type
    if kind.__module__ == "numpy" and kind is not np.record:
        return b""
    return f"{kind.__module__}.{kind.__qualname__} {'' if dtype.names else dtype!r}".encode()


def _masked(walker: Walker, value: Any) -> None:
    """A masked array: what is under the mask counts too, since np.asarray() shows it."""
    walker.begin(b"MaskedArray", value)
    walker.child(".hardmask", bool(value.hardmask))
    walker.child(".mask", np.ma.getmaskarray(value))
    walker.child(".fill_value", value.fill_value)
    _content(walker, value.view(np.ndarray))


def _scalar(walker: Walker, value: np.generic[Any]) -> None:
    kind = type(value)
    walker.begin(b"scalar", value, kind if kind.__module__ == "numpy" else np.generic)
    plain = np.asarray(value)
    _describe(walker, plain.dtype)
    _elements(walker, plain)


def _random_state(walker: Walker, value: Any) -> None:
    """The generator behind np.random.rand() is the process's, and known by that (see of_random.py)."""
    if value is getattr(np.random.mtrand, "_rand", None):
        walker.begin(b"the global generator of numpy.random", value)
    else:
        encode_object(walker, value)


def _dtype(walker: Walker, value: np.dtype[Any]) -> None:
    walker.begin(b"dtype", value)
    _describe(walker, value)
