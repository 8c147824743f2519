"""What does a file of 1 GiB cost to store, and to get out of the store again: by reflink, and by copying?

All on one xfs, made for this on a loop device (it needs root; the disk below is read and written directly); cp is the limit. Each
put is of another file whose bytes are on the disk already; each get is the first of its file, until its path is in hand, and until
all of it was read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpucache as gpc
from benchmarks.conftest import Contest
from gpucache.store import Store, blobs

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
