"""numpy: arrays by dtype, shape and elements in logical order; strides, memory order, base and owner do not count."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from gpucache.digests._kernel import tree_digest
from gpucache.digests.canonical import Walker, by_digest


def encoders() -> dict[type, Callable[[Walker, Any], None]]:
    """The encoders of numpy's classes."""
    scalars = {kind: _scalar for kind in set(np.sctypeDict.values())}
    dtypes = {type(np.dtype(kind)): _dtype for kind in np.sctypeDict.values()}
    extra = {type(np.dtypes.StringDType()): _dtype}
    return {np.ndarray: array, np.memmap: array, np.ma.MaskedArray: _masked, **scalars, **dtypes, **extra}  # type: ignore[dict-item]  # classes all


@by_digest
def array(walker: Walker, value: np.ndarray[Any, Any]) -> None:
    """Append an array's encoding: its dtype, its shape, the digest of its elements."""
    walker.tag(b"A", dtype_text(value.dtype), struct.pack(f"<{value.ndim}Q", *value.shape))
    _elements(walker, value)


def elements_digest(value: np.ndarray[Any, Any]) -> bytes:
    """The digest of the elements of an array without objects or fields, in logical order. Copies only what is not contiguous."""
    flat = np.ascontiguousarray(value).reshape(-1)
    return tree_digest(flat.view(np.uint8) if flat.nbytes else b"")


def dtype_text(dtype: np.dtype[Any]) -> bytes:
    """A dtype as text that is equal for equal dtypes: fields with their names, types, offsets and titles."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return b"(" + dtype_text(base) + repr(shape).encode() + b")"
    if dtype.fields is None:
        return dtype.str.encode() if dtype.kind != "T" else repr(dtype).encode()
    fields = [(name, *dtype.fields[name]) for name in dtype.names or ()]
    listed = b";".join(
        repr((field[0], field[2], field[3] if len(field) > 3 else None)).encode() + b":" + dtype_text(field[1])
        for field in fields
    )
    return b"{" + listed + b"}" + str(dtype.itemsize).encode()


def _elements(walker: Walker, value: np.ndarray[Any, Any]) -> None:
    if value.dtype.names is not None:
        # Field by field: the padding between fields is whatever was in memory.
        for name in value.dtype.names:
            walker.tag(b".", name.encode("utf-8", "surrogatepass"))
            _elements(walker, value[name])
    elif value.dtype.hasobject or value.dtype.kind == "T":
        walker.out += b"*"
        for index, item in enumerate(value.flat):
            walker.child((index,), item)
    else:
        walker.out += elements_digest(value)


def _masked(walker: Walker, value: Any) -> None:
    """A masked array: what is under the mask does not count, what it is filled with does."""
    walker.tag(b"Q", b"hard" if value.hardmask else b"soft")
    mask = np.ma.getmaskarray(value)
    walker.child(".mask", mask)
    walker.child(".fill_value", value.fill_value)
    walker.child(".data", np.asarray(value.filled()))


def _scalar(walker: Walker, value: np.generic[Any]) -> None:
    walker.tag(b"a", dtype_text(value.dtype))
    _elements(walker, np.asarray(value))


def _dtype(walker: Walker, value: np.dtype[Any]) -> None:
    walker.tag(b"u", dtype_text(value))
