"""What functions were seen to read that keep it (lru_cache, residents): who gets it from them later depends on it, too."""

from __future__ import annotations

import types

from gpucache.fingerprint import Project
from gpucache.memo.frames import is_ours
from gpucache.memo.inputs import Input, look_at

_read: dict[types.CodeType, dict[tuple[str, str], tuple[Input, str]]] = {}
_generations: dict[types.CodeType, int] = {}
_project = Project()


def note(code: types.CodeType, one: Input, root: str) -> None:
    """This function has read that."""
    _read.setdefault(code, {})[one.kind, one.name] = one, root


def note_frames(frame: types.FrameType | None, one: Input, root: str) -> None:
    """The project's functions that run in this frame and above it have."""
    while frame is not None and not is_ours(frame):
        if _project.has_file(frame.f_code.co_filename):
            note(frame.f_code, one, root)
        frame = frame.f_back


def read_by(code: types.CodeType) -> dict[tuple[str, str], Input]:
    """All that this function was seen to read, as it was."""
    return {place: one for place, (one, _) in _read.get(code, {}).items()}


def generation_of(code: types.CodeType) -> int:
    """How often something that this function read, and keeps, was found changed since."""
    known = _read.get(code)
    if known and any(look_at(one.kind, one.name, root).digest != one.digest for one, root in known.values()):
        _read[code] = {}
        _generations[code] = _generations.get(code, 0) + 1
    return _generations.get(code, 0)
