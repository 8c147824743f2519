"""Save what can be read of a damaged index. In processes of its own: LMDB asserts on some damaged pages, which kills.

Forwards from the first row, then backwards from the last, database by database, until the damage; a row counts if its own check
is right. One child tries them all; only where that one dies does each database get its own. The damaged index goes to quarantine.
"""

from __future__ import annotations

import resource
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lmdb

from gpucache.store.contract import DATABASES
from gpucache.store.environment import open_databases, open_environment
from gpucache.store.transaction import Transaction, body_of

TIMEOUT_S = 600.0
CPU_S, CPU_BYTES_PER_S = 2, 2**23
"""What a child may compute: a scan that ends takes less. Of the processor's time, so that a busy machine costs no rows."""


def salvage(path: Path) -> int:
    """Replace the index in this directory by one of the rows that can be read; returns how many.

    The caller holds the lock that keeps others from doing the same. Processes that have the old one open go on with it, unseen.
    """
    building = path.parent / "tmp" / f"index-{secrets.token_hex(8)}"
    saved = _in_child(path, building, DATABASES)
    if saved is None:
        saved = sum(_in_child(path, building, (database,)) or 0 for database in DATABASES)
    set_aside(path)
    building.mkdir(mode=0o700, exist_ok=True)
    building.rename(path)
    return saved


def set_aside(path: Path) -> None:
    """Move an index's directory to quarantine."""
    (path.parent / "quarantine").mkdir(mode=0o700, exist_ok=True)
    path.rename(path.parent / "quarantine" / f"index-{secrets.token_hex(8)}")


def _in_child(source: Path, target: Path, databases: Sequence[str]) -> int | None:
    """How many rows a child saved; None if it was killed (the rows that it committed until then are saved all the same)."""
    command = "import sys; sys.path[:] = sys.argv[4:]; from gpucache.store.salvage import main; main(*sys.argv[1:4])"
    arguments = [str(source), str(target), ",".join(databases), *sys.path]
    try:
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return int(done.stdout) if done.returncode == 0 else None


def main(source: str, target: str, databases: str) -> None:
    """Copy the rows of these databases; print how many."""
    limit_s = CPU_S + Path(source, "data.mdb").stat().st_size // CPU_BYTES_PER_S
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    saved = 0
    for database in databases.split(","):
        for backwards in (False, True):
            count, is_whole = copy_rows(Path(source), Path(target), database, backwards=backwards)
            saved += count
            if is_whole:
                break
    sys.stdout.write(str(saved))


def copy_rows(source: Path, target: Path, database: str, *, backwards: bool) -> tuple[int, bool]:
    """Copy a database's rows to the index in `target`, up to the first damage; how many, and whether that was all."""
    copied = 0
    into = open_environment(target)
    try:
        databases = open_databases(into)
        with lmdb.open(
            str(source), readonly=True, lock=False, max_dbs=len(DATABASES), create=False, lib_version=0
        ) as damaged:
            reading = damaged.begin()  # the database is opened within it: one opened later is unknown to it
            rows = Transaction(reading, {database: damaged.open_db(database.encode(), txn=reading, create=False)})
            after: bytes | None = None
            is_whole = True
            while is_whole:
                page, is_whole = _page_until_damage(rows, database, after, backwards=backwards)
                if not page:
                    break
                with into.begin(write=True) as writing:
                    for key, row in page:
                        if body_of(database, key, row) is not None:
                            copied += writing.put(key, row, db=databases[database], overwrite=False)
                after = page[-1][0]
            return copied, is_whole
    except lmdb.Error:
        return copied, False
    finally:
        into.close()


def _page_until_damage(
    rows: Transaction, database: str, after: bytes | None, *, backwards: bool
) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The next rows, and whether no damage was met: keys out of order are damage too, of pages that lead in a circle."""
    page: list[tuple[bytes, bytes]] = []
    try:
        page.extend(rows.rows_after(database, b"", after, reverse=backwards))  # what comes before an error stays
    except lmdb.Error:
        return page, False
    return page, True
