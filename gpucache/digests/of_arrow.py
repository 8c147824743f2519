"""pyarrow: what an array says, not how it lies: chunks, slices, offsets and what is under a null do not count."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from gpucache.digests._kernel import tree_digest
from gpucache.digests.canonical import Walker, by_digest


def encoders() -> dict[type, Callable[[Walker, Any], None]]:
    """The encoders of pyarrow's classes."""
    found: dict[type, Callable[[Walker, Any], None]] = {
        pa.Table: _table,
        pa.RecordBatch: _table,
        pa.ChunkedArray: _chunked,
        pa.Schema: _schema,
        pa.Field: _named,
    }
    for name in dir(pa):
        kind = getattr(pa, name)
        if isinstance(kind, type):
            if issubclass(kind, pa.Array):
                found[kind] = _array
            elif issubclass(kind, pa.DataType):
                found[kind] = _named
            elif issubclass(kind, pa.Scalar):
                found[kind] = _scalar
    return found


@by_digest
def _table(walker: Walker, value: Any) -> None:
    walker.tag(b"a", type(value).__name__.encode())
    _schema(walker, value.schema)
    walker.out += struct.pack("<Q", value.num_rows)
    for name, column in zip(value.schema.names, value.columns, strict=True):
        walker.path.append((name,))
        _content(walker, column)
        walker.path.pop()


@by_digest
def _array(walker: Walker, value: Any) -> None:
    walker.tag(b"a", b"Array", str(value.type).encode())
    _content(walker, value)


@by_digest
def _chunked(walker: Walker, value: Any) -> None:
    walker.tag(b"a", b"ChunkedArray", str(value.type).encode())
    _content(walker, value)


def _schema(walker: Walker, schema: Any) -> None:
    walker.tag(b"a", b"Schema", *(str(field).encode() for field in schema))
    for holder in (schema, *schema):
        walker.value(None if holder.metadata is None else dict(sorted(holder.metadata.items())))


def _named(walker: Walker, value: Any) -> None:
    walker.tag(b"a", type(value).__name__.encode(), str(value).encode())


def _scalar(walker: Walker, value: Any) -> None:
    walker.tag(b"a", b"Scalar", str(value.type).encode())
    _content(walker, pa.array([value.as_py()], type=value.type))


def _content(walker: Walker, column: Any) -> None:
    """Length, then which are there, then those that are."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(column, pa.ChunkedArray):  # combine_chunks() of none
        column = pa.array([], type=column.type)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    walker.out += struct.pack("<QQ", len(column), column.null_count)
    if column.null_count:
        walker.out += tree_digest(column.is_valid().to_numpy(zero_copy_only=False).view("u1"))
        column = column.drop_null()
    _present(walker, column)


def _present(walker: Walker, column: Any) -> None:
    """The elements of an array without nulls."""
    kind = column.type
    if kinds.is_null(kind):
        return
    if kinds.is_boolean(kind):
        walker.out += tree_digest(column.to_numpy(zero_copy_only=False).view("u1"))
    elif kinds.is_struct(kind):
        for field in column.flatten():
            _content(walker, field)
    elif kinds.is_list(kind) or kinds.is_large_list(kind):
        walker.out += tree_digest(column.value_lengths().cast(pa.int64()).to_numpy(zero_copy_only=False).view("u1"))
        _content(walker, column.flatten())
    elif kinds.is_string(kind) or kinds.is_binary(kind) or kinds.is_large_string(kind) or kinds.is_large_binary(kind):
        _strings(walker, column)
    elif getattr(kind, "bit_width", None) is not None and _has_fixed_width(kind):
        width = kind.bit_width // 8
        data = memoryview(column.buffers()[1])
        start = column.offset * width
        walker.out += tree_digest(data[start : start + len(column) * width])
    else:
        walker.out += b"*"
        for index, item in enumerate(column.to_pylist()):
            walker.child((index,), item)


def _strings(walker: Walker, column: Any) -> None:
    """Lengths, then all bytes in one piece: taken anew, so that what a slice leaves out is not hashed."""
    import numpy as np

    large = kinds.is_large_string(column.type) or kinds.is_large_binary(column.type)
    _, offsets, data = column.buffers()
    if not len(column):
        return
    whole = np.frombuffer(offsets, dtype=np.int64 if large else np.int32)
    ends = whole[column.offset : column.offset + len(column) + 1].astype(np.int64)
    walker.out += tree_digest(np.diff(ends).view(np.uint8))
    text = b"" if data is None else memoryview(data)[int(ends[0]) : int(ends[-1])]
    walker.out += tree_digest(text)


def _has_fixed_width(kind: Any) -> bool:
    return bool(
        kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_temporal(kind)
        or kinds.is_decimal(kind)
        or kinds.is_fixed_size_binary(kind)
    )
