"""Whose doing it is that a file is opened: the body's, an import's, or gpucache's own. Told from the frames that lead there."""

from __future__ import annotations

import os
import sys
import types

from gpucache.fingerprint import Project

IMPORTLIB = "<frozen importlib"
_SOURCE_READERS = (f"{os.sep}linecache.py", f"{os.sep}tokenize.py")
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_BY_HAND = frozenset({"exec_module", "load_module", "get_data"})
_project = Project()


def is_incidental(frame: types.FrameType | None) -> bool:
    """Whether this is an import, or a traceback's look at the source."""
    while frame is not None and not is_ours(frame):
        file = frame.f_code.co_filename
        if file.startswith(IMPORTLIB):
            return not _is_loaded_by_hand(frame)
        if file.endswith(_SOURCE_READERS):
            return not _is_asked_for(frame)
        frame = frame.f_back
    return False


def _is_loaded_by_hand(frame: types.FrameType) -> bool:
    """Whether the body itself has a loader run or read a file (loader.exec_module): no import, whose code the key has."""
    outermost, at = frame, frame.f_back
    while at is not None and at.f_code.co_filename.startswith(IMPORTLIB):
        outermost, at = at, at.f_back
        if outermost.f_code.co_name == "load_module":  # stands behind a decorator
            return True
    return outermost.f_code.co_name in _BY_HAND


def is_known_code(frame: types.FrameType) -> bool:
    """Whether the key of the running call has this code: it is the project's, and neither made nor loaded by the body."""
    file = frame.f_code.co_filename
    if not _project.has_file(file):
        return False
    if frame.f_code.co_name == "<module>":
        above = frame.f_back
        return above is not None and above.f_code.co_filename.startswith(IMPORTLIB) and not _is_loaded_by_hand(above)
    if file.startswith("<"):
        module = sys.modules.get(str(frame.f_globals.get("__name__")))
        return module is not None and vars(module) is frame.f_globals
    return True


def is_pythons(frame: types.FrameType) -> bool:
    """Whether this is code of Python's own library."""
    file = frame.f_code.co_filename
    return file.startswith((_LIBRARY, "<frozen ")) and "/site-packages/" not in file and "/dist-packages/" not in file


def is_ours(frame: types.FrameType) -> bool:
    """Whether gpucache called from here: what lies above is not the body's doing."""
    return str(frame.f_globals.get("__name__", "")).startswith("gpucache.")


def _is_asked_for(frame: types.FrameType) -> bool:
    """Whether the project's own code reads lines of a file, or inspect does for whoever asks for a function's text."""
    at: types.FrameType | None = frame
    while at is not None and at.f_code.co_filename.endswith(_SOURCE_READERS):
        at = at.f_back
    if at is not None and _project.has_file(at.f_code.co_filename):
        return True
    while at is not None:
        if at.f_code.co_filename.endswith(f"{os.sep}inspect.py"):
            return True
        at = at.f_back
    return False
