"""Who asks whether a file is there, how large it is, or when it was changed, without opening it.

os.stat, os.lstat and os.access raise no audit event, and all that asks (os.path, pathlib) goes through them, by their names in
`os`. So those names are bound to functions that tell first; what they return is what it was.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from functools import wraps
from typing import Any

Heard = Callable[[str, Any, types.FrameType], None]
"""Gets the kind of input ("existence" or "status"), the path as it was given, and the frame that asked."""

_EXISTENCE = frozenset({"access", "exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink"})
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_ASKERS = (
    "<frozen genericpath>",  # since Python 3.11
    "<frozen posixpath>",
    *(_LIBRARY + name for name in ("genericpath.py", "posixpath.py", "pathlib")),
)


def install(heard: Heard) -> None:
    """Have all questions told. Once in a process."""
    for name in ("stat", "lstat", "access"):
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
        heard("existence" if question in _EXISTENCE else "status", path, frame)
        return function(path, *args, **kwargs)

    return asked
