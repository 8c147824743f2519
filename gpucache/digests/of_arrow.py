"""pyarrow: what an array says, not how it lies: chunks, slices, offsets and what is under a null do not count.

Types are written out, field by field: a type's text is ambiguous (a field may be named "a: int32, b") and leaves out metadata.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from gpucache.digests._kernel import tree_digest
from gpucache.digests.encoders import Encoder, by_digest

if TYPE_CHECKING:
    from gpucache.digests.canonical import Walker


def encoders() -> tuple[Mapping[type, Encoder], Mapping[type, Encoder]]:
    """The encoders of pyarrow's classes, and of those with their subclasses."""
    exact: dict[type, Encoder] = {
        pa.Table: _table,
        pa.RecordBatch: _table,
        pa.ChunkedArray: _column,
        pa.Schema: _schema,
        pa.Field: _one_field,
    }
    return exact, {pa.Array: _column, pa.Scalar: _scalar, pa.DataType: _one_type}


@by_digest
def _table(walker: Walker, value: Any) -> None:
    walker.begin(f"arrow.{type(value).__name__}".encode(), value)
    _fields(walker, value.schema)
    walker.out += struct.pack("<Q", value.num_rows)
    for place, name in enumerate(value.schema.names):
        walker.path.append((name,))
        _content(walker, value.column(place))
        walker.path.pop()


@by_digest
def _column(walker: Walker, value: Any) -> None:
    walker.begin(b"arrow.ChunkedArray" if isinstance(value, pa.ChunkedArray) else b"arrow.Array", value)
    _type(walker, value.type)
    _content(walker, value)


@by_digest
def _scalar(walker: Walker, value: Any) -> None:
    walker.begin(b"arrow.Scalar", value)
    _type(walker, value.type)
    _content(walker, pa.repeat(value, 1))


def _schema(walker: Walker, value: Any) -> None:
    walker.begin(b"arrow.Schema", value)
    _fields(walker, value)


def _one_field(walker: Walker, value: Any) -> None:
    walker.begin(b"arrow.Field", value)
    _field(walker, value)


def _one_type(walker: Walker, value: Any) -> None:
    walker.begin(b"arrow.DataType", value)
    _type(walker, value)


# ---------------------------------------------------------------- types


def _fields(walker: Walker, schema: Any) -> None:
    walker.out += struct.pack("<Q", len(schema))
    for field in schema:
        _field(walker, field)
    _metadata(walker, schema.metadata)


def _field(walker: Walker, field: Any) -> None:
    walker.tag(b"f", field.name.encode("utf-8", "surrogatepass"), b"?" if field.nullable else b"")
    _type(walker, field.type)
    _metadata(walker, field.metadata)


def _metadata(walker: Walker, metadata: dict[bytes, bytes] | None) -> None:
    walker.value(None if metadata is None else dict(sorted(metadata.items())))


def _type(walker: Walker, kind: Any) -> None:
    if isinstance(kind, pa.ExtensionType):
        walker.tag(b"x", walker.class_token(type(kind)), kind.extension_name.encode(), kind.__arrow_ext_serialize__())
        _type(walker, kind.storage_type)
    elif isinstance(kind, pa.BaseExtensionType):  # Arrow's own: their text says all
        walker.tag(b"X", kind.extension_name.encode(), str(kind).encode())
        _type(walker, kind.storage_type)
    elif kinds.is_dictionary(kind):
        walker.tag(b"d", b"ordered" if kind.ordered else b"")
        _type(walker, kind.index_type)
        _type(walker, kind.value_type)
    elif kinds.is_run_end_encoded(kind):
        walker.tag(b"r")
        _type(walker, kind.run_end_type)
        _type(walker, kind.value_type)
    elif kind.num_fields:
        _nested_type(walker, kind)
    else:
        walker.tag(b"=", str(kind).encode())


