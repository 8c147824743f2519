"""Arrow tables, batches and arrays as an IPC stream; they come out over the mapped bytes, without a copy."""

from __future__ import annotations

from typing import Any

from gpucache.codec.kinds import Encoded, OpenPart
from gpucache.errors import RecordCorrupt

NAME = "arrow"


def encode(value: Any) -> Encoded | None:
    """A Table, RecordBatch, Array or ChunkedArray; None for anything else."""
    import pyarrow as pa

    if type(value) is pa.Table:
        return _stream("table", value)
    if type(value) is pa.RecordBatch:
        return _stream("batch", pa.Table.from_batches([value]))
    if isinstance(value, pa.ChunkedArray):
        return _stream("chunked", pa.Table.from_arrays([value], names=[""]))
    if isinstance(value, pa.Array):
        return _stream("array", pa.Table.from_arrays([value], names=[""]))
    return None


def decode(meta: bytes, open_part: OpenPart) -> Any:
    """The Arrow object.

    Raises:
        RecordCorrupt: Not an IPC stream of this shape.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(pa.py_buffer(open_part(0, False))).read_all()
        table.validate()
        if meta == b"table":
            return table
        if meta == b"batch":
            batches = table.to_batches()
            return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
        column = table.column(0)
        if meta == b"chunked":
            return column
        return column.chunk(0) if column.num_chunks == 1 else pa.array([], type=column.type)
    except (pa.ArrowException, ValueError, IndexError, OSError, KeyError) as problem:
        raise RecordCorrupt(NAME, str(problem)) from problem


def _stream(shape: str, table: Any) -> Encoded:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Encoded(NAME, shape.encode(), (sink.getvalue(),))
