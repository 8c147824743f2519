"""polars: what counts of frames and columns, and what does not."""

from __future__ import annotations

import decimal
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest

from gpucache import errors
from gpucache.digests import canonical, value_digest

pl = pytest.importorskip("polars")

VALUES: dict[str, Callable[[], object]] = {
    "ints": lambda: pl.Series("a", [1, 2, None]),
    "small ints": lambda: pl.Series("a", [1, 2, None], dtype=pl.Int8),
    "huge ints": lambda: pl.Series("a", [1, 2, None], dtype=pl.Int128),
    "renamed": lambda: pl.Series("b", [1, 2, None]),
    "floats": lambda: pl.Series("a", [1.0, 2.0, None]),
    "nan": lambda: pl.Series("a", [1.0, 2.0, float("nan")]),
    "texts": lambda: pl.Series("a", ["1", "2", None]),
    "categories": lambda: pl.Series("a", ["1", "2", None], dtype=pl.Categorical),
    "enum": lambda: pl.Series("a", ["1", "2", None], dtype=pl.Enum(["1", "2"])),
    "enum, one more": lambda: pl.Series("a", ["1", "2", None], dtype=pl.Enum(["1", "2", "3"])),
    "bytes": lambda: pl.Series("a", [b"1", b"2", None]),
    "bools": lambda: pl.Series("a", [True, False, None]),
    "lists": lambda: pl.Series("a", [[1, 2], [], None]),
    "lists otherwise": lambda: pl.Series("a", [[1], [2], None]),
    "arrays": lambda: pl.Series("a", [[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
    "structs": lambda: pl.Series("a", [{"x": 1}, {"x": None}]),
    "structs, renamed": lambda: pl.Series("a", [{"y": 1}, {"y": None}]),
    "decimals": lambda: pl.Series("a", [decimal.Decimal("1.0")]),
    "times": lambda: pl.Series("a", [0], dtype=pl.Datetime("ns")),
    "times, ms": lambda: pl.Series("a", [0], dtype=pl.Datetime("ms")),
    "times, UTC": lambda: pl.Series("a", [0], dtype=pl.Datetime("ns", "UTC")),
    "durations": lambda: pl.Series("a", [0], dtype=pl.Duration("ns")),
    "dates": lambda: pl.Series("a", [0], dtype=pl.Date),
    "nulls": lambda: pl.Series("a", [None, None]),
    "empty": lambda: pl.Series("a", [], dtype=pl.Int64),
    "frame": lambda: pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "frame, renamed": lambda: pl.DataFrame({"a": [1, 2], "c": ["x", None]}),
    "frame, other order": lambda: pl.DataFrame({"b": ["x", None], "a": [1, 2]}),
    "frame, rows swapped": lambda: pl.DataFrame({"a": [2, 1], "b": [None, "x"]}),
    "frame without columns": lambda: pl.DataFrame(),
    "frame without rows": lambda: pl.DataFrame(schema={"a": pl.Int64}),
    "dtype": lambda: pl.List(pl.Int8),
    "dtype, other": lambda: pl.List(pl.Int16),
    "dtype class": lambda: pl.Int8,
    "in a dict": lambda: {"a": pl.Series("a", [1, 2, None])},
}


def test_each_is_another_value() -> None:
    """Name, dtype, nulls, order and every element count; and the oracle agrees."""
    digests = {name: value_digest(make()) for name, make in VALUES.items()}

    assert len(set(digests.values())) == len(VALUES)
    assert digests == {name: canonical.value_digest(make()) for name, make in VALUES.items()}


def test_round_trip() -> None:
    """digest(x) == digest(round trip of x)."""
    for name, make in VALUES.items():
        value = make()
        assert value_digest(pickle.loads(pickle.dumps(value))) == value_digest(value), name


SAME: dict[str, Callable[[], tuple[object, object]]] = {
    "chunks": lambda: (
        pl.Series("a", [1, 2, 3]),
        pl.concat([pl.Series("a", [1]), pl.Series("a", [2, 3])], rechunk=False),
    ),
    "a slice": lambda: (pl.Series("a", ["y", "z"]), pl.Series("a", ["x", "y", "z"])[1:]),
    "flags": lambda: (pl.Series("a", [1, 2, 3]), pl.Series("a", [1, 2, 3]).set_sorted()),
    "under a null": lambda: (
        pl.Series("a", [1, None]),
        pl.DataFrame({"a": [1, 9], "m": [True, False]}).select(pl.when("m").then("a").alias("a"))["a"],
    ),
    "chunks of a frame": lambda: (
        pl.DataFrame({"a": [1, 2]}),
        pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], rechunk=False),
    ),
    "codes of a categorical": lambda: (
        pl.Series("a", ["q", "r"], dtype=pl.Categorical),
        pl.Series("a", ["p", "q", "r"], dtype=pl.Categorical)[1:],
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_how_it_lies_does_not_count(name: str) -> None:
    """Equal by content, equal digests."""
    one, other = SAME[name]()

    assert value_digest(one) == value_digest(other)


def test_a_plan_is_refused() -> None:
    """With the way out."""
    with pytest.raises(errors.NotIdentifiable, match=r"plan.*collect") as refused:
        value_digest([pl.DataFrame({"a": [1]}).lazy()], name="batch")

    assert refused.value.path == "batch[0]"


@pytest.mark.slow
def test_a_fresh_process_agrees() -> None:
    """One digest, whatever else a process has seen."""
    script = (
        "import polars as pl; from gpucache.digests import value_digest; pl.Series(['z', 'b'], dtype=pl.Categorical);"
        "print(value_digest(pl.DataFrame({'a': ['b', 'z']}, schema={'a': pl.Categorical})).hex())"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == value_digest(pl.DataFrame({"a": ["b", "z"]}, schema={"a": pl.Categorical})).hex()
