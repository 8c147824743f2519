"""Stored files and directories as paths, under their own names, read-only.

Each lies in a folder of its own under files/, named by what it is, and is handed out again to whoever asks for the same. How a
file is made of a blob so that nothing done to it changes the blob is the blobs' business (blobs.py, hand_out).

What was handed out may have been written to since, as root is free to. So the stamps of a folder's files are written down beside
them, and a file with another stamp is compared with its blob's digest before it is handed out again; what is not as it was made is
made anew. Nothing is handed out before the clock that stamps files has moved on: whatever is done to a file from then on, also to
one that shares its blob's inode, gives it another stamp than the one that was written down.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec

from gpucache.codec.file import Entry, FileForm, decode_form
from gpucache.digests import Dir, File, combine
from gpucache.digests.file import stamp_of
from gpucache.errors import NotIdentifiable, RecordCorrupt, StoreFull, StoreUnusable
from gpucache.store.blobs import NO_ROOM, boot_id
from gpucache.store.contract import Stray
from gpucache.store.record import Manifest, PartRef

PutFile = Callable[[PartRef, Path], None]
"""Makes a read-only file of a part's content at a path."""

IsWhole = Callable[[PartRef, Path], bool]
"""Whether the file at a path is the part's own blob, unchanged."""

EXECUTABLE = 0o555

TICK_MAX_MS = 20
"""What a file system's clock is waited for. ext4's and xfs' tick every 4 ms or faster; a slower one's stamps are not written down."""


_Stamp = tuple[int, int, int, int]
"""Size, times and inode, as digests.file.stamp_of() gives them."""


class _Stamps(msgspec.Struct, frozen=True, array_like=True):
    """What the files of a folder were when they were right, in the order of its entries, and in which boot.

    After a power cut a file can have its times and no content.
    """

    boot: str
    files: list[_Stamp]


_encode_stamps = msgspec.msgpack.Encoder().encode
_decode_stamps = msgspec.msgpack.Decoder(_Stamps).decode


