"""Arrow tables, batches and arrays as an IPC stream; they come out over the mapped bytes, without a copy.

A stream is written once, into a buffer of its exact size (measured first by a dry run: growing one copies it several
times). Slices are cut to what they show. A ChunkedArray keeps its chunks; a Table is one of batches, so columns that are
chunked differently come back with the same values in chunks that are cut at each other's ends. Extension types that are
written in Python are left to pickle: reading them here would run their code, or lose the type where they are not registered.

Bytes that may come from others are read with every offset checked (a pass over strings, lists and dictionaries), and refused
if they are compressed, which we never write: a few bytes could claim any size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import RecordCorrupt

NAME = "arrow"
_TABLE, _BATCH, _CHUNKED, _ARRAY = b"\xa5table", b"\xa5batch", b"\xa7chunked", b"\xa5array"  # texts in msgpack


def encode(value: Any) -> Encoded | None:
    """A Table, RecordBatch, Array or ChunkedArray; None for anything else, and for types that IPC does not keep."""
    import pyarrow as pa

    try:
        if type(value) is pa.Table:
            return _encoded(_TABLE, value.schema, value.to_batches())
        if type(value) is pa.RecordBatch:
            return _encoded(_BATCH, value.schema, [value])
        if isinstance(value, pa.ChunkedArray):
            schema = pa.schema([pa.field("", value.type)])
            chunks = [pa.RecordBatch.from_arrays([chunk], schema=schema) for chunk in value.chunks]
            return _encoded(_CHUNKED, schema, chunks)
        if isinstance(value, pa.Array):
            schema = pa.schema([pa.field("", value.type)])
            return _encoded(_ARRAY, schema, [pa.RecordBatch.from_arrays([value], schema=schema)])
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return None


def decode(meta: bytes, open_part: OpenPart, *, trusted: bool) -> Any:
    """The Arrow object.

    Args:
        meta: What it is.
        open_part: Gives the stream.
        trusted: The bytes are those that encode() wrote; else everything that could lead outside of them is checked.

    Raises:
        RecordCorrupt: Not an IPC stream of this shape.
    """
    import pyarrow as pa

    try:
        stream = pa.py_buffer(open_part(0, False))
        if not trusted:
            _refuse_compressed(stream)
        with pa.ipc.open_stream(stream) as reader:
            schema, batches = reader.schema, list(reader)
        for batch in batches:
            batch.validate(full=not trusted)
        return _assembled(meta, schema, batches)
    except (pa.ArrowException, ValueError, LookupError, TypeError, OSError, struct.error) as problem:
        raise RecordCorrupt(NAME, f"{type(problem).__name__}: {problem}") from problem


def _assembled(meta: bytes, schema: Any, batches: list[Any]) -> Any:
    import pyarrow as pa

    if meta == _TABLE:
        return pa.Table.from_batches(batches, schema=schema)
    if meta == _CHUNKED and len(schema) == 1:
        return pa.chunked_array([batch.column(0) for batch in batches], type=schema.field(0).type)
    if meta in (_BATCH, _ARRAY) and len(batches) == 1:
        return batches[0] if meta == _BATCH else batches[0].column(0)
    raise ValueError("what the stream holds is not what its description says")


def _encoded(kind: bytes, schema: Any, batches: list[Any]) -> Encoded | None:
    import pyarrow as pa

    if any(_is_of_python(field.type) for field in schema):
        return None
    measured = pa.MockOutputStream()
    _write(measured, schema, batches)
    data = pa.allocate_buffer(measured.size())
    with pa.FixedSizeBufferWriter(data) as sink:
        _write(sink, schema, batches)
    return Encoded(NAME, kind, (data,))


def _write(sink: Any, schema: Any, batches: list[Any]) -> None:
    import pyarrow as pa

    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _is_of_python(kind: Any) -> bool:
    """Whether a type is an extension that is written in Python, or holds one."""
    import pyarrow as pa

    if isinstance(kind, pa.ExtensionType):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return _is_of_python(kind.storage_type)
    if isinstance(kind, pa.DictionaryType):
        return _is_of_python(kind.value_type)
    return any(_is_of_python(kind.field(index).type) for index in range(kind.num_fields))


# ---------------------------------------------------------------- what pyarrow does not let one ask

_HEADER_SLOT, _COMPRESSION_SLOT, _BATCH_DATA_SLOT = 2, 3, 1
_TYPE_SLOT, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
"""Fields of Message, RecordBatch and DictionaryBatch, and two of MessageHeader. Source: Arrow's format/Message.fbs."""


def _refuse_compressed(stream: Any) -> None:
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(stream):
        for batch, metadata in _batches_of(message.metadata.to_pybytes()):
            if _slot(metadata, batch, _COMPRESSION_SLOT):
                raise ValueError("compressed, which no stream of ours is")


def _batches_of(metadata: bytes) -> Iterator[tuple[int, bytes]]:
    """Where the RecordBatch table of a message lies, if it has one: a flatbuffer, read by its specification."""
    root = struct.unpack_from("<I", metadata, 0)[0]
    at = _slot(metadata, root, _TYPE_SLOT)
    kind = metadata[at] if at else 0
    if kind not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return
    batch = _followed(metadata, root, _HEADER_SLOT)
    yield (_followed(metadata, batch, _BATCH_DATA_SLOT) if kind == _DICTIONARY_BATCH else batch), metadata


def _slot(metadata: bytes, table: int, number: int) -> int:
    """Where a table's field lies; 0 if it has none."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:
        raise ValueError("an offset leads out of the message")
    size = struct.unpack_from("<H", metadata, vtable)[0]
    entry = 4 + 2 * number
    offset: int = struct.unpack_from("<H", metadata, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _followed(metadata: bytes, table: int, number: int) -> int:
    """Where the table lies that a field points to."""
    at = _slot(metadata, table, number)
    if not at:
        raise ValueError("a message without its content")
    where: int = at + struct.unpack_from("<I", metadata, at)[0]
    return where