def _nested_type(walker: Walker, kind: Any) -> None:
    detail = ""
    if kinds.is_fixed_size_list(kind):
        detail = str(kind.list_size)
    elif kinds.is_map(kind):
        detail = f"sorted={kind.keys_sorted}"
    elif kinds.is_union(kind):
        detail = f"{kind.mode} {kind.type_codes}"
    walker.tag(b"n", str(kind.id).encode(), detail.encode(), str(kind.num_fields).encode())
    for place in range(kind.num_fields):
        _field(walker, kind.field(place))


# ---------------------------------------------------------------- contents


def _content(walker: Walker, column: Any) -> None:
    """Length, then which are there, then those that are."""
    column = _decoded(_in_one_piece(column))
    walker.out += struct.pack("<QQ", len(column), column.null_count)
    if column.null_count:
        walker.out += tree_digest(column.is_valid().to_numpy(zero_copy_only=False).view("u1"))
        column = column.drop_null()
    if len(column):
        _present(walker, column)


def _in_one_piece(column: Any) -> Any:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(column.type)
    if wide is not None:  # the chunks together may have more than 2 GiB, where offsets of 32 bits end
        column = column.cast(wide)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def _decoded(column: Any) -> Any:
    """The same elements without extension, dictionary, runs or views."""
    if isinstance(column, pa.ExtensionArray):
        return _decoded(column.storage)
    if isinstance(column, pa.DictionaryArray):
        return _decoded(column.dictionary_decode())
    if kinds.is_run_end_encoded(column.type):
        return _decoded(pa.compute.run_end_decode(column))
    if kinds.is_string_view(column.type):
        return column.cast(pa.large_string())
    if kinds.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column


def _present(walker: Walker, column: Any) -> None:
    """The elements of an array without nulls, at least one."""
    kind = column.type
    if kinds.is_null(kind):
        return
    if kinds.is_boolean(kind):
        walker.out += tree_digest(column.to_numpy(zero_copy_only=False).view("u1"))
    elif kinds.is_string(kind) or kinds.is_binary(kind) or kinds.is_large_string(kind) or kinds.is_large_binary(kind):
        _strings(walker, column)
    elif kind.num_fields:
        _nested(walker, column)
    else:  # numbers, times, decimals, bytes of one width
        width = kind.bit_width // 8
        start = column.offset * width
        walker.out += tree_digest(memoryview(column.buffers()[1])[start : start + len(column) * width])


def _nested(walker: Walker, column: Any) -> None:
    kind = column.type
    if kinds.is_struct(kind):
        for part in column.flatten():
            _content(walker, part)
    elif kinds.is_fixed_size_list(kind):
        _content(walker, column.flatten())
    elif kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_list_view(kind) or kinds.is_large_list_view(kind):
        walker.out += tree_digest(column.value_lengths().cast(pa.int64()).to_numpy(zero_copy_only=False).view("u1"))
        _content(walker, column.flatten())
    elif kinds.is_map(kind):
        ends = np.asarray(column.offsets, dtype=np.int64)  # len + 1 of them, of this slice
        walker.out += tree_digest(np.diff(ends).view(np.uint8).data)
        count = int(ends[-1] - ends[0])
        for part in (column.keys, column.items):  # of this slice alone, or (older pyarrow) of the whole
            _content(walker, part if len(part) == count else part.slice(int(ends[0]), count))
    else:  # a union: element by element, each with its own type
        for index in range(len(column)):
            item = column[index]
            walker.tag(b"u", str(item.type_code).encode())
            walker.child((index,), item.value)


def _strings(walker: Walker, column: Any) -> None:
    """Lengths, then all bytes in one piece: taken anew, so that what a slice leaves out is not hashed."""
    large = kinds.is_large_string(column.type) or kinds.is_large_binary(column.type)
    _, offsets, data = column.buffers()
    whole = np.frombuffer(offsets, dtype=np.int64 if large else np.int32)
    ends = whole[column.offset : column.offset + len(column) + 1].astype(np.int64)
    walker.out += tree_digest(np.diff(ends).view(np.uint8).data)
    walker.out += tree_digest(b"" if data is None else memoryview(data)[int(ends[0]) : int(ends[-1])])
