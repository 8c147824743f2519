"""Stored files on every way that they are handed out: nothing done to them changes the store's bytes, or a later answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from power_cuts import FILE_SYSTEMS, SIZE_BYTES, mounted, why_not

from gpucache.digests import Dir, File, value_digest
from gpucache.errors import NotStorable, StoreUnusable
from gpucache.store import Store, blobs, check, checkout, reflink

assert check  # a user without rights may not be able to import it later

CONTENT = os.urandom(300_000)
NOBODY = 65534


@dataclass
class Place:
    """Where a store lies and files are made, and how the store hands them out there."""

    path: Path
    way: str

    def source(self, content: bytes = CONTENT, *, executable: bool = False) -> Path:
        path = self.path / "source.bin"
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)
        return path

    def store(self) -> Store:
        return Store(self.path / "store")


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | str]:
    """A file system that shares extents; why there is none."""
    missing = why_not("xfs")
    if missing is not None:
        yield missing
        return
    folder = tmp_path_factory.mktemp("xfs")
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES["xfs"])
    subprocess.run([*FILE_SYSTEMS["xfs"], "-m", "reflink=1", str(image)], check=True, capture_output=True)
    with mounted(image, folder / "mount"):
        yield folder / "mount"


@pytest.fixture(params=["reflink", "link", "copy"])
def place(request: pytest.FixtureRequest, xfs: Path | str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A folder in which files are handed out in that way, by a user who may or may not write where he must not."""
    if request.param == "reflink":
        if isinstance(xfs, str):
            pytest.skip(xfs)
        folder = Path(tempfile.mkdtemp(dir=xfs))
        yield Place(folder, "reflink")
        shutil.rmtree(folder)
        return
    folder = Path(tempfile.mkdtemp())
    monkeypatch.setattr(blobs, "share", lambda *_: False)
    is_root = os.geteuid() == 0
    if request.param == "link" and is_root:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
    if request.param == "copy" and not is_root:
        monkeypatch.setattr(os, "access", lambda *_, **__: True)
    try:
        yield Place(folder, request.param)
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def bytes_of_blobs(store: Store) -> list[bytes]:
    return [path.read_bytes() for path in sorted((store.path / "blobs").glob("*/*"))]


def overwrite_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"overwritten")


def overwrite_whole(path: Path) -> None:
    path.write_bytes(b"other")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.replace(path)


def remove(path: Path) -> None:
    path.unlink()


CHANGES = [overwrite_in_place, overwrite_whole, append, replace, remove]


