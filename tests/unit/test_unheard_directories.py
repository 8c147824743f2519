"""Directories and patterns that texts name, and that native readers list and read without anyone hearing of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from call_support import ran

import gpucache as gpc
from gpucache.flows.session import current_session


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "train").mkdir(parents=True)
    write("data/train/one.parquet", 1)
    gpc.init(runtime="inline", store=tmp_path / "store")
    yield
    gpc.shutdown()


def write(path: str, number: int) -> None:
    pq.write_table(pa.table({"a": [number]}), path)


@gpc.task
def by_pattern(name: str = "") -> int:
    return int(pl.scan_parquet("data/train/*.parquet").select(pl.col("a").sum()).collect().item())


@gpc.task
def by_directory(name: str = "") -> int:
    return int(ds.dataset("data/train").to_table()["a"].to_pandas().sum())


@gpc.task
def of_argument(name: str = "data/train") -> int:
    return int(pq.read_table(name)["a"].to_pandas().sum())


@pytest.mark.parametrize("task", [by_pattern, by_directory, of_argument])
def test_what_native_readers_find_there_counts(task: Callable[[], int]) -> None:
    """A changed file and a new one rerun; a touched one and one elsewhere do not."""
    assert task() == 1
    os.utime("data/train/one.parquet", (1, 1))
    write("data/other.parquet", 1)
    assert ran(task) == (1, False)
    write("data/train/one.parquet", 2)
    assert ran(task) == (2, True)
    write("data/train/two.parquet", 3)
    assert ran(task) == (5, True)
    os.remove("data/train/two.parquet")
    assert ran(task) == (2, False)


@gpc.task
def one_of_them(folder: str) -> bytes:
    return Path(folder, "one.parquet").read_bytes()


@gpc.task
def names_alone(folder: str) -> list[str]:
    return sorted(os.listdir(folder))


@gpc.task
def writes_there(folder: str) -> int:
    return Path(folder, "log.txt").write_text("done")


@pytest.mark.parametrize("task", [one_of_them, names_alone, writes_there])
def test_where_python_was_heard_to_look_nothing_else_counts(task: Callable[[str], object]) -> None:
    """Whoever opens, lists or writes files of a directory in Python reads these, and not all that lies there."""
    write("data/train/two.parquet", 3)
    before = task("data/train")
    write("data/train/two.parquet", 4)
    assert ran(lambda: task("data/train")) == (before, False)


@gpc.task
def of_code(name: str = "") -> str:
    return os.path.join(os.path.dirname(__file__), "")


def test_where_the_code_lies_is_no_data() -> None:
    """The directory of a module is known to its code; that does not make all of its files inputs."""
    of_code()

    store = current_session().store
    (record,) = store.records("of_code", limit=2)
    assert not [name for name in store.parts_of(record) if name.startswith(("file:", "listing:"))]
