"""Who asks whether a file is there, how large it is, or when it was changed, without opening it.

os.stat and its kin raise no audit event, and all that asks (os.path, pathlib, glob) goes through them, by their names in `os`.
So those names are bound to functions that tell first; what they return is what it was.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from functools import wraps
from typing import Any

from gpucache.memo.questions import PROGRAM

Heard = Callable[[str, Any, types.FrameType], None]
"""Gets the question (questions.py), the path as it was given, and the frame that asked."""

Opened = Callable[[str, int, types.FrameType], None]
"""Gets the path, the flags, and the frame that opens."""

REAL_PATH = "real path"
"""Asked of each directory on the way: of those that are no links there is nothing to say."""

_QUESTIONS = {
    **dict.fromkeys(("exists", "isfile", "isdir", "is_file", "is_dir"), "existence"),
    **dict.fromkeys(("lexists", "islink", "is_symlink", "readlink"), "link"),
    **dict.fromkeys(("realpath", "resolve"), REAL_PATH),
    "access": "mode",
    "getsize": "size",
}
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_ASKERS = (
    "<frozen genericpath>",  # since Python 3.11
    "<frozen posixpath>",
    *(_LIBRARY + name for name in ("genericpath.py", "posixpath.py", "pathlib")),
)
_FOR_OTHERS = tuple(_LIBRARY + name for name in ("glob.py", "filecmp.py"))
"""They ask for whoever calls them; what they ask is what os.path is asked."""


_readlink, _open = os.readlink, os.open
_WHICH = _LIBRARY + "shutil.py"


def install(heard: Heard, opened: Opened) -> None:
    """Have all questions told, and what is opened below an open directory. Once in a process."""
    _tell_of_opens(opened)
    for name in ("stat", "lstat", "fstat", "access", "readlink"):
        function = getattr(os, name)
        asked = _telling(name, function, heard)
        setattr(os, name, asked)
        for abilities in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if function in abilities:  # who asks what a function can do asks by the function itself
                abilities.add(asked)


def _telling(name: str, function: Callable[..., Any], heard: Heard) -> Callable[..., Any]:
    @wraps(function)
    def asked(path: Any, *args: Any, **kwargs: Any) -> Any:
        question, frame = name, sys._getframe(1)  # noqa: SLF001  # who asks is what is asked here
        while frame.f_code.co_filename.startswith(_ASKERS) and frame.f_back is not None:
            question, frame = frame.f_code.co_name, frame.f_back
        while _asks_for_others(frame.f_code) and frame.f_back is not None:
            program = _program_sought(frame)
            if program is not None:
                heard(PROGRAM, program, frame.f_back)
                return function(path, *args, **kwargs)
            frame = frame.f_back
        heard(_QUESTIONS.get(question, "status"), _place(path, kwargs.get("dir_fd")), frame)
        return function(path, *args, **kwargs)

    return asked


def _asks_for_others(code: types.CodeType) -> bool:
    file = code.co_filename
    return file.startswith(_FOR_OTHERS) or (file == _WHICH and code.co_name in ("which", "_access_check"))


def _program_sought(frame: types.FrameType) -> object:
    """The name that shutil.which() looks for on the PATH; None if that is not what is done."""
    if frame.f_code.co_name != "which":
        return None
    known = frame.f_locals
    usual = os.environ.get("PATH", os.defpath).split(os.pathsep)
    is_usual = known.get("mode") == os.F_OK | os.X_OK and known.get("path") == usual
    return known.get("cmd") if is_usual else None


def _tell_of_opens(opened: Opened) -> None:
    """os.open() below a directory's descriptor: its audit event does not say which directory."""

    @wraps(_open)
    def told(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is None:
            return _open(path, flags, mode)
        place = _place(path, dir_fd)
        if isinstance(place, str):
            opened(place, flags, sys._getframe(1))  # noqa: SLF001  # who opens is what is asked here
        return _open(path, flags, mode, dir_fd=dir_fd)

    os.open = told
    os.supports_dir_fd.add(told)


def _place(path: Any, directory: int | None) -> Any:
    """The path that is meant: of an open file, or below an open directory."""
    try:
        if isinstance(path, int):
            return _readlink(f"/proc/self/fd/{path}")
        if directory is not None:
            return os.path.join(_readlink(f"/proc/self/fd/{directory}"), os.fsdecode(path))
    except (OSError, TypeError, ValueError):
        pass  # the question will fail as well
    return path
