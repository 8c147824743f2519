"""polars: a frame is its columns in order, a column its name, its dtype and its elements; chunks and flags do not count.

Elements go through Arrow, without a copy where polars has them in one chunk. A categorical's codes do not count, since they
depend on what else the process has seen. A plan that was not collected is refused: what it reads may change.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpucache.digests.encoders import Encoder, by_digest

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoders of polars' classes, and of those with their subclasses."""
    polars = sys.modules["polars"]
    return {polars.DataFrame: _frame, polars.Series: _series}, {polars.DataType: _dtype, polars.LazyFrame: _refuse_plan}


@by_digest
def _frame(walker: Walker, value: Any) -> None:
    walker.begin(b"polars.DataFrame", value)
    walker.tag(b"", struct.pack("<QQ", *value.shape))
    for column in value.iter_columns():
        walker.child((column.name,), column)


@by_digest
def _series(walker: Walker, value: Any) -> None:
    walker.begin(b"polars.Series", value)
    walker.child(".name", value.name)
    walker.child(".dtype", value.dtype)
    polars, arrow = sys.modules["polars"], None
    if value.dtype != polars.Object:
        try:
            arrow = value.rechunk().to_arrow()
        except Exception:  # noqa: BLE001  # a dtype that Arrow has not (Int128): pyarrow's error, or polars' own
            arrow = None
    if arrow is None:
        walker.out += b"l"
        walker.child("", value.to_list())
    else:
        walker.out += b"a"
        walker.child("", arrow)


def _dtype(walker: Walker, value: Any) -> None:
    """By its repr, which names every field, unit and zone; an Enum's categories apart, however many they are."""
    walker.begin(b"polars.DataType", value, type(value))
    categories = getattr(value, "categories", None)
    if categories is not None and hasattr(categories, "to_list"):
        walker.tag(b"e", type(value).__name__.encode())
        walker.child(".categories", categories.to_list())
        return
    walker.tag(b"d", repr(value).encode("utf-8", "surrogatepass"))


def _refuse_plan(walker: Walker, value: Any) -> None:
    raise walker.refusal(value, "it is a plan, whose files and result may change", "pass .collect() of it")
