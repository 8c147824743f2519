"""Files that are needed while something is fetched."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Self


class Scratch:
    """A folder for what is fetched as files, made when the first is asked for, and gone with the `with`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._numbers = itertools.count()

    def new(self) -> Path:
        """A name for a file or a folder that is not there yet."""
        if self._folder is None:
            self._parent.mkdir(exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=self._parent))
        return self._folder / str(next(self._numbers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
