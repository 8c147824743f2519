"""Save what can be read of a damaged index. In processes of its own: LMDB asserts on some damaged pages, which kills.

Forwards from the first row, then backwards from the last, database by database, until the damage; a row counts if its own check
is right. The damaged index goes to quarantine whole.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from gpucache.store.contract import DATABASES

TIMEOUT_S = 600.0
COMMIT_ROWS = 4096


def salvage(path: Path) -> int:
    """Replace the index in this directory by one of the rows that can be read; returns how many.

    The caller holds the lock that keeps others from doing the same. Processes that have the old one open go on with it, unseen.
    """
    building = path.parent / "tmp" / f"index-{secrets.token_hex(8)}"
    saved = sum(_in_child(path, building, database) for database in DATABASES)
    set_aside(path)
    building.mkdir(mode=0o700, exist_ok=True)
    building.rename(path)
    return saved


def set_aside(path: Path) -> None:
    """Move an index's directory to quarantine."""
    (path.parent / "quarantine").mkdir(mode=0o700, exist_ok=True)
    path.rename(path.parent / "quarantine" / f"index-{secrets.token_hex(8)}")


def _in_child(source: Path, target: Path, database: str) -> int:
    """Rows of one database that a child saved; a killed child's count for what it committed, but is not known."""
    saved = 0
    for direction in ("forwards", "backwards"):
        command = (
            "import sys; sys.path[:] = sys.argv[5:]; from gpucache.store.salvage import main; main(*sys.argv[1:5])"
        )
        arguments = [str(source), str(target), database, direction, *sys.path]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                [sys.executable, "-c", command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            if done.returncode == 0:
                count, _, is_whole = done.stdout.decode().partition(" ")
                saved += int(count)
                if is_whole.strip() == "whole":
                    break
    return saved


def main(source: str, target: str, database: str, direction: str) -> None:
    """Copy rows; print how many, and "whole" if the end was reached."""
    from gpucache.store.index import copy_rows

    count, is_whole = copy_rows(Path(source), Path(target), database, backwards=direction == "backwards")
    sys.stdout.write(f"{count} {'whole' if is_whole else 'damaged'}\n")