class Checkout:
    """The files and directories that were handed out as paths. Any thread and any process may call any method."""

    def __init__(
        self, folder: Path, temporary: Path, put_file: PutFile, is_whole: IsWhole, content_of: Callable[[Path], bytes]
    ) -> None:
        self._content_of = content_of
        self._folder, self._temporary = folder, temporary
        self._put_file, self._is_whole = put_file, is_whole

    def give(self, manifest: Manifest) -> File:
        """The File or Dir of a manifest, its content checked.

        Raises:
            BlobMissing, RecordCorrupt: Its bytes are gone or damaged.
            StoreFull, StoreUnusable: There is no room for it, or the disk failed.
        """
        form = decode_form(manifest.meta)
        if any(entry.part >= len(manifest.parts) for entry in form.entries):
            raise RecordCorrupt("file", "one of its parts is missing")
        folder = self._folder / _name(manifest)
        top = folder / _safe(form.name)
        try:
            found = _inode(folder)
            while not self._is_whole_folder(form, manifest, top):
                if found is not None and found == _inode(folder):  # else it is another's by now, who was as fast
                    self._put_aside(folder)
                if self._made(form, manifest, folder):
                    break
                found = _inode(folder)
        except (StoreFull, StoreUnusable):
            raise
        except OSError as problem:
            if problem.errno in NO_ROOM:
                free = shutil.disk_usage(self._temporary).free
                raise StoreFull(str(self._folder.parent), manifest.nbytes, free) from problem
            why = f"a file can't be made: {problem.strerror or problem}"
            raise StoreUnusable(str(self._folder.parent), why, "look at its disk") from problem
        return Dir(top) if form.is_dir else File(top)

    def strays(self, kept: Iterable[Manifest], given_up: Iterable[Manifest], *, older_than: float) -> Iterator[Stray]:
        """Folders of what is given up, and those made before older_than (Unix time, s) that are of nothing kept."""
        keep = {_name(manifest) for manifest in kept}
        drop = {_name(manifest) for manifest in given_up}
        for entry in os.scandir(self._folder):
            if entry.name not in keep and (entry.name in drop or entry.stat().st_ctime < older_than):
                yield Stray(_bytes_of_its_own(Path(entry.path)), partial(shutil.rmtree, entry.path, ignore_errors=True))

    def _is_whole_folder(self, form: FileForm, manifest: Manifest, top: Path) -> bool:
        """Whether it is there as it was made. What can't be read is not."""
        try:
            stamps = _stamps_of(form, top)
            if form.is_dir and (not top.is_dir() or {name for name, _ in Dir(top).entries()} != _names(form)):
                return False  # someone put a file into it, or took one away
            if stamps == _noted(top):
                return True
            will_tell = self._will_tell(stamps)
            if not all(self._is_as_made(entry, manifest, _place(top, entry, form)) for entry in form.entries):
                return False
            if will_tell and _stamps_of(form, top) == stamps:
                _note(stamps, top)
        except (OSError, NotIdentifiable):
            return False
        return True

    def _will_tell(self, stamps: Sequence[_Stamp]) -> bool:
        """Wait until whatever happens to the files from now on must give them other stamps; whether that is so."""
        newest_ns = max((changed_ns for _, _, changed_ns, _ in stamps), default=0)
        probe = self._temporary / secrets.token_hex(8)
        try:
            probe.touch()
            for _ in range(TICK_MAX_MS):
                if os.stat(probe).st_ctime_ns > newest_ns:
                    return True
                time.sleep(0.001)
                os.utime(probe)
        except OSError:
            return False  # no room: contents are compared the next time
        finally:
            probe.unlink(missing_ok=True)
        return False

    def _is_as_made(self, entry: Entry, manifest: Manifest, place: Path) -> bool:
        if entry.link is not None:
            return place.is_symlink() and os.readlink(place) == entry.link
        if entry.is_folder:
            return place.is_dir() and not place.is_symlink()
        part = manifest.parts[entry.part]
        status = os.lstat(place)
        if not stat.S_ISREG(status.st_mode) or bool(status.st_mode & stat.S_IXUSR) != entry.executable:
            return False
        return self._is_whole(part, place) or self._content_of(place) == part.blob

    def _made(self, form: FileForm, manifest: Manifest, folder: Path) -> bool:
        """Make the folder; False if another was faster."""
        building = self._temporary / secrets.token_hex(8)
        top = building / _safe(form.name)
        try:
            (top if form.is_dir else building).mkdir(mode=0o700, parents=True)
            for entry in form.entries:
                self._put(entry, manifest, _place(top, entry, form))
            stamps = _stamps_of(form, top)
            if self._will_tell(stamps):
                _note(stamps, top)
            try:
                building.rename(folder)
            except OSError as problem:
                if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return False
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return True

    def _put_aside(self, folder: Path) -> None:
        """Take a folder away, at once: one that is removed where it stands could be left half, and handed out."""
        aside = self._temporary / secrets.token_hex(8)
        with suppress(FileNotFoundError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _put(self, entry: Entry, manifest: Manifest, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.link is not None:
            place.symlink_to(entry.link)
            return
        if entry.is_folder:
            place.mkdir()
            return
        self._put_file(manifest.parts[entry.part], place)
        if not entry.executable:
            return
        if os.stat(place).st_nlink > 1:  # the permission belongs to the inode, and others may not be executable
            linked = place.with_name(f".{secrets.token_hex(8)}")
            place.rename(linked)
            shutil.copyfile(linked, place)
            linked.unlink()
        place.chmod(EXECUTABLE)


def _inode(folder: Path) -> int | None:
    try:
        return os.lstat(folder).st_ino
    except FileNotFoundError:
        return None


def _names(form: FileForm) -> set[str]:
    """Every name in a directory, those of directories that follow from their files' too."""
    names = {entry.name for entry in form.entries}
    return names.union(*(map(str, PurePosixPath(name).parents) for name in names)) - {"."}


def _note(stamps: list[_Stamp], top: Path) -> None:
    """Write stamps down. Where that fails, contents are compared the next time; half a note is none."""
    with suppress(OSError):
        _stamps_place(top).write_bytes(_encode_stamps(_Stamps(boot_id(), stamps)))


def _noted(top: Path) -> list[_Stamp] | None:
    """The stamps written down there, if they were in this boot."""
    try:
        found = _decode_stamps(_stamps_place(top).read_bytes())
    except (OSError, ValueError):  # msgspec's own are such
        return None
    return found.files if found.boot == boot_id() else None


def _stamps_of(form: FileForm, top: Path) -> list[_Stamp]:
    """What the files' stamps are now, in the order of the entries."""
    return [stamp_of(os.lstat(_place(top, entry, form))) for entry in form.entries]


def _stamps_place(top: Path) -> Path:
    """Beside what is handed out, under a name that this does not have."""
    return top.with_name("stamps" if top.name != "stamps" else "stamps_")


def _name(manifest: Manifest) -> str:
    return combine(manifest.digest, manifest.meta).hex()


def _bytes_of_its_own(folder: Path) -> int:
    """The bytes in a folder that no other name keeps."""
    found = (os.lstat(os.path.join(parent, name)) for parent, _, names in os.walk(folder) for name in names)
    return sum(status.st_size for status in found if status.st_nlink == 1)


def _place(top: Path, entry: Entry, form: FileForm) -> Path:
    return top / entry.name if form.is_dir else top


def _safe(name: str) -> str:
    return name.replace("/", "_").replace("\0", "_") if name not in ("", ".", "..") else "file"