@pytest.mark.parametrize("executable", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_user_does_to_his_file_changes_nothing(
    place: Place, change: Callable[[Path], None], executable: bool
) -> None:
    """The store's bytes are as they were, and who asks next gets the right ones, at once and in another handle."""
    with place.store() as store:
        digest = store.put(File(place.source(executable=executable)))
        before = bytes_of_blobs(store)
        try:
            change(store.get(digest).path)
        except PermissionError:
            assert place.way != "copy" or os.geteuid() != 0

        assert bytes_of_blobs(store) == before == [CONTENT]
        assert store.get(digest).read_bytes() == CONTENT
        assert not store.verify().problems
    with place.store() as store:
        found = store.get(digest)
        assert found.read_bytes() == CONTENT
        assert os.access(found.path, os.X_OK) == executable
        assert value_digest(found) == digest.raw


def test_it_is_handed_out_in_the_way_that_is_tried(place: Place) -> None:
    """A link shares the blob's inode, and nothing else does."""
    with place.store() as store:
        path = store.get(store.put(File(place.source()))).path
        (blob,) = (store.path / "blobs").glob("*/*")

        assert os.path.samefile(path, blob) == (place.way == "link")
        assert not path.stat().st_mode & 0o222


def test_a_right_that_a_user_gives_himself_costs_the_value_at_most(place: Place) -> None:
    """chmod and a write: the answer is right, or the store knows that it has none."""
    with place.store() as store:
        digest = store.put(File(place.source()))
        path = store.get(digest).path
        path.chmod(0o644)
        overwrite_in_place(path)

        if place.way == "link":
            assert not store.contains(digest) or store.verify().problems
            store.verify(repair=True)
            assert not store.contains(digest)
            digest = store.put(File(place.source()))
        assert store.get(digest).read_bytes() == CONTENT


def test_what_is_changed_right_after_it_is_handed_out_is_seen(place: Place) -> None:
    """Size and mtime as before, and no time between: the ctime tells, since the clock has moved on before the path is given."""
    with place.store() as store:
        digest = store.put(File(place.source()))
        for _ in range(20):
            path = store.get(digest).path
            times = path.stat()
            if place.way == "link":
                replace(path)
            else:
                path.chmod(0o644)
                path.write_bytes(CONTENT[::-1])
                path.chmod(0o444)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

            assert store.get(digest).read_bytes() == CONTENT


def test_what_is_as_it_was_made_is_not_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time, stamps say that all is well; without them contents do."""
    (place.path / "data").mkdir()
    for name in ("a", "b"):
        (place.path / "data" / name).write_bytes(CONTENT + name.encode())
    with place.store() as store:
        digest = store.put(Dir(place.path / "data"))
        first = store.get(digest).path
        inode = (first / "a").stat().st_ino
        monkeypatch.setattr(store._checkout, "_content_of", lambda path: pytest.fail("it was read again"))

        assert store.get(digest).path == first
        monkeypatch.undo()
        (first.parent / "stamps").write_bytes(b"\x93damaged")
        assert store.get(digest).path == first
        assert (first / "a").stat().st_ino == inode


def test_where_the_clock_stands_still_contents_tell(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stamp is written down that a later change could leave as it is."""
    monkeypatch.setattr(checkout, "TICK_MAX_MS", 0)
    with place.store() as store:
        digest = store.put(File(place.source()))
        path = store.get(digest).path

        assert store.get(digest).path == path
        assert not (path.parent / "stamps").exists()


def test_a_folder_that_can_not_be_taken_away_is_not_handed_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What someone wrote to stayed where the disk failed to remove it, and was given to the next who asked."""
    with place.store() as store:
        digest = store.put(File(place.source()))
        path = store.get(digest).path
        replace(path)

        def fails(self: Path, target: Path) -> Path:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch, pytest.raises(StoreUnusable, match="look at its disk"):
            patch.setattr(Path, "rename", fails)
            store.get(digest)
        assert store.get(digest).read_bytes() == CONTENT


def test_who_is_second_takes_what_the_first_made(place: Place) -> None:
    """Two ask at once: neither takes away what the other was handed."""
    with place.store() as store:
        digest = store.put(File(place.source()))
        made = store._checkout._made
        first: list[Path] = []

        def slow(*arguments: object) -> bool:
            store._checkout._made = made
            first.append(store.get(digest).path)
            inode = first[0].stat().st_ino
            done = made(*arguments)
            assert first[0].stat().st_ino == inode
            return done

        store._checkout._made = slow

        assert store.get(digest).path == first[0]


@pytest.mark.parametrize("name", ["stamps", "stamps_"])
def test_a_file_may_have_the_name_of_our_note(place: Place, name: str) -> None:
    """What is noted about a file lies beside it, under another name."""
    (place.path / name).write_bytes(CONTENT)
    with place.store() as store:
        digest = store.put(File(place.path / name))

        assert store.get(digest).read_bytes() == store.get(digest).read_bytes() == CONTENT


def test_a_file_that_changes_while_it_is_stored_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written to after its digest was taken, before it is cloned or copied: refused, and nothing is left."""
    source = place.source()
    with place.store() as store:
        share = blobs.share

        def written_to(*descriptors: int) -> bool:
            overwrite_in_place(source)
            return share(*descriptors)

        monkeypatch.setattr(blobs, "share", written_to)
        with pytest.raises(NotStorable, match="changed while it was stored"):
            store.put(File(source))

        assert not list((store.path / "blobs").glob("*/*"))
        assert not list((store.path / "tmp").iterdir())


@pytest.mark.parametrize("is_back_again", [False, True])
def test_a_file_that_changes_right_after_it_was_cloned_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_back_again: bool
) -> None:
    """What lies in the store is what was hashed: a clone of other content is refused, also if the source is as it was again."""
    source = place.source(CONTENT[::-1] if is_back_again else CONTENT)
    times = source.stat()
    share = blobs.share

    def written_to(*descriptors: int) -> bool:
        done = share(*descriptors)
        source.write_bytes(CONTENT if is_back_again else b"late")
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
        return done

    with place.store() as store:
        monkeypatch.setattr(blobs, "share", written_to)
        wanted = store._values._content.of(CONTENT)
        try:
            row = store.blobs.copy_in(source, wanted)
        except NotStorable:
            row = None

        assert (row is None) == (is_back_again == (place.way == "reflink"))
        assert bytes_of_blobs(store) == ([] if row is None else [CONTENT])


def test_a_clone_whose_source_did_not_change_is_not_read(xfs: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages would come from the disk."""
    if isinstance(xfs, str):
        pytest.skip(xfs)
    place = Place(Path(tempfile.mkdtemp(dir=xfs)), "reflink")
    source = place.source()
    os.utime(source, ns=(0, 0))
    read: list[bool] = []
    with place.store() as store:
        content = store._files._content
        of_open_file = content.of_open_file

        def noted(descriptor: int, **options: object) -> bytes:
            read.append(os.path.samestat(os.fstat(descriptor), source.stat()))
            return of_open_file(descriptor, **options)

        monkeypatch.setattr(content, "of_open_file", noted)
        while (
            not read or read[-1] is False
        ):  # a source of this very tick of the clock is not trusted, and its clone is read
            read.clear()
            row = store.blobs.copy_in(source, content.of(CONTENT))
            store.blobs.remove(row)

        assert read == [True]


def test_a_source_that_changes_later_changes_nothing(place: Place) -> None:
    """Also through a mapping of it that was made before it was stored."""
    import mmap

    source = place.source()
    with source.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped, place.store() as store:
        mapped[:4] = b"soon"
        digest = store.put(File(source))
        stored = bytes(mapped)
        mapped[:4] = b"late"
        mapped.flush()
        overwrite_in_place(source)

        assert store.get(digest).read_bytes() == stored
        assert bytes_of_blobs(store) == [stored]


def test_a_clone_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What FICLONE left half done is cut off before the content is copied instead."""

    def half(target: int, request: int, source: int) -> None:
        os.write(target, os.read(source, 1000) + b"x" * 1_000_000)
        os.lseek(target, 0, os.SEEK_SET)
        os.lseek(source, 0, os.SEEK_SET)
        raise OSError(28, "no room")

    monkeypatch.setattr(reflink.fcntl, "ioctl", half)
    place = Place(tmp_path, "copy")
    with place.store() as store:
        digest = store.put(File(place.source()))

        assert store.get(digest).read_bytes() == CONTENT
        assert bytes_of_blobs(store) == [CONTENT]
