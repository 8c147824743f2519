"""Texts that code holds and that may name files: literals of functions, constants that they read, where they themselves lie.

Nobody sees native code (Parquet, HDF5, safetensors) open a file; a text that names one is the trace that is left.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

LONGEST = 255
_DEEPEST = 4


def texts_of_code(code: types.CodeType) -> Iterator[str]:
    """Literals of a function, and the directory that it lies in (`Path(__file__).parent / "x.parquet"`)."""
    if os.path.isabs(code.co_filename):
        yield os.path.dirname(code.co_filename) + os.sep
    yield from _literals(code)


def texts_of_value(value: Any, depth: int = 0) -> Iterator[str]:
    """Texts and paths in a constant: in containers and in the attributes of plain objects, too."""
    if isinstance(value, str | PurePath):
        text = str(value)
        if may_name(text):
            yield text
    elif depth < _DEEPEST:
        inner: Any = ()
        if type(value) in (list, tuple, set, frozenset):
            inner = value
        elif type(value) is dict:
            inner = value.values()
        elif type(value).__module__.partition(".")[0] not in _LARGE:
            inner = attributes_of(value).values()
        for item in list(inner)[:_WIDEST]:
            yield from texts_of_value(item, depth + 1)


_WIDEST = 200
_LARGE = frozenset({"numpy", "pandas", "polars", "pyarrow", "torch"})


def attributes_of(value: Any) -> dict[str, Any]:
    """What lies in an instance's __dict__, without running the code of an object that answers for it."""
    if not getattr(type(value), "__dictoffset__", 0):
        return {}
    try:
        own = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return own if type(own) is dict else {}


def may_name(text: str) -> bool:
    """Whether a text could be a path or a part of one."""
    return 0 < len(text) <= LONGEST and text.isprintable() and not text.startswith((" ", "-", "{", "<"))


def _literals(code: types.CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _literals(constant)
        elif isinstance(constant, str | tuple):
            yield from texts_of_value(constant)
