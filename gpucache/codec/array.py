"""numpy arrays as their raw elements, C or Fortran order kept; they come out mapped and read-only."""

from __future__ import annotations

from typing import Any

import msgspec

from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import RecordCorrupt

NAME = "array"


class ArrayForm(msgspec.Struct, frozen=True, array_like=True):
    """An array without its elements: dtype as numpy's descriptor, shape, and whether it is laid out by columns."""

    dtype: Any
    shape: tuple[int, ...]
    fortran: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ArrayForm).decode


def fits(value: Any) -> bool:
    """Whether value is an array that raw elements say everything about."""
    import numpy as np

    dtype = value.dtype
    if type(value) is not np.ndarray or dtype.hasobject or dtype.kind == "T" or dtype.metadata:
        return False
    return dtype.isbuiltin == 1 or _from_descriptor(_descriptor(dtype)) == dtype


def encode(value: Any) -> Encoded:
    """An array for which fits() holds. Copies only what is neither C- nor Fortran-contiguous."""
    form, data = parts_of(value)
    return Encoded(NAME, _encode(form), (data,))


def parts_of(value: Any) -> tuple[ArrayForm, Any]:
    """An array's form, and its elements as a flat buffer of bytes."""
    import numpy as np

    fortran = bool(value.flags.f_contiguous and not value.flags.c_contiguous)
    flat = (value.T if fortran else np.ascontiguousarray(value)).reshape(-1)
    data = flat.view(np.uint8) if flat.nbytes else b""
    return ArrayForm(_descriptor(value.dtype), value.shape, fortran), data


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The array, over the part's own memory.

    Raises:
        RecordCorrupt: dtype, shape and size don't agree.
    """
    try:
        form = _decode(meta)
    except msgspec.DecodeError as problem:
        raise RecordCorrupt("array", str(problem)) from problem
    return from_parts(form, open_part(0, False))


def from_parts(form: ArrayForm, data: Any) -> Any:
    """The array of this form over these bytes: read-only if they are."""
    import numpy as np

    try:
        dtype = _from_descriptor(form.dtype)
        flat = np.frombuffer(data, dtype=np.uint8).view(dtype) if memoryview(data).nbytes else np.empty(0, dtype)
        if dtype.hasobject:
            raise ValueError("objects are not raw elements")
        array = flat.reshape(form.shape[::-1]).T if form.fortran else flat.reshape(form.shape)
    except (ValueError, TypeError, SyntaxError) as problem:
        raise RecordCorrupt("array", str(problem)) from problem
    array.flags.writeable = array.flags.writeable and not memoryview(data).readonly
    if not memoryview(data).nbytes:
        array.flags.writeable = False
    return array


def _descriptor(dtype: Any) -> Any:
    import numpy as np

    if dtype.names is None and dtype.subdtype is None:
        return dtype.str
    return np.lib.format.dtype_to_descr(dtype)


def _from_descriptor(descriptor: Any) -> Any:
    import numpy as np

    if isinstance(descriptor, str):
        return np.dtype(descriptor)
    return np.lib.format.descr_to_dtype(_tupled(descriptor))


def _tupled(descriptor: Any) -> Any:
    """msgpack has no tuples; numpy tells a field (a tuple) from a list of fields by them."""
    if isinstance(descriptor, list):
        return [tuple(_tupled_field(part) for part in field) for field in descriptor]
    return descriptor


def _tupled_field(part: Any) -> Any:
    if isinstance(part, list):
        return tuple(part) if all(isinstance(item, int | str) for item in part) else _tupled(part)
    return part
