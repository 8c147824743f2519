"""The standard library's values whose own reduce tells more than they are: paths."""

from __future__ import annotations

import pathlib
from typing import Any

from gpucache.digests.canonical import Walker, add_encoder


def _path(walker: Walker, value: Any) -> None:
    """A path is its text; which class of path a platform makes of it does not count, pure or not does."""
    pure = b"" if isinstance(value, pathlib.Path) else b"pure"
    walker.tag(b"p", pure, str(value).encode("utf-8", "surrogateescape"))


for _kind in (pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath):
    add_encoder(_kind, _path)
