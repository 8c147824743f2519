"""What LMDB says of a commit that was cut short, and what a writer hears of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import lmdb
import pytest

from gpucache.errors import StoreFull, StoreUnusable
from gpucache.store.index import FULL_BYTES, Index


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index.open(tmp_path / "index")
    yield index
    index.close()


def _fails(_: Any) -> NoReturn:
    raise lmdb.Error("mdb_txn_commit: Input/output error")


def _disk_with(left_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = SimpleNamespace(f_bavail=left_bytes, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: left)


def test_a_short_write_on_a_full_disk_is_no_room(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB says EIO where the kernel wrote only a part; writers heard of a broken disk (two of them on a small one)."""
    _disk_with(FULL_BYTES - 1, monkeypatch)

    with pytest.raises(StoreFull, match="has no room"):
        index.update(_fails)


def test_an_io_error_on_a_disk_with_room_is_one(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO is not taken for a full disk."""
    _disk_with(FULL_BYTES, monkeypatch)

    with pytest.raises(StoreUnusable, match="Input/output error"):
        index.update(_fails)
