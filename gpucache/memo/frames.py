"""Whose doing it is that a file is opened: the body's, an import's, or gpucache's own. Told from the frames that lead there."""

from __future__ import annotations

import os
import types

_IMPORTLIB = "<frozen importlib"
_SOURCE_READERS = (f"{os.sep}linecache.py", f"{os.sep}tokenize.py")


def is_incidental(frame: types.FrameType | None) -> bool:
    """Whether this is an import, or a traceback's look at the source."""
    while frame is not None and not is_ours(frame):
        file = frame.f_code.co_filename
        if file.startswith(_IMPORTLIB):
            return not _is_loaded_by_hand(frame)
        if file.endswith(_SOURCE_READERS):
            return not (file.endswith("linecache.py") and _is_inspected(frame))
        frame = frame.f_back
    return False


def _is_loaded_by_hand(frame: types.FrameType) -> bool:
    """Whether the body itself executes a module from its file (loader.exec_module): no import, whose code the key has."""
    outermost, at = frame, frame.f_back
    while at is not None and at.f_code.co_filename.startswith(_IMPORTLIB):
        outermost, at = at, at.f_back
    return outermost.f_code.co_name == "exec_module"


def is_ours(frame: types.FrameType) -> bool:
    """Whether gpucache called from here: what lies above is not the body's doing."""
    return str(frame.f_globals.get("__name__", "")).startswith("gpucache.")


def _is_inspected(frame: types.FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith(f"{os.sep}inspect.py"):
            return True
        frame = frame.f_back
    return False
