"""Stored files and directories as paths: under their own names, by hard links to the blobs, so that nothing is copied.

Each lies in a folder of its own under files/, named by what it is. A link shares the blob's inode, so a link that was written
to is seen by its stamp, and made anew. An executable file is a copy: the permission belongs to the inode, and other files of
the same content may not be executable.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from gpucache.codec.file import Entry, FileForm, decode_form
from gpucache.digests import Dir, File, combine
from gpucache.errors import RecordCorrupt, StoreFull
from gpucache.store.blobs import NO_ROOM
from gpucache.store.contract import Stray
from gpucache.store.record import Manifest, PartRef

PutFile = Callable[[PartRef, Path], None]
"""Makes a file of a part's content at a path; a link to the blob, if it can."""

IsWhole = Callable[[PartRef, Path], bool]
"""Whether the file at a path is the part's own blob, unchanged."""

EXECUTABLE = 0o555


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
            StoreFull: There is no room for its names.
        """
        form = decode_form(manifest.meta)
        if any(entry.part >= len(manifest.parts) for entry in form.entries):
            raise RecordCorrupt("file", "one of its parts is missing")
        folder = self._folder / _name(manifest)
        top = folder / _safe(form.name)
        if not self._is_whole_folder(form, manifest, top):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            if not top.exists():
                self._make(form, manifest, folder)
        except OSError as problem:
            if problem.errno in NO_ROOM and not isinstance(problem, StoreFull):
                free = shutil.disk_usage(self._temporary).free
                raise StoreFull(str(self._folder.parent), manifest.nbytes, free) from problem
            raise
        return Dir(top) if form.is_dir else File(top)

    def strays(self, kept: Iterable[Manifest], given_up: Iterable[Manifest], *, older_than: float) -> Iterator[Stray]:
        """Folders of what is given up, and those made before older_than (Unix time, s) that are of nothing kept."""
        keep = {_name(manifest) for manifest in kept}
        drop = {_name(manifest) for manifest in given_up}
        for entry in os.scandir(self._folder):
            if entry.name not in keep and (entry.name in drop or entry.stat().st_ctime < older_than):
                yield Stray(_bytes_of_its_own(Path(entry.path)), partial(shutil.rmtree, entry.path, ignore_errors=True))

    def _is_whole_folder(self, form: FileForm, manifest: Manifest, top: Path) -> bool:
        if form.is_dir and not top.is_dir():
            return False
        if form.is_dir and {name for name, _ in Dir(top).files()} != {entry.name for entry in form.entries}:
            return False  # someone put a file into it
        return all(self._is_as_made(entry, manifest, _place(top, entry, form)) for entry in form.entries)

    def _is_as_made(self, entry: Entry, manifest: Manifest, place: Path) -> bool:
        if entry.link is not None:
            return place.is_symlink() and os.readlink(place) == entry.link
        part = manifest.parts[entry.part]
        if entry.executable:
            return place.is_file() and os.access(place, os.X_OK) and self._content_of(place) == part.blob
        return self._is_whole(part, place)

    def _make(self, form: FileForm, manifest: Manifest, folder: Path) -> None:
        building = self._temporary / secrets.token_hex(8)
        top = building / _safe(form.name)
        try:
            (top if form.is_dir else building).mkdir(mode=0o700, parents=True)
            for entry in form.entries:
                self._put(entry, manifest, _place(top, entry, form))
            try:
                building.rename(folder)
            except OSError:
                if not (folder / _safe(form.name)).exists():  # else another thread was first
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def _put(self, entry: Entry, manifest: Manifest, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.link is not None:
            place.symlink_to(entry.link)
            return
        self._put_file(manifest.parts[entry.part], place)
        if entry.executable:
            linked = place.with_name(f".{secrets.token_hex(8)}")
            place.rename(linked)
            shutil.copyfile(linked, place)
            place.chmod(EXECUTABLE)
            linked.unlink()


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
