"""numpy's element types as plain text and lists, and back, exactly: byte order, units, fields, offsets, titles, alignment.

numpy's own descriptor (numpy.lib.format) loses alignment and titles and refuses fields that overlap, hence this form. Reading
it runs nothing: only texts of a known shape reach numpy's parser, and objects are refused.
"""

from __future__ import annotations

import functools
import re
from typing import Any

MAX_NESTING = 32  # numpy itself allows fields within fields without end; nobody writes more than a few

_SIMPLE = re.compile(r"[<>|=]?(?:[?bBhHiIlLqQefdgFDG]|[biufcSUV]\d{1,9}|[mM]8(?:\[\d{0,9}[A-Za-z]{1,7}\])?)")


def describe(dtype: Any) -> Any | None:
    """A dtype as a text, or as lists where it has fields or a shape; None if it would not come back exactly."""
    try:
        described = _described(dtype)
        back = restore(described)
    except (ValueError, TypeError, NotImplementedError, RecursionError):
        return None
    same = back == dtype and back.char == dtype.char and back.isalignedstruct == dtype.isalignedstruct
    return described if same else None


def restore(described: Any) -> Any:
    """The dtype.

    Raises:
        ValueError, TypeError, KeyError: The description is none.
    """
    return _from_text(described) if type(described) is str else _from_lists(described, 0)


def _described(dtype: Any) -> Any:
    if dtype.metadata or dtype.hasobject:
        raise ValueError("metadata and objects don't come back")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ["a", _described(base), list(shape)]
    if dtype.names is not None:
        fields = [_field(name, dtype.fields[name]) for name in dtype.names]
        return ["s", dtype.itemsize, dtype.isalignedstruct, fields]
    # numpy calls long and long long by one text where they have one size; type(array[0]) tells them apart.
    text: str = dtype.str
    return f"{dtype.byteorder}{dtype.char}" if dtype.char in "qQ" and _from_text(text).char != dtype.char else text


def _field(name: str, field: tuple[Any, ...]) -> list[Any]:
    dtype, offset, *title = field
    if title and type(title[0]) is not str:
        raise TypeError("a title that is no text")
    return [name, title[0] if title else None, offset, _described(dtype)]


@functools.lru_cache(maxsize=256)
def _from_text(text: str) -> Any:
    import numpy as np

    if not _SIMPLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no element type")
    return np.dtype(text)


def _from_lists(described: Any, depth: int) -> Any:
    import numpy as np

    if depth > MAX_NESTING:
        raise ValueError("fields within fields without end")
    if type(described) is str:
        return _from_text(described)
    if described[0] == "a":
        _, base, shape = described
        return np.dtype((_from_lists(base, depth + 1), tuple(shape)))
    if described[0] != "s":
        raise ValueError("no element type")
    _, itemsize, aligned, fields = described
    if type(aligned) is not bool:
        raise TypeError("aligned or not is neither")
    spec: dict[str, Any] = {
        "names": [field[0] for field in fields],
        "formats": [_from_lists(field[3], depth + 1) for field in fields],
        "offsets": [field[2] for field in fields],
        "itemsize": itemsize,
    }
    if any(field[1] is not None for field in fields):
        spec["titles"] = [field[1] for field in fields]
    return np.dtype(spec, align=aligned)  # type: ignore[call-overload]  # the stubs know only literal dictionaries
