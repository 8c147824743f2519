"""Save what can be read of a damaged index, without LMDB, which a damaged page can kill.

Every row to which the pages lead counts whose own check is right. The damaged index goes to quarantine.
"""

from __future__ import annotations

import mmap
import secrets
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gpucache.store._walk import rows_of
from gpucache.store.contract import DATABASES
from gpucache.store.environment import open_databases, open_environment
from gpucache.store.transaction import body_of

ROWS_AT_ONCE = 10_000
"""In one transaction: enough that a commit costs little."""


def salvage(path: Path) -> int:
    """Replace the index in this directory by one of the rows that can be read; returns how many.

    The caller holds the locks that keep others from writing to it, and from doing the same. Processes that have the old one open go
    on with it, unseen.
    """
    building = path.parent / "tmp" / f"index-{secrets.token_hex(8)}"
    building.mkdir(mode=0o700)
    try:
        saved = _copied(path / "data.mdb", building)
        set_aside(path)
        building.rename(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)  # of no use where something failed; else it is not there
    return saved


def set_aside(path: Path) -> None:
    """Move an index's directory to quarantine."""
    (path.parent / "quarantine").mkdir(mode=0o700, exist_ok=True)
    path.rename(path.parent / "quarantine" / f"index-{secrets.token_hex(8)}")


def _copied(source: Path, target: Path) -> int:
    into = open_environment(target)
    try:
        databases, rows, saved = open_databases(into), _right_rows(source), 0
        while some := list(islice(rows, ROWS_AT_ONCE)):
            with into.begin(write=True) as writing:
                saved += sum(writing.put(key, row, db=databases[name], overwrite=False) for name, key, row in some)
        return saved
    finally:
        into.close()


def _right_rows(source: Path) -> Iterator[tuple[str, bytes, bytes]]:
    with source.open("rb") as file:
        if file.seek(0, 2) == 0:
            return
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            for database, key, row in rows_of(data, mmap.PAGESIZE):
                name = database.decode("ascii", "replace")
                if key and name in DATABASES and body_of(name, key, row) is not None:
                    yield name, key, row
