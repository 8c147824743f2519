"""numpy arrays as their raw elements, C or Fortran order kept; they come out mapped and read-only.

Any other order of axes, and whatever is not contiguous, is copied to C order: values count, strides don't. Arrays of objects,
of numpy's new strings, subclasses and masked arrays are not raw elements and are left to pickle.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gpucache.codec import dtype as element
from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import RecordCorrupt

NAME = "array"
MAX_DIMENSIONS = 64  # numpy's own limit, and torch's


class ArrayForm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An array without its elements: the description of its dtype, its shape, and whether it is laid out by columns."""

    dtype: Any
    shape: tuple[int, ...]
    fortran: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ArrayForm).decode


def encode(value: Any) -> Encoded | None:
    """An array, or None if raw elements don't say everything about it. Copies only what is not contiguous."""
    found = parts_of(value)
    return None if found is None else Encoded(NAME, _encode(found[0]), (found[1],))


def parts_of(value: Any) -> tuple[ArrayForm, Any] | None:
    """An array's form, and its elements as a flat buffer of bytes; None if they don't say everything about it."""
    import numpy as np

    if type(value) is not np.ndarray:
        return None
    described = element.describe(value.dtype)
    if described is None:
        return None
    flags = value.flags
    fortran = flags.f_contiguous and not flags.c_contiguous
    if not value.nbytes:
        return ArrayForm(described, value.shape, fortran), b""
    rows = value.T if fortran else value if flags.c_contiguous else np.ascontiguousarray(value)
    return ArrayForm(described, value.shape, fortran), rows.reshape(-1).view(np.uint8)


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The array, over the part's own memory.

    Raises:
        RecordCorrupt: dtype, shape and size don't agree.
    """
    try:
        form = _decode(meta)
    except (ValueError, RecursionError) as problem:  # msgspec's own, and text that is not UTF-8
        raise RecordCorrupt(NAME, str(problem)) from problem
    return from_parts(form, open_part(0, False))


def from_parts(form: ArrayForm, data: Any) -> Any:
    """The array of this form over these bytes, read-only.

    Raises:
        RecordCorrupt: The bytes are not those of such an array.
    """
    import numpy as np

    try:
        dtype = element.restore(form.dtype)
        shape = checked_shape(form.shape, dtype.itemsize, memoryview(data).nbytes)
        array: Any = np.ndarray(shape, dtype, data, order="F" if form.fortran else "C")
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError) as problem:
        raise RecordCorrupt(NAME, f"{type(problem).__name__}: {problem}") from problem
    array.flags.writeable = False
    return array


def checked_shape(shape: tuple[int, ...], element_bytes: int, nbytes: int) -> tuple[int, ...]:
    """The shape, if so many elements fill so many bytes exactly: nothing is ever allocated on a shape's word.

    Raises:
        ValueError: They don't.
    """
    if len(shape) > MAX_DIMENSIONS or (shape and min(shape) < 0) or math.prod(shape) * element_bytes != nbytes:
        raise ValueError(f"shape {shape} of {element_bytes}-byte elements does not fill {nbytes:,} bytes")
    return shape
