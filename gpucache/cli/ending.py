"""What ends the command line: exit statuses, and how an error is said. No traceback for a user's mistake."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

import click

from gpucache.errors import (
    BadArgument,
    BadSetting,
    DemoNotPossible,
    ExtraMissing,
    FlowFileBroken,
    GpuCacheError,
    NoSuchFlow,
    NoSuchRecord,
    RecordCorrupt,
    RemoteTraceback,
    RemoteUnreachable,
    RuntimeUnreachable,
    StoreUnusable,
    Untrusted,
    WorkersBroken,
)

OK, FAILED, USAGE, DIFFERENCES, NOT_FOUND, UNREACHABLE, INTEGRITY, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130

_STATUS: tuple[tuple[type[GpuCacheError], int], ...] = (
    (BadArgument, USAGE),
    (BadSetting, USAGE),
    (DemoNotPossible, USAGE),
    (ExtraMissing, USAGE),
    (FlowFileBroken, USAGE),
    (NoSuchFlow, NOT_FOUND),
    (NoSuchRecord, NOT_FOUND),
    (StoreUnusable, UNREACHABLE),
    (RemoteUnreachable, UNREACHABLE),
    (Untrusted, UNREACHABLE),
    (RuntimeUnreachable, UNREACHABLE),
    (WorkersBroken, UNREACHABLE),
    (RecordCorrupt, INTEGRITY),
)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_CLICK = os.path.join(os.path.dirname(os.path.abspath(click.__file__)), "")
_IMPORTING = ("<frozen", os.path.join(os.path.dirname(os.__file__), "importlib", ""))
_USERS = os.path.join(_PACKAGE, "demo", "")  # the demo's pipelines are a user's program that we happen to ship


def status_for(problem: BaseException) -> int:
    """The exit status that an exception stands for."""
    return next((status for kind, status in _STATUS if isinstance(problem, kind)), FAILED)


def say(problem: Exception) -> int:
    """Say on stderr what went wrong, as briefly as its kind allows; the exit status."""
    if isinstance(problem, GpuCacheError):
        cause = problem.__cause__
        if isinstance(problem, FlowFileBroken) and cause is not None:
            # Where in the file, and what: the traceback proper is for programs that failed, not for files with a mistake in them.
            say_line(users_traceback(cause).removeprefix("Traceback (most recent call last):\n"))
        say_line(f"gpucache: {problem}")
    elif _is_ours(problem):
        say_line("".join(traceback.format_exception(problem)).rstrip())
        say_line("gpucache: this is a bug in gpucache, not in your code; please report it with the lines above")
    else:
        say_line(users_traceback(problem))
    return status_for(problem)


def say_line(text: str) -> None:
    """A line, or several, on stderr; nothing happens if nobody reads it any more."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        pass


def users_traceback(problem: BaseException) -> str:
    """A user's exception with the frames of gpucache, of click and of Python's import machinery left out.

    An exception that comes from a worker has its remote frames in its cause; those come first, trimmed alike.
    """
    remote = problem.__cause__ if isinstance(problem.__cause__, RemoteTraceback) else None
    lines = _trimmed(remote.text.strip().splitlines()) if remote is not None else []
    if lines:
        return "\n".join(lines)
    frames = [frame for frame in _frames(problem.__traceback__) if not _is_hidden(frame.tb_frame.f_code.co_filename)]
    text = ["Traceback (most recent call last):\n"] if frames else []
    for frame in frames:
        text += traceback.format_list(traceback.extract_tb(frame, limit=1))
    return "".join([*text, *traceback.format_exception_only(problem)]).rstrip()


def trimmed(text: str) -> str:
    """A traceback's text without the frames of gpucache."""
    return "\n".join(_trimmed(text.rstrip().splitlines()))


def _trimmed(lines: list[str]) -> list[str]:
    """Frames are a line `  File "..."` and what is indented deeper below it."""
    kept, hidden = [], False
    for line in lines:
        if line.startswith('  File "'):
            hidden = _is_hidden(line.removeprefix('  File "').partition('"')[0])
        elif not line.startswith("    "):
            hidden = False
        if not hidden:
            kept.append(line)
    return kept


def _is_ours(problem: BaseException) -> bool:
    last = list(_frames(problem.__traceback__))[-1:]
    return bool(last) and _is_hidden(last[0].tb_frame.f_code.co_filename)


def _is_hidden(file: str) -> bool:
    return (file.startswith(_PACKAGE) and not file.startswith(_USERS)) or file.startswith((_CLICK, *_IMPORTING))


def _frames(trace: TracebackType | None) -> list[TracebackType]:
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    return frames
