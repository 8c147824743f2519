"""What does a file of 1 GiB cost to store and to get again, by reflink and by copying? Where does compressing values pay?

Files: all on one xfs, made for this on a loop device (it needs root; the disk below is read and written directly); cp is the
limit. Each put is of another file, on the disk already; each get is the first of its file, until its path is in hand, and until all
of it was read.

Compressing: laid-out values of 8 to 10 MB, written as a blob is and read again out of the page cache or, cold, from the disk, as they
are or through codecs; and sent to a bucket and fetched again over a line that is a sleep of its length.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gpucache as gpc
from benchmarks.conftest import Contest
from gpucache import codec
from gpucache.digests import value_digest
from gpucache.store import Record, Store, blobs
from gpucache.store.remote import Patience, Remote
from gpucache.store.remote.bucket import Bucket
from gpucache.store.remote.packing import Line

GIB = 2**30
PIECE = os.urandom(4 * 2**20)
WHAT = "put of a file of 1 GiB", "get of a file of 1 GiB", "get of a file of 1 GiB, and all of it read"


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that shares extents."""
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("it takes root and mkfs.xfs")
    folder = tmp_path_factory.mktemp("xfs")
    (folder / "mount").mkdir()
    with (folder / "disk").open("wb") as file:
        file.truncate(8 * GIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", folder / "disk"], check=True)
    attach = ["losetup", "--direct-io=on", "-f", "--show", folder / "disk"]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["mount", device, folder / "mount"], check=True)
    yield folder / "mount"
    subprocess.run(["umount", folder / "mount"], check=True)
    subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture
def place(xfs: Path) -> Iterator[Path]:
    folder = xfs / "place"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def write(path: Path, number: int) -> Path:
    """A file of 1 GiB that no other number has, on the disk."""
    with path.open("wb", buffering=0) as file:
        for _ in range(GIB // len(PIECE)):
            file.write(PIECE[number:] + PIECE[:number])
        os.fsync(file.fileno())
    return path


def read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(4 * 2**20):
            pass


def way(contestant: str, patch: pytest.MonkeyPatch) -> None:
    if contestant == "gpucache, by copy":
        patch.setattr(blobs, "share", lambda *_: False)


@pytest.mark.parametrize("contestant", ["gpucache, by reflink", "gpucache, by copy", "cp --reflink=always", "cp"])
def test_put(contestant: str, contest: Contest, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way(contestant, monkeypatch)
    numbers = iter(range(1, 1000))

    def machine() -> None:
        shutil.rmtree(place)
        place.mkdir()
        write(place / "source", next(numbers))
        os.sync()

    def put() -> None:
        if contestant.startswith("cp"):
            how = contestant.partition(" ")[2] or "--reflink=never"
            subprocess.run(["cp", how, place / "source", place / "copy"], check=True)
            return
        with Store(place / "store") as store:
            store.put(gpc.File(place / "source"))

    contest(WHAT[0], contestant, put, rounds=4, setup=machine)


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize("contestant", ["gpucache, by reflink", "gpucache, by copy", "cp --reflink=always", "cp"])
def test_get(contestant: str, is_read: bool, contest: Contest, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way(contestant, monkeypatch)
    source = write(place / "source", 0)
    store = Store(place / "store")
    digest = store.put(gpc.File(source))
    copy = place / "copy"

    def machine() -> None:
        """Whoever gets it has it in no cache but the one that the store's own file has."""
        copy.unlink(missing_ok=True)
        shutil.rmtree(place / "store" / "files")
        (place / "store" / "files").mkdir()
        os.sync()

    def get() -> None:
        if contestant.startswith("cp"):
            how = contestant.partition(" ")[2] or "--reflink=never"
            subprocess.run(["cp", how, source, copy], check=True)
            path = copy
        else:
            path = store.get(digest).path
        if is_read:
            read(path)

    contest(WHAT[2 if is_read else 1], contestant, get, rounds=4, setup=machine)
    store.close()


# ---------------------------------------------------------------- compressing


@cache
def value(kind: str) -> Any:
    """About 8 MB of something."""
    chance, numbers = random.Random(0), np.random.default_rng(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randrange(2, 10))) for _ in range(5000)]
    often = [1 / rank for rank in range(1, 5001)]
    match kind:
        case "text":
            return " ".join(chance.choices(words, weights=often, k=1_500_000))
        case "a structure as of JSON":
            return [
                {"id": row, "name": chance.choice(words), "score": chance.random(), "tags": chance.choices(words, k=4)}
                for row in range(120_000)
            ]
        case "an Arrow table":
            count = 250_000
            index = pd.date_range("2020", periods=count, freq="s")
            names = chance.choices(words, weights=often, k=count)
            return pa.table({"t": index, "k": names, "x": numbers.random(count), "n": numbers.integers(0, 99, count)})
        case "weights, float32":
            return numbers.standard_normal(2_000_000).astype(np.float32)
    return numbers.bytes(8_000_000)


CHECKED_IN_MS = ["text", "an Arrow table", "weights, float32", "random bytes"]
"""A structure that comes from nobody in particular is looked through for a second, in which its way does not show."""

KINDS = ["text", "a structure as of JSON", "an Arrow table", "weights, float32", "random bytes"]
CODECS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, int], Any]]] = {
    "as it is": (lambda data: data, lambda data, _: data),
    "lz4": (
        lambda data: pa.Codec("lz4_raw").compress(data),
        lambda data, nbytes: pa.Codec("lz4_raw").decompress(data, nbytes),
    ),
    "zstd, level 1": (
        lambda data: pa.Codec("zstd", 1).compress(data),
        lambda data, nbytes: pa.Codec("zstd").decompress(data, nbytes),
    ),
    "zlib, level 1": (lambda data: zlib.compress(data, 1), lambda data, nbytes: zlib.decompress(data, bufsize=nbytes)),
}


