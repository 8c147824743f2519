"""What a resident is now, as far as that can be told in microseconds: so that one task's change of it is no other task's input.

Small plain values (settings, vocabularies, tables) by their digest; a PyTorch module by the versions of its parameters, which
every change in place moves, though not by its buffers and its mode, which using it changes. Of anything else nobody can say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from gpucache.digests import Symbols, value_digest
from gpucache.errors import NotIdentifiable

SMALL_BYTES = 64 * 2**10
SMALL_ITEMS = 2_000
"""About 100 µs to digest, at each use."""

_PLAIN = frozenset({type(None), bool, int, float, complex})


def state_of(symbols: Symbols, value: object) -> object:
    """Something that is equal as long as the value is as it was; None if that can't be told in time."""
    module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
    if module is not None and isinstance(value, module):
        parameters: Any = value.parameters()
        return tuple((id(parameter), parameter._version) for parameter in parameters)  # noqa: SLF001  # no public name
    if not _is_small(value):
        return None
    try:
        return value_digest(value, symbols=symbols)
    except NotIdentifiable:
        return None


def _is_small(value: object) -> bool:
    left_bytes, left_items = SMALL_BYTES, SMALL_ITEMS
    for nbytes in _sizes(value, 0):
        left_bytes, left_items = left_bytes - nbytes, left_items - 1
        if left_bytes < 0 or left_items < 0:
            return False
    return True


def _sizes(value: object, depth: int) -> Iterator[int]:
    """The bytes of each part of a plain value; more than is small for what is none."""
    kind = type(value)
    if kind in _PLAIN:
        yield 8
    elif kind in (str, bytes, bytearray):
        yield len(value)  # type: ignore[arg-type]  # a text, by its type
    elif depth > 8:  # deeper is no table of settings
        yield SMALL_BYTES + 1
    elif kind in (list, tuple, set, frozenset):
        yield 0
        for item in value:  # type: ignore[attr-defined]  # a container, by its type
            yield from _sizes(item, depth + 1)
    elif kind is dict:
        yield 0
        for key, item in value.items():  # type: ignore[attr-defined]  # as above
            yield from _sizes(key, depth + 1)
            yield from _sizes(item, depth + 1)
    elif kind.__module__ == "numpy" and kind.__name__ == "ndarray" and value.dtype != object:  # type: ignore[attr-defined]
        yield value.nbytes  # type: ignore[attr-defined]  # as above
    elif kind.__dictoffset__ and kind.__module__.partition(".")[0] not in _FRAMEWORKS and hasattr(value, "__dict__"):
        yield from _sizes(dict(vars(value)), depth + 1)
    else:
        yield SMALL_BYTES + 1


_FRAMEWORKS = frozenset(
    {"numpy", "pandas", "polars", "pyarrow", "torch", "tensorflow", "jax", "sklearn", "transformers"}
)
