"""The store's twin in memory: the same rules over dictionaries. For tests, and for what need not outlive its process.

Rows and blobs are dictionaries; files that come out lie in a temporary directory, which goes with close(). Not shared between
processes: a forked child has a copy.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gpucache.digests import tree_digest
from gpucache.errors import BlobMissing, NotStorable, RecordCorrupt, StoreFull
from gpucache.events import Quarantined, hooks
from gpucache.store import upkeep
from gpucache.store.checkout import Checkout
from gpucache.store.contract import DATABASES, RowWriter, Stray
from gpucache.store.hashing import Xxh3
from gpucache.store.on_disk import INLINE_MAX_BYTES, Store
from gpucache.store.record import BlobRow, Manifest, PartRef

T = TypeVar("T")


class InMemoryStore(Store):
    """A store in this process's memory.

    Args:
        inline_max_bytes: Parts up to this size lie in rows, larger ones are blobs.
        capacity_bytes: What blobs may take in all before StoreFull; None: no limit.
        clock: Unix time, s.
    """

    def __init__(
        self,
        *,
        inline_max_bytes: int = INLINE_MAX_BYTES,
        capacity_bytes: int | None = None,
        clock: Callable[[], float] = upkeep.wall_clock,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gpucache-")
        path = Path(self._folder.name)
        self._memory = MemoryBlobs(clock, capacity_bytes)
        self._stand_on(path, MemoryRows(), self._memory, inline_max_bytes, clock, content=Xxh3())
        self._checkout = Checkout(path / "files", path, self._write_out, self._is_written_out, Xxh3().of_file)
        (path / "files").mkdir()

    def close(self) -> None:
        """Forget everything. Files that were handed out are gone."""
        if self._is_open:
            super().close()
            self._folder.cleanup()

    def strays(
        self, named: set[str], files: Iterable[Manifest], given_up: Iterable[Manifest], *, older_than: float
    ) -> Iterator[Stray]:
        """Nothing that no row names outlives its writer here, but the files of what was evicted."""
        return self._checkout.strays(files, given_up, older_than=older_than)

    def _why_not_trusted(self) -> str | None:
        return None  # nobody else can write to this process's memory

    def _write_out(self, part: PartRef, target: Path) -> None:
        target.write_bytes(self._values.open_part(part, writable=False))
        target.chmod(0o444)

    def _is_written_out(self, part: PartRef, name: Path) -> bool:
        return False  # a file of its own: what counts is its content


class MemoryRows:
    """Rows in dictionaries; a change that raises leaves them as they were."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[bytes, bytes]] = {name: {} for name in DATABASES}
        self._lock = threading.RLock()

    def get(self, database: str, key: bytes) -> bytes | None:
        """A row, or None."""
        return self._rows[database].get(key)

    def getter(self, database: str) -> Callable[[bytes], bytes | None]:
        """get() of one database."""
        return partial(self.get, database)

    def scan(self, database: str, prefix: bytes = b"", *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key starts with prefix, as they are now."""
        with self._lock:
            found = sorted(key for key in self._rows[database] if key.startswith(prefix))
            rows = [(key, self._rows[database][key]) for key in (reversed(found) if reverse else found)]
        return iter(rows)

    def update(self, change: Callable[[RowWriter], T], *, durable: bool = False) -> T:
        """Run a change: all of it, or nothing. Nothing here survives a power cut."""
        with self._lock:
            before = {name: dict(rows) for name, rows in self._rows.items()}
            try:
                return change(self)
            except BaseException:
                self._rows = before
                raise

    def put(self, database: str, key: bytes, body: bytes) -> None:
        """Write a row, within update()."""
        if not 0 < len(key) <= 511:
            raise ValueError("a row's key has 1 to 511 bytes")
        self._rows[database][key] = body

    def delete(self, database: str, key: bytes) -> bool:
        """Delete a row, within update()."""
        return self._rows[database].pop(key, None) is not None

    def raw(self, database: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Every row: none is ever damaged."""
        yield from self.scan(database)

    def drop_damaged(self, database: str, key: bytes) -> None:
        """Nothing to do."""

    def structure(self) -> str | None:
        """Nothing is wrong."""
        return None

    def mend(self, problem: str) -> None:
        """Nothing to do."""

    @property
    def nbytes(self) -> int:
        """What keys and rows take."""
        return sum(len(key) + len(row) for rows in self._rows.values() for key, row in list(rows.items()))

    def close(self) -> None:
        """Forget the rows."""
        self._rows = {name: {} for name in DATABASES}


class MemoryBlobs:
    """Blobs in a dictionary."""

    def __init__(self, clock: Callable[[], float], capacity_bytes: int | None) -> None:
        self._clock, self._capacity_bytes = clock, capacity_bytes
        self.blobs: dict[str, bytes] = {}
        self._written_at: dict[str, float] = {}

    def write(self, data: Any, digest: bytes) -> BlobRow:
        """Keep a copy of a buffer."""
        content = bytes(memoryview(data).cast("B"))
        taken = sum(len(blob) for blob in self.blobs.values())
        if self._capacity_bytes is not None and taken + len(content) > self._capacity_bytes:
            raise StoreFull("memory", len(content), self._capacity_bytes - taken)
        name = f"{digest.hex()[:2]}/{digest.hex()}.{secrets.token_hex(4)}"
        self.blobs[name], self._written_at[name] = content, self._clock()
        return BlobRow(name, len(content), (0, 0, 0), "")

    def flush(self, row: BlobRow) -> None:
        """Nothing here survives a power cut."""

    def copy_in(self, source: Path, digest: bytes) -> BlobRow:
        """Keep a copy of a file's content, if it has this digest."""
        try:
            content = source.read_bytes()
        except OSError as problem:
            raise NotStorable("file", f"{source}: {problem.strerror}", "keep it until it is stored") from problem
        if tree_digest(content) != digest:
            raise NotStorable("file", f"{source} changed while it was stored", "wait until it is written")
        return self.write(content, digest)

    def open(self, row: BlobRow, digest: bytes, *, writable: bool) -> tuple[Any, BlobRow]:
        """Its bytes; hashed each time, since nothing else tells that they are what they were."""
        content = self.blobs.get(row.name)
        if content is None:
            raise BlobMissing(f"blob {row.name[3:15]}", "it is gone")
        problem = self.check(row, digest)
        if problem is not None:
            self.set_aside(row, problem)
            raise RecordCorrupt(f"blob {row.name[3:15]}", problem)
        return (bytearray(content) if writable else content), row

    def check(self, row: BlobRow, digest: bytes) -> str | None:
        """What is wrong with it; None if nothing is."""
        content = self.blobs.get(row.name)
        if content is None:
            return "it is gone"
        return None if tree_digest(content) == digest else "its content is not what its digest says"

    def exists(self, row: BlobRow) -> bool:
        """Whether it is there, with its size."""
        return len(self.blobs.get(row.name, b"")) == row.nbytes and row.name in self.blobs

    def used_at(self, row: BlobRow) -> float:
        """When it was written, Unix time, s."""
        return self._written_at.get(row.name, 0.0)

    def set_aside(self, row: BlobRow, problem: str) -> None:
        """Drop it, with an event."""
        self.remove(row)
        hooks.emit(Quarantined(f"blob {row.name[3:15]}", problem))

    def remove(self, row: BlobRow) -> None:
        """Drop it."""
        self.blobs.pop(row.name, None)
        self._written_at.pop(row.name, None)
