"""The directory of a store: made for its user alone, told from other directories, trusted or not."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from gpucache.digests import ALGORITHM
from gpucache.errors import StoreFormatUnknown, StoreUnusable
from gpucache.events import Degraded, hooks
from gpucache.store.blobs import sync_folder
from gpucache.store.hashing import ALGORITHMS, Content

FORMAT = 1
FORMAT_WITH_CONTENT = 2
"""As 1, and the marker says by which algorithm blobs are named. One who knows 1 alone would take them all for damaged."""

MARKER = "format.json"
FOLDERS = ("blobs", "tmp", "quarantine", "files")
REMEDY = "choose another with GPUCACHE_STORE or gpucache.init(store=...)"

REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "glusterfs", "fuse.sshfs", "fuse.s3fs"})
"""File systems on which LMDB's lock table and our locks mean nothing to other machines (FACTS: unsupported)."""


def prepare(path: Path, content: str | None = None) -> str:
    """Make the store's directories, or see that they are those of a store that we know.

    Args:
        path: The store's directory.
        content: By which algorithm its blobs are named; None: as they are, and by XXH3-128 in a new store.

    Returns:
        That algorithm's name.

    Raises:
        StoreUnusable: The path can't be written or holds something else; nothing was changed.
        StoreFormatUnknown: It is a store of another format; nothing was changed.
    """
    marker = path / MARKER
    try:
        if _is_marked(marker):
            _content_of(path, marker, content)
        elif path.exists():
            _adopt(path)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise StoreUnusable(str(path), "it can't be written", REMEDY)
        for name in FOLDERS:
            (path / name).mkdir(mode=0o700, exist_ok=True)
        if not _is_marked(marker):
            _mark(path, marker, content or ALGORITHM)
            _warn_of_remote(path)
        return _content_of(path, marker, content)  # another process may have been first
    except StoreUnusable:
        raise
    except OSError as problem:
        raise StoreUnusable(str(path), problem.strerror or str(problem), REMEDY) from problem


def algorithm(path: Path, content: str) -> Content:
    """The algorithm of this name.

    Raises:
        StoreUnusable: It takes a package that is not installed; nothing was changed.
    """
    try:
        return ALGORITHMS[content]()
    except ImportError as problem:
        why = f"its blobs are named by {content}, and that package is not installed"
        raise StoreUnusable(str(path), why, f"pip install gpucache[{content}], or another path") from problem


def why_not_trusted(path: Path) -> str | None:
    """Why what lies there must not be unpickled: another user could have written it. None: only this user could."""
    for place in (path, path / "index", path / "blobs"):
        try:
            status = os.stat(place)
        except FileNotFoundError:
            continue
        if status.st_uid != os.geteuid():
            return f"{place} belongs to user {status.st_uid}, not to you ({os.geteuid()})"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others may write to {place} (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def _adopt(path: Path) -> None:
    """Take an empty directory of ours, or what another process is making into a store right now."""
    ours = {*FOLDERS, MARKER, "index", "locks", "queue", "runs", "pools"}
    if not path.is_dir():
        raise StoreUnusable(str(path), "it is not a directory", REMEDY)
    names = set(os.listdir(path))
    if names - ours:
        raise StoreUnusable(str(path), "the directory holds other things than a store", REMEDY)
    if not names and path.stat().st_uid == os.geteuid():
        path.chmod(0o700)


def _mark(path: Path, marker: Path, content: str) -> None:
    """Bytes before the name, and both before anything is acknowledged: a power cut would leave an empty marker."""
    named = {"format": FORMAT} if content == ALGORITHM else {"format": FORMAT_WITH_CONTENT, "content": content}
    temporary = path / "tmp" / secrets.token_hex(8)
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode({"gpucache_store": True, **named}))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, marker)  # unlike rename, it does not replace another's
    except OSError:  # there is one, or a file system without links
        if not _is_marked(marker):
            temporary.rename(marker)
    temporary.unlink(missing_ok=True)
    sync_folder(path)
    with suppress(OSError):  # a directory of others may be passed through and not opened
        sync_folder(path.parent)


def _is_marked(marker: Path) -> bool:
    """Whether the store says its format. An empty marker is what a power cut left of one that was not synced."""
    try:
        return marker.stat().st_size > 0
    except FileNotFoundError:
        return False


def _content_of(path: Path, marker: Path, wanted: str | None) -> str:
    """By which algorithm the blobs of a store that we know are named."""
    try:
        found = msgspec.json.decode(marker.read_bytes())
    except (msgspec.DecodeError, OSError) as problem:
        why = f"its {MARKER} can't be read: {problem}"
        raise StoreUnusable(str(path), why, "restore it, or choose another path") from problem
    known = found.get("format") if isinstance(found, dict) else found
    content = (
        {FORMAT: ALGORITHM, FORMAT_WITH_CONTENT: found.get("content")}.get(known) if isinstance(known, int) else None
    )
    if content is None or content not in ALGORITHMS:
        why = f"it has format {known!r}, this gpucache knows {FORMAT} and {FORMAT_WITH_CONTENT}"
        if content is not None:
            why = f"its blobs are named by {content!r}, this gpucache knows {', '.join(ALGORITHMS)}"
        raise StoreFormatUnknown(str(path), why, "use the gpucache that wrote it, or another path")
    if wanted not in (None, content):
        raise StoreUnusable(str(path), f"its blobs are named by {content}, not by {wanted}", REMEDY)
    return str(content)


def _warn_of_remote(path: Path) -> None:
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        if left.split(" ")[2] == wanted and right.split(" ")[0] in REMOTE:
            kind = right.split(" ")[0]
            hooks.emit(Degraded("the store", f"{path} lies on {kind}, where locks don't hold between machines"))
            return
