"""Which installed distribution a module belongs to, and which build of it: by looking at dist-info directories alone.

importlib.metadata.packages_distributions() reads every file list of every package (0.2 s and more here) and imports of the
module itself can take seconds; this looks at one directory and usually one file list.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass

from gpucache.digests import hash128
from gpucache.fingerprint.project import file_of_module

_DIST_INFO = ".dist-info"


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution.

    Attributes:
        name: As its directory is named, normalised.
        version: Its version.
        build: Digest of its list of files and their hashes, so that a rebuilt wheel of the same version differs; empty if
            there is no list.
    """

    name: str
    version: str
    build: bytes


class Distributions:
    """What is installed, looked at once for each directory and again when the directory changed. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directories: dict[str, tuple[int, dict[str, str]]] = {}
        self._of_module: dict[str, tuple[str, int, Distribution | None]] = {}

    def of_module(self, module: str) -> Distribution | None:
        """The distribution that a module comes from; None for Python's own, the project's, and what is not installed."""
        file = file_of_module(module)
        if file is None:
            return None
        split = _site_of(file)
        if split is None:
            return None
        directory, inside = split
        changed_at_ns = os.stat(directory).st_mtime_ns
        with self._lock:
            known = self._of_module.get(module)
            if known is None or known[:2] != (directory, changed_at_ns):
                known = (directory, changed_at_ns, self._find(directory, changed_at_ns, inside))
                self._of_module[module] = known
            return known[2]

    def _find(self, directory: str, changed_at_ns: int, inside: str) -> Distribution | None:
        infos = self._infos(directory, changed_at_ns)
        top = re.sub(r"[-_.]+", "_", inside.partition("/")[0].partition(".")[0]).lower()
        nearest = [top] if top in infos else []
        for name in [*nearest, *(name for name in infos if name != top)]:
            record = _read(os.path.join(directory, infos[name], "RECORD"))
            if record.startswith(f"{inside},".encode()) or f"\n{inside},".encode() in record:
                return _distribution(infos[name], record)
        return _distribution(infos[top], b"") if nearest else None

    def _infos(self, directory: str, changed_at_ns: int) -> dict[str, str]:
        known = self._directories.get(directory)
        if known is None or known[0] != changed_at_ns:
            names = [entry for entry in os.listdir(directory) if entry.endswith(_DIST_INFO)]
            infos = {re.sub(r"[-_.]+", "_", name.partition("-")[0]).lower(): name for name in sorted(names)}
            known = self._directories[directory] = (changed_at_ns, infos)
        return known[1]


def distribution_of(module: str) -> tuple[str, str] | None:
    """Name and version of the distribution that a module comes from; nothing is imported."""
    found = _installed.of_module(module)
    return None if found is None else (found.name, found.version)


def installed(module: str) -> Distribution | None:
    """The distribution that a module comes from, with its build."""
    return _installed.of_module(module)


_installed = Distributions()
"""Shared by all: what is installed does not depend on who asks."""


def _site_of(file: str) -> tuple[str, str] | None:
    """The directory that distributions are installed in, and the file's path in it."""
    for mark in ("/site-packages/", "/dist-packages/"):
        head, found, tail = file.replace(os.sep, "/").rpartition(mark)
        if found:
            return head + mark[:-1], tail
    return None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _distribution(info: str, record: bytes) -> Distribution:
    name, _, version = info.removesuffix(_DIST_INFO).partition("-")
    # Scripts carry the path of this environment, and the dist-info says who installed it: neither is the build.
    elsewhere = (b"..", b"/")
    lines = [line for line in record.split(b"\n") if b",sha256=" in line and b".dist-info/" not in line]
    files = [line for line in lines if not line.startswith(elsewhere)]
    return Distribution(name, version, hash128(b"\n".join(sorted(files))) if files else b"")
