"""pandas: frames by their columns' names, types and elements, index and attrs; how blocks lie in memory does not count.

Nor do unused levels of a MultiIndex, what is under a missing value, and how text is kept (its dtype says so where it counts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gpucache.digests.encoders import Encoder, by_digest

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoders of pandas' classes, and of those with their subclasses."""
    exact: dict[type, Encoder] = {
        pd.RangeIndex: _range,
        pd.MultiIndex: _multi,
        type(pd.NA): _missing,
        type(pd.NaT): _missing,
        pd.CategoricalDtype: _dtype,
    }
    families: dict[type, Encoder] = {pd.DataFrame: _frame, pd.Series: _series, pd.Index: _index}
    arrays = [kind for name in dir(pd.arrays) if isinstance(kind := getattr(pd.arrays, name), type)]
    return {**exact, **dict.fromkeys(arrays, _extension)}, families


@by_digest
def _frame(walker: Walker, value: Any) -> None:
    _begin(walker, b"DataFrame", value, pd.DataFrame)
    walker.child(".columns", value.columns)
    walker.child(".index", value.index)
    walker.child(".attrs", dict(value.attrs))
    walker.child(".flags", value.flags.allows_duplicate_labels)
    for place in range(value.shape[1]):
        walker.path.append((value.columns[place],))
        _column(walker, value.iloc[:, place].array)
        walker.path.pop()


@by_digest
def _series(walker: Walker, value: Any) -> None:
    _begin(walker, b"Series", value, pd.Series)
    walker.child(".name", value.name)
    walker.child(".index", value.index)
    walker.child(".attrs", dict(value.attrs))
    walker.child(".flags", value.flags.allows_duplicate_labels)
    _column(walker, value.array)


@by_digest
def _index(walker: Walker, value: Any) -> None:
    kind = type(value)
    is_known = _is_pandas(kind)
    _begin(walker, b"Index", value, kind if is_known else pd.Index)
    freq = getattr(value, "freqstr", None)
    walker.tag(b"", (kind.__name__ if is_known else "").encode(), b"" if freq is None else str(freq).encode())
    walker.child(".name", value.name)
    _column(walker, value.array)


def _range(walker: Walker, value: Any) -> None:
    walker.begin(b"RangeIndex", value)
    walker.child("", (value.name, value.start, value.stop, value.step))


@by_digest
def _multi(walker: Walker, value: Any) -> None:
    walker.begin(b"MultiIndex", value)
    walker.child(".names", list(value.names))
    for level in range(value.nlevels):
        walker.child(f".get_level_values({level})", value.get_level_values(level))


@by_digest
def _extension(walker: Walker, value: Any) -> None:
    walker.begin(b"pandas.array", value)
    _column(walker, value)


def _missing(walker: Walker, value: object) -> None:
    walker.begin(f"pandas.{type(value).__name__}".encode(), value)


def _begin(walker: Walker, name: bytes, value: Any, base: type) -> None:
    """A subclass counts with the attributes that it declares (`_metadata`); the others are caches that pandas keeps."""
    walker.begin(name, value)
    if type(value) is base:
        walker.out += b"="
        return
    walker.tag(b"<", walker.class_token(type(value)))
    for attribute in getattr(value, "_metadata", ()):
        if attribute != "name":
            walker.child(f".{attribute}", getattr(value, attribute, None))


def _is_pandas(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "pandas"


def _column(walker: Walker, array: Any) -> None:
    if not _is_pandas(type(array)):
        # An array of another library (geometries, units): it knows best what it is made of.
        walker.tag(b"o")
        walker.child(".array", array)
        return
    _dtype(walker, array.dtype)
    if isinstance(array, pd.Categorical):
        walker.child(".codes", np.asarray(array.codes))
    elif isinstance(array, pd.arrays.PeriodArray) or array.dtype.kind in "mM":
        walker.child(".asi8", np.asarray(array.asi8))
    elif isinstance(array, pd.arrays.IntervalArray):
        walker.child(".left", array.left)
        walker.child(".right", array.right)
    elif isinstance(array, pd.arrays.SparseArray):
        walker.child(".sp_values", np.asarray(array.sp_values))
        walker.child(".sp_index", np.asarray(array.sp_index.to_int_index().indices))
        walker.tag(b"", str(len(array)).encode())
    elif isinstance(array.dtype, np.dtype) or isinstance(array, pd.arrays.NumpyExtensionArray):
        walker.child("", np.asarray(array))
    elif isinstance(array.dtype, pd.StringDtype):
        _text(walker, array)
    elif hasattr(array, "_mask") and hasattr(array, "_data"):  # nullable integers, floats and booleans
        mask = np.asarray(array._mask)  # noqa: SLF001  # pandas has no public name for it
        walker.child("", mask)
        walker.child("", np.where(mask, np.zeros((), array._data.dtype), array._data))  # noqa: SLF001  # pandas has no public name for it
    elif isinstance(array, pd.arrays.ArrowExtensionArray):
        _arrow(walker, array.__arrow_array__())
    else:
        walker.child("", np.asarray(array, dtype=object))


def _text(walker: Walker, array: Any) -> None:
    import pyarrow as pa

    _arrow(walker, pa.chunked_array([pa.array(array, type=pa.large_string(), from_pandas=True)]))


def _arrow(walker: Walker, content: Any) -> None:
    import pyarrow as pa

    walker.child("", content if isinstance(content, pa.ChunkedArray) else pa.chunked_array([content]))


def _dtype(walker: Walker, dtype: Any) -> None:
    if isinstance(dtype, pd.CategoricalDtype):
        walker.tag(b"c", {True: b"ordered", False: b"", None: b"unknown"}[dtype.ordered])
        walker.child(".categories", dtype.categories)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        walker.tag(b"z", str(dtype.unit).encode())
        walker.child(".tz", dtype.tz)
    elif isinstance(dtype, pd.StringDtype):
        walker.tag(b"s", str(dtype.storage).encode())
        walker.child(".na_value", dtype.na_value)
    elif isinstance(dtype, pd.SparseDtype):
        walker.tag(b"p")
        walker.child(".subtype", dtype.subtype)
        walker.child(".fill_value", dtype.fill_value)
    else:
        walker.tag(b"d", repr(dtype).encode())
