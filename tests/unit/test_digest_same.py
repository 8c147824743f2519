"""What does not count: two values that differ in nothing that a program is about have one digest."""

from __future__ import annotations

import datetime as dt
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

from gpucache.digests import value_digest

CUBE = np.arange(24.0).reshape(2, 3, 4)
TEXTS = ["a", None, "bc", "", "d"]


def padded_long_double() -> np.ndarray:
    made = np.arange(3, dtype=np.longdouble)
    made.view(np.uint8).reshape(3, 16)[:, 10:] = 7
    return made


def padded_record() -> np.ndarray:
    made = np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    made.view(np.uint8).reshape(2, 16)[:, 1:8] = 7
    return made


def shared() -> list[list[int]]:
    one = [1]
    return [one, one]


def attributes(*names: str) -> types.SimpleNamespace:
    made = types.SimpleNamespace()
    for name in names:
        setattr(made, name, 1)
    return made


def in_blocks() -> pd.DataFrame:
    made = pd.DataFrame({"a": [1, 2]})
    made["b"] = [3, 4]
    return made


def under_null(value: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5, value]))])


SAME = {
    "Fortran order": (CUBE, np.asfortranarray(CUBE)),
    "strides": (CUBE[::-1, :, ::2], CUBE[::-1, :, ::2].copy()),
    "transposed": (CUBE.T, CUBE.T.copy()),
    "no strides": (np.broadcast_to(np.float64(1), (2, 3)), np.ones((2, 3))),
    "one of many": (np.arange(10.0)[::3][:1], np.array([0.0])),
    "read-only": (np.zeros(3), np.frombuffer(bytes(24))),
    "padding of long doubles": (padded_long_double(), np.arange(3, dtype=np.longdouble)),
    "padding of records": (padded_record(), np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))),
    "a dtype object of its own": (np.zeros(2, np.dtype("f8").newbyteorder("<")), np.zeros(2)),
    "no mask": (np.ma.MaskedArray([1, 2]), np.ma.MaskedArray([1, 2], mask=[False, False])),
    "shared parts": (shared(), [[1], [1]]),
    "interning": (["".join(["a", "b"]), "ab"], ["ab", "ab"]),
    "order of attributes": (attributes("a", "b"), attributes("b", "a")),
    "order of a set": ({"a", "b", "c"}, {"c", "b", "a"}),
    "path of another class": (Path("a/b"), Path("a//b")),
    "time zones by offset": (dt.timezone(dt.timedelta(0)), dt.UTC),
    "blocks": (in_blocks(), pd.DataFrame({"a": [1, 2], "b": [3, 4]})),
    "frame sliced": (pd.DataFrame({"a": [0, 1, 2]}).iloc[1:].reset_index(drop=True), pd.DataFrame({"a": [1, 2]})),
    "unused levels": (
        pd.MultiIndex.from_product([[1, 2, 3], ["a"]])[:2],
        pd.MultiIndex.from_product([[1, 2], ["a"]]),
    ),
    "under a missing number": (
        pd.Series(pd.arrays.IntegerArray(np.array([1, 5]), np.array([False, True]))),
        pd.Series(pd.arrays.IntegerArray(np.array([1, 6]), np.array([False, True]))),
    ),
    "chunks": (pa.chunked_array([TEXTS]), pa.chunked_array([TEXTS[:2], [], TEXTS[2:]], pa.string())),
    "slice": (pa.array(["x", *TEXTS, "y"]).slice(1, 5), pa.array(TEXTS)),
    "slice of lists": (pa.array([[9], [1, 2], None, [3]]).slice(1), pa.array([[1, 2], None, [3]])),
    "slice of structs": (pa.array([{"a": 9}, {"a": 1}, None]).slice(1), pa.array([{"a": 1}, None])),
    "slice of bools": (pa.array([True, False, None, True]).slice(1), pa.array([False, None, True])),
    "slice of maps": (
        pa.array([[("x", 9)], [("a", 1)], None], pa.map_(pa.string(), pa.int64())).slice(1),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    ),
    "under a null": (under_null(6), under_null(7)),
    "table in chunks": (
        pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})]),
        pa.table({"a": [1, 2]}),
    ),
    "codes of a dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", "b"])),
        pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), pa.array(["b", "a"])),
    ),
    "order of entries": (
        scipy.sparse.coo_array(([1.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2)),
        scipy.sparse.coo_array(([2.0, 1.0], ([1, 0], [0, 1])), shape=(2, 2)),
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_what_does_not_count(what: str) -> None:
    """A needless difference is a needless rerun."""
    one, other = SAME[what]

    assert value_digest(one) == value_digest(other)
    assert value_digest([one]) == value_digest([other])


def test_a_mapped_array_is_the_array(tmp_path: Path) -> None:
    """A file behind an array is where it lies, not what it is."""
    np.save(tmp_path / "a.npy", CUBE)

    assert value_digest(np.load(tmp_path / "a.npy", mmap_mode="r")) == value_digest(CUBE)


def test_elements_that_numpy_can_not_tell_by_their_size_differ() -> None:
    """bfloat16 and the kinds of float8 are all "V" to dtype.str."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    zeros = [np.zeros(2, kind) for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, "V1", "u1")]

    assert len({value_digest(array) for array in zeros}) == len(zeros)
