"""Where a value's bytes go: none are copied that need not be, bulk is in parts, what is shared stays shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from codec_support import read, round_trip

from gpucache import codec
from gpucache.codec.kinds import BULK_FROM_BYTES
from gpucache.errors import NotStorable, RecordCorrupt, Untrusted


def _address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_laid_out_without_a_copy(order: Any) -> None:
    """The part is the array's own memory, in either order."""
    array = np.zeros((3, 4), order=order)

    (part,) = codec.encode(array).parts

    assert _address(part) == array.__array_interface__["data"][0]
    assert memoryview(part).nbytes == array.nbytes


def test_an_array_is_read_without_a_copy() -> None:
    """It is a view of the bytes that the store maps."""
    encoded = codec.encode(np.arange(5.0))
    stored = bytes(memoryview(encoded.parts[0]))

    back = codec.decode("array", encoded.meta, lambda *_: stored, allow_pickle=False)

    assert back.__array_interface__["data"][0] == _address(stored)


def test_an_array_is_read_only_whatever_memory_it_lies_in() -> None:
    """What comes out of the store can't be changed under someone else who has it too."""
    encoded = codec.encode(np.arange(5.0))

    back = codec.decode("array", encoded.meta, lambda *_: bytearray(40), allow_pickle=False)

    assert not back.flags.writeable


def test_arrays_within_other_objects_are_laid_out_without_a_copy_and_come_out_private() -> None:
    """pickle's out-of-band buffers: a dataclass of arrays, a DataFrame; who reads them may write to them."""
    from codec_support import Batch

    array = np.zeros(BULK_FROM_BYTES)
    encoded = codec.encode(Batch([], array))

    back = read(encoded)
    back.data[0] = 7

    assert _address(encoded.parts[1]) == array.__array_interface__["data"][0]
    assert read(encoded).data[0] == 0


def test_what_was_read_only_within_an_object_stays_so() -> None:
    """pickle keeps whether a buffer could be written."""
    from codec_support import Batch

    array = np.zeros(BULK_FROM_BYTES)
    array.flags.writeable = False

    assert not round_trip(Batch([], array)).data.flags.writeable


@pytest.mark.parametrize(
    "value", ["x" * 10**6, b"x" * 10**6, bytearray(10**6), [0.5] * 10**5, ["x" * 10**6], {"a": b"x" * 10**6}]
)
def test_bulk_is_in_parts(value: object) -> None:
    """A description lies in a row of the index, which is no place for a megabyte."""
    encoded = codec.encode(value)

    assert len(encoded.meta) < BULK_FROM_BYTES
    assert read(encoded, allow_pickle=False) == value


def test_what_is_shared_stays_shared_and_is_laid_out_once() -> None:
    """One list, one array, one bytearray in two places are one object again."""
    one, array, raw = [1], np.arange(1000), bytearray(b"x")

    encoded = codec.encode({"a": [one, array, raw], "b": [one, array, raw]})
    back = read(encoded, allow_pickle=False)

    assert len(encoded.parts) == 1
    assert all(first is second for first, second in zip(back["a"], back["b"], strict=True))


def test_sixty_levels_of_sharing_are_sixty_lists() -> None:
    """Not two to the sixty."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]

    encoded = codec.encode(value)

    assert encoded.nbytes < 1000
    assert (back := read(encoded))[0] is back[1]


def test_a_list_that_holds_itself_is_left_to_pickle() -> None:
    """pickle keeps cycles; the tree does not."""
    value: list[Any] = [1]
    value.append(value)

    encoded = codec.encode(value)
    back = read(encoded)

    assert encoded.codec == "python"
    assert back[1] is back


def test_deep_nesting_is_left_to_pickle() -> None:
    """Deeper than the reader's stack allows for, but no deeper than pickle takes."""
    value: Any = 1
    for _ in range(200):
        value = [value]

    assert codec.encode(value).codec == "python"
    assert round_trip(value) == value


def test_nesting_deeper_than_pickle_takes_is_refused() -> None:
    """As an error that says so, not as a crash."""
    value: Any = 1
    for _ in range(100_000):
        value = [value]

    with pytest.raises(NotStorable, match="recursion"):
        codec.encode(value)


def test_nbytes_counts_description_and_parts() -> None:
    """What a manifest says the value costs."""
    encoded = codec.encode([np.zeros(1000), b"x" * 5000])

    assert encoded.nbytes == len(encoded.meta) + 8000 + 5000


def test_an_encoded_value_is_frozen() -> None:
    """It may be kept and passed on."""
    with pytest.raises(AttributeError):
        codec.encode(1).codec = "python"  # type: ignore[misc]


def test_pickled_bytes_are_not_touched_where_pickle_is_not_allowed() -> None:
    """The refusal comes before any part is opened."""
    encoded = codec.encode({1: object})
    opened: list[int] = []

    with pytest.raises(Untrusted):
        codec.decode("python", encoded.meta, lambda index, _: opened.append(index), allow_pickle=False)

    assert opened == []


@pytest.mark.parametrize("name", ["", "pickle", "PLAIN", "array "])
def test_an_unknown_codec_is_a_damaged_record(name: str) -> None:
    """Written by a later gpucache, or not by one."""
    with pytest.raises(RecordCorrupt, match="no codec of this name"):
        codec.decode(name, b"", lambda *_: b"", allow_pickle=True)


@pytest.mark.parametrize("value", [np.arange(3), [np.arange(3)], {1: object}])
@pytest.mark.parametrize("part_count", [0, None])
def test_a_part_that_is_missing_is_a_damaged_record(value: object, part_count: int | None) -> None:
    """Whether the number of parts is known beforehand or not."""
    encoded = codec.encode(value)
    parts: list[bytes] = []

    with pytest.raises(RecordCorrupt):
        codec.decode(
            encoded.codec, encoded.meta, lambda index, _: parts[index], allow_pickle=True, part_count=part_count
        )


def test_an_error_of_the_store_reaches_the_caller_as_it_is() -> None:
    """A blob that is gone is not a record that is damaged otherwise."""
    from gpucache.errors import BlobMissing

    def gone(index: int, writable: bool) -> Any:
        raise BlobMissing("blob", "its file is gone")

    for value in (np.arange(3), [np.arange(3)], object):
        encoded = codec.encode(value)
        with pytest.raises(BlobMissing):
            codec.decode(encoded.codec, encoded.meta, gone, allow_pickle=True)


def test_importing_the_codecs_imports_nothing_heavy() -> None:
    """A hit of a plain value pays for no library."""
    import subprocess
    import sys

    code = (
        "import sys, gpucache.codec as c; e = c.encode([1, 'a']); c.decode(e.codec, e.meta, None, allow_pickle=False);"
        "print([n for n in ('numpy', 'torch', 'pyarrow', 'pandas', 'cloudpickle', 'ray') if n in sys.modules])"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