def laid_out(kind: str) -> bytes:
    return b"".join(bytes(memoryview(part).cast("B")) for part in codec.encode(value(kind)).parts)


@pytest.mark.parametrize("is_synced", [False, True])
@pytest.mark.parametrize("how", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_written(kind: str, how: str, is_synced: bool, contest: Contest, tmp_path: Path) -> None:
    """To a new file; nobody pays for what was left in memory before."""
    data = laid_out(kind)

    def machine() -> None:
        (tmp_path / "file").unlink(missing_ok=True)
        os.sync()

    def write() -> None:
        packed = CODECS[how][0](data)
        with (tmp_path / "file").open("wb", buffering=0) as file:
            file.write(packed)
            if is_synced:
                os.fdatasync(file.fileno())

    contest(f"8 MB written{', synced' if is_synced else ''}: {kind}", how, write, rounds=7, setup=machine)


@pytest.mark.parametrize("is_cold", [False, True])
@pytest.mark.parametrize("how", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_read(kind: str, how: str, is_cold: bool, contest: Contest, tmp_path: Path) -> None:
    """Until every byte is in memory."""
    data = laid_out(kind)
    (tmp_path / "file").write_bytes(CODECS[how][0](data))
    os.sync()

    def machine() -> None:
        with (tmp_path / "file").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED if is_cold else os.POSIX_FADV_NORMAL)

    def read() -> None:
        found = CODECS[how][1]((tmp_path / "file").read_bytes(), len(data))
        assert memoryview(found).nbytes == len(data)

    contest(f"8 MB read{', cold' if is_cold else ''}: {kind}", how, read, rounds=9, setup=machine)


class Far(Bucket):
    """A bucket in memory at the end of a line that is slept for: what it moves, and 1 ms for a request."""

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__("memory:///", timeout_s=5.0)
        self.bytes_per_s = bytes_per_s
        self.moved_bytes = 0

    def _moves(self, nbytes: int) -> None:
        self.moved_bytes += nbytes
        time.sleep(0.001 + nbytes / self.bytes_per_s)

    def put(self, name: str, data: Any) -> None:
        """As slow as the line."""
        self._moves(memoryview(data).nbytes)
        super().put(name, data)

    def get(self, name: str, *, most_bytes: int) -> Any:
        """As slow as the line."""
        found = super().get(name, most_bytes=most_bytes)
        self._moves(memoryview(found or b"").nbytes)
        return found

    def stream(self, name: str, check: Any, each: Any, *, until: float) -> bool:
        """As slow as the line."""

        def both(nbytes: int) -> None:
            self._moves(nbytes)
            check(nbytes)

        return super().stream(name, both, each, until=until)


@pytest.mark.parametrize("gigabits", [0.1, 1, 10])
@pytest.mark.parametrize("contestant", ["as it is", "packed where that pays"])
@pytest.mark.parametrize("kind", CHECKED_IN_MS)
def test_over_a_line(kind: str, contestant: str, gigabits: float, contest: Contest, tmp_path: Path) -> None:
    """A result sent by one machine and fetched by another that has nothing, and what went over the line."""
    bucket = Far(gigabits * 1e9 / 8)
    here = Store(tmp_path / "here", outbox=lambda: None)
    key, result = bytes(16), value(kind)
    manifest = here.write(result, value_digest(result))
    sender = Remote(here, bucket, line=Line() if contestant != "as it is" else None)
    hashes = [hashlib.sha256(here.values.open_part(part, writable=False)).digest() for part in manifest.parts]  # noqa: PD011
    took_s: list[float] = []
    for _ in range(5):  # the line is measured on the first
        bucket.moved_bytes = 0
        here.publish(Record(key, "task", manifest, b"", 1.0, 1e9), {})
        sender._receiver.damaged.update(hashes)  # so that parts which are there already are sent anew
        shutil.rmtree(tmp_path / "there", ignore_errors=True)
        with Store(tmp_path / "there") as there:
            receiver = Remote(there, bucket)
            began = time.perf_counter()
            assert sender.push(60.0) == 0
            assert receiver.fetch(key, Patience(60.0))
            took_s.append(time.perf_counter() - began)
            receiver.close(0.0)
    sender.close(0.0)
    here.close()
    line = f"{gigabits:g} Gbit/s" if gigabits >= 1 else f"{gigabits * 1000:g} Mbit/s"
    contest.told(f"8 MB sent and fetched, {line}: {kind}", contestant, min(took_s), moved_bytes=bucket.moved_bytes)
