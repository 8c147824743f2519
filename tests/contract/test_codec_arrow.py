"""Arrow data by IPC: schema, chunks, slices, dictionaries and metadata come back, over the stored bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from codec_support import read, round_trip, stored

from gpucache import codec
from gpucache.digests import value_digest
from gpucache.errors import RecordCorrupt

pa = pytest.importorskip("pyarrow")


def _values() -> dict[str, Any]:
    words = pa.array(["a", None, "bcd", "a"])
    table = pa.table({"n": pa.array([1, 2, None, 4]), "w": words, "d": words.dictionary_encode()})
    return {
        "table": table,
        "table with metadata": table.replace_schema_metadata({"unit": "m"}),
        "table, sliced": table.slice(1, 2),
        "table in chunks": pa.concat_tables([table, table.slice(2)]),
        "table without rows": table.slice(0, 0),
        "table without columns": pa.table({}),
        "batch": table.to_batches()[0],
        "batch, sliced": table.to_batches()[0].slice(1, 1),
        "array": words,
        "array, sliced": words.slice(1, 2),
        "array without elements": pa.array([], pa.float32()),
        "bools, sliced off a byte": pa.array([True, False, None] * 5).slice(3, 7),
        "nulls": pa.nulls(3),
        "dictionary": words.dictionary_encode(),
        "dictionary, sliced": words.dictionary_encode().slice(2),
        "lists": pa.array([[1], None, [2, 3]]),
        "structs": pa.array([{"a": 1, "b": "x"}, None]),
        "maps": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int8())),
        "views": pa.array(["short", "long enough for a buffer of its own"], pa.string_view()),
        "run-end encoded": pa.array([1, 1, 2], pa.run_end_encoded(pa.int32(), pa.int64())),
        "decimals": pa.array([1, 2], pa.decimal128(10, 2)),
        "times in a zone": pa.array([0, None], pa.timestamp("us", "Europe/Berlin")),
        "fixed sizes": pa.array([b"ab", None], pa.binary(2)),
        "uuids": pa.array([b"0123456789abcdef"], pa.uuid()),
        "chunked": pa.chunked_array([[1, 2], [], [3]]),
        "chunked, none": pa.chunked_array([], pa.string()),
        "chunked, other dictionaries": pa.chunked_array(
            [pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]
        ),
    }


@pytest.mark.parametrize("name", _values())
def test_arrow_data_comes_back(name: str) -> None:
    """Alone and within a list: same type, values and metadata, without pickle, checked as bytes of others would be."""
    value = _values()[name]

    encoded = codec.encode(value)
    alone, (within,) = read(encoded, allow_pickle=False), round_trip([value], allow_pickle=False)

    assert (encoded.codec, encoded.pickled) == ("arrow", False)
    for back in (alone, within):
        assert type(back) is type(value)
        assert back.equals(value)
        assert not hasattr(value, "schema") or back.schema.equals(value.schema, check_metadata=True)
        assert not hasattr(value, "type") or back.type == value.type


@pytest.mark.parametrize("name", sorted(set(_values()) - {"views", "run-end encoded", "uuids", "maps"}))
def test_arrow_data_keeps_its_identity(name: str) -> None:
    """A stored table and the fresh one make the same keys downstream (types that digests knows by their content)."""
    value = _values()[name]

    assert value_digest(round_trip(value)) == value_digest(value)


def test_chunks_of_an_array_are_kept() -> None:
    """Also the empty one."""
    back = round_trip(_values()["chunked"])

    assert [len(chunk) for chunk in back.chunks] == [2, 0, 1]


def test_a_slice_is_cut_to_what_it_shows() -> None:
    """Three elements of a million are not stored as a million."""
    encoded = codec.encode(pa.array(range(100_000)).slice(5, 3))

    assert encoded.nbytes < 1000


def test_it_comes_out_over_the_stored_bytes() -> None:
    """Mapped, not read: the array's buffer lies within the part."""
    encoded = codec.encode(pa.array(range(100_000), pa.int64()))
    part = stored(encoded)[0]
    start = pa.py_buffer(part).address

    back = codec.decode("arrow", encoded.meta, lambda *_: part, allow_pickle=True)

    assert start <= back.buffers()[1].address < start + len(part)


def test_an_extension_type_of_python_is_left_to_pickle() -> None:
    """Its own code would run to read it, and the type would be lost where it is not registered."""

    class Metres(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.float64(), "test.metres")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Any:
            return cls()

    nested = pa.ListArray.from_arrays([0, 1], pa.ExtensionArray.from_storage(Metres(), pa.array([1.0])))

    assert codec.encode(pa.ExtensionArray.from_storage(Metres(), pa.array([1.0]))).codec == "python"
    assert codec.encode(nested).codec == "python"


def test_compressed_streams_of_others_are_refused_before_memory_is_taken() -> None:
    """A few compressed bytes may claim any size; we never write any."""
    sink = pa.BufferOutputStream()
    table = pa.table({"a": [0] * 100_000})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    stream = sink.getvalue().to_pybytes()

    before = pa.total_allocated_bytes()
    with pytest.raises(RecordCorrupt, match="compressed"):
        codec.decode("arrow", codec.encode(table).meta, lambda *_: stream, allow_pickle=False)

    assert pa.total_allocated_bytes() == before


def test_offsets_that_lead_outside_are_refused() -> None:
    """A string column of others whose offsets are wrong would read memory that is not its own."""
    encoded = codec.encode(pa.array(["ab", "cd", "ef"]))
    part = bytearray(stored(encoded)[0])
    at = part.index(struct.pack("<4i", 0, 2, 4, 6))
    part[at + 4 : at + 8] = struct.pack("<i", 2**30)

    with pytest.raises(RecordCorrupt):
        codec.decode("arrow", encoded.meta, lambda *_: bytes(part), allow_pickle=False)
