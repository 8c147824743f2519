"""pandas: frames by their columns' names, types and elements, index and attrs; how blocks lie in memory does not count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from gpucache.digests.canonical import Walker, by_digest


def encoders() -> dict[type, Callable[[Walker, Any], None]]:
    """The encoders of pandas' classes."""
    indexes = dict.fromkeys(
        (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.CategoricalIndex, pd.IntervalIndex), _index
    )
    arrays = {kind: _extension for kind in _array_classes()}
    return {
        pd.DataFrame: _frame,
        pd.Series: _series,
        pd.RangeIndex: _range,
        pd.MultiIndex: _multi,
        **indexes,
        **arrays,
        type(pd.NA): _missing,
        type(pd.NaT): _missing,
    }


def _array_classes() -> list[type]:
    return [kind for name in dir(pd.arrays) if isinstance(kind := getattr(pd.arrays, name), type)]


@by_digest
def _frame(walker: Walker, value: Any) -> None:
    walker.tag(b"P", b"DataFrame")
    walker.child(".columns", value.columns)
    walker.child(".index", value.index)
    walker.child(".attrs", dict(value.attrs))
    for place in range(value.shape[1]):
        walker.path.append((value.columns[place],))
        _column(walker, value.iloc[:, place].array)
        walker.path.pop()


@by_digest
def _series(walker: Walker, value: Any) -> None:
    walker.tag(b"P", b"Series")
    walker.child(".name", value.name)
    walker.child(".index", value.index)
    walker.child(".attrs", dict(value.attrs))
    _column(walker, value.array)


@by_digest
def _index(walker: Walker, value: Any) -> None:
    walker.tag(b"P", type(value).__name__.encode(), str(getattr(value, "freqstr", None)).encode())
    walker.child(".name", value.name)
    _column(walker, value.array)


def _range(walker: Walker, value: Any) -> None:
    walker.tag(b"P", b"RangeIndex")
    walker.child("", (value.name, value.start, value.stop, value.step))


@by_digest
def _multi(walker: Walker, value: Any) -> None:
    walker.tag(b"P", b"MultiIndex")
    walker.child(".names", tuple(value.names))
    for level in range(value.nlevels):
        walker.child(f".get_level_values({level})", value.get_level_values(level))


@by_digest
def _extension(walker: Walker, value: Any) -> None:
    walker.tag(b"P", b"array")
    _column(walker, value)


def _missing(walker: Walker, value: object) -> None:
    walker.tag(b"P", type(value).__name__.encode())


def _column(walker: Walker, array: Any) -> None:
    walker.tag(b"p", _dtype_text(array.dtype))
    if isinstance(array, pd.Categorical):
        walker.child(".codes", np.asarray(array.codes))
        walker.child(".categories", array.categories)
    elif isinstance(array.dtype, pd.DatetimeTZDtype) or array.dtype.kind in "mM":
        walker.child("", np.asarray(array.asi8))
    elif isinstance(array.dtype, np.dtype):
        walker.child("", np.asarray(array))
    elif hasattr(array, "_mask") and hasattr(array, "_data"):  # nullable integers, floats and booleans
        mask = np.asarray(array._mask)
        walker.child("", mask)
        walker.child("", np.where(mask, np.zeros((), array._data.dtype), array._data))
    elif "pyarrow" in sys.modules and hasattr(array, "__arrow_array__") and "Arrow" in type(array).__name__:
        walker.child("", array.__arrow_array__())
    else:
        walker.child("", np.asarray(array, dtype=object))


def _dtype_text(dtype: Any) -> bytes:
    if isinstance(dtype, pd.CategoricalDtype):
        return b"category ordered" if dtype.ordered else b"category"
    return repr(dtype).encode()
