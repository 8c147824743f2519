"""What Python tells of a body while it runs: audit events, lookups in os.environ, questions about files, imports by name.

Installed once in a process, and silent where no body is watched. Each thing heard goes to those who watch the thread.
"""

from __future__ import annotations

import dis
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gpucache.fingerprint import Project
from gpucache.fingerprint.project import stdlib_roots
from gpucache.memo import _audit, asking, by_name, children, handing_on, native
from gpucache.memo.frames import IMPORTLIB, is_ours
from gpucache.memo.named_files import database_files, text_of
from gpucache.memo.variables import ALL

if TYPE_CHECKING:
    from gpucache.memo.watching import Watch

active: list[Watch] = []
"""Of all threads."""

_workers: dict[int, list[Watch]] = {}
"""Who watches which threads, for what is heard of them later (native.py)."""

current: ContextVar[Watch | None] = ContextVar("gpucache_watch", default=None)

_SUBSCRIPT = {dis.opmap[name] for name in ("BINARY_SUBSCR", "BINARY_OP") if name in dis.opmap}
_installing = threading.Lock()
_busy = threading.local()
_project = Project()


def install() -> None:
    """Hear from now on. Idempotent; there is no way back."""
    if type(os.environ) is not _Environ:
        with _installing:
            if type(os.environ) is not _Environ:
                os.environ.__class__ = os.environb.__class__ = _Environ
                _audit.install(_heard)
                asking.install(_asked, _opened)
                by_name.install(_imported, _sought)
                children.install(_before_fork, _in_child, _started)
    handing_on.install(current, _working)
    native.install(_opened_natively)


def begin(watch: Watch) -> None:
    """What this thread does from now on, and threads that begin, is this watch's."""
    install()
    with native.turn():
        active.append(watch)
        _workers.setdefault(threading.get_ident(), []).append(watch)
    native.listen(on=True)


def end(watch: Watch, thread: int) -> None:
    """No more; `thread` is the one that began it."""
    native.listen(on=False)
    with native.turn():
        active.remove(watch)
        _leave(watch, thread)


@contextmanager
def _working(watch: Watch) -> Iterator[None]:
    """A thread of a pool works for a watch."""
    thread = threading.get_ident()
    with native.turn():
        _workers.setdefault(thread, []).append(watch)
    try:
        yield
    finally:
        with native.turn():
            _leave(watch, thread)


def _leave(watch: Watch, thread: int) -> None:
    _workers[thread].remove(watch)
    if not _workers[thread]:
        del _workers[thread]


def _watches() -> list[Watch]:
    """Who watches this thread."""
    watch = current.get()
    if watch is not None:
        return [watch]
    thread = threading.get_ident()
    return [watch for watch in list(active) if watch.is_of(thread)]


# ---------------------------------------------------------------- variables


class _Environ(os._Environ):  # type: ignore[type-arg]  # noqa: SLF001  # generic in stubs alone; no public name
    """os.environ, which tells who watches what is looked up."""

    def __getitem__(self, key: Any) -> Any:
        if active and type(key) in (str, bytes):
            _looked_up(os.fsdecode(key), sys._getframe(1))  # noqa: SLF001  # who asks is what is asked here
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        if active:
            _looked_up(ALL, sys._getframe(1))  # noqa: SLF001  # as above
        return super().__iter__()

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        _is_set(key)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        _is_set(key)


def _is_set(key: str | bytes) -> None:
    if active:
        for watch in _watches():
            watch.set_variable(os.fsdecode(key))


def _looked_up(name: str, frame: types.FrameType | None) -> None:
    at = frame
    while at is not None and at.f_code.co_filename in _ENVIRON_CODE:
        at = at.f_back
    if at is None or frame is None or is_ours(at):
        return
    is_copy = name == ALL or not _is_subscript(frame)  # for a subprocess, perhaps: nobody says that this name is read
    for watch in _watches():
        if not is_copy:
            watch.read_variable(name, at)
        elif at.f_code.co_filename.startswith(stdlib_roots()):
            watch.note(_WHOLE_ENVIRONMENT)
        else:
            watch.copied_variable(name, at)


def _is_subscript(frame: types.FrameType) -> bool:
    code = frame.f_code
    if code.co_filename == _ABC_FILE and code.co_name == "__iter__":
        return False
    return frame.f_lasti >= 0 and code.co_code[frame.f_lasti] in _SUBSCRIPT


_WHOLE_ENVIRONMENT = "it copies the whole environment, and its variables are not counted"
_ABC_FILE = Mapping.get.__code__.co_filename
_ENVIRON_CODE = frozenset({_ABC_FILE, os.getenv.__code__.co_filename})


# ---------------------------------------------------------------- questions, opens, imports by name


def _asked(kind: str, path: object, frame: types.FrameType) -> None:
    """Someone asks about a file."""
    if not active or getattr(_busy, "now", False):
        return
    text = text_of(path)
    if text is None or is_ours(frame):
        return
    _busy.now = True
    try:
        for watch in _watches():
            watch.asked(kind, text, frame)
    finally:
        _busy.now = False


def _opened(path: str, flags: int, frame: types.FrameType) -> None:
    """A file below an open directory is opened: the audit event has its name alone."""
    if not active or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        for watch in _watches():
            _tell_of_file(watch, "open", path, (path, None, flags), frame)
    finally:
        _busy.now = False


def _imported(module: str, frame: types.FrameType) -> None:
    """A module is imported by a function of importlib."""
    if not active or getattr(_busy, "now", False):
        return
    by_itself = frame.f_code.co_filename.startswith(IMPORTLIB)  # `import a.b` imports a, `from a import b` imports a.b
    while frame.f_code.co_filename.startswith(IMPORTLIB) and frame.f_back is not None:
        frame = frame.f_back
    # The project's own code that imports what it computes has that, or all of the project, in its fingerprint.
    if is_ours(frame) or (not by_itself and _project.has_file(frame.f_code.co_filename)):
        return
    _busy.now = True
    try:
        for watch in _watches():
            if by_itself:
                watch.imported(module, frame)
            else:
                watch.found_by_name(module, "", frame)
    finally:
        _busy.now = False


def _sought(module: str, frame: types.FrameType) -> None:
    """Someone asks whether a module can be found."""
    for folder in sys.path:
        for ending in (".py", ""):
            _asked("existence", os.path.join(folder, *module.split(".")) + ending, frame)


# ---------------------------------------------------------------- processes


def _before_fork() -> None:
    if active:
        for watch in _watches():
            watch.before_fork()


def _opened_natively(thread: int, path: str, flags: int) -> None:
    for watch in _workers.get(thread) or [watch for watch in active if watch.is_of(thread)]:
        watch.opened_natively(path, flags)


def _in_child() -> None:
    native.in_child()
    for watch in active:
        watch.in_child()


def _started() -> None:
    """A process begins that is neither a fork nor subprocess's: multiprocessing's by spawn or forkserver, loky's."""
    if active:
        for watch in _watches():
            watch.note(SUBPROCESS)


# ---------------------------------------------------------------- audit events

SUBPROCESS = "it runs a subprocess, whose own reads are not seen"

_UNSEEN = {
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.posix_spawn"), SUBPROCESS),
    "socket.connect": "it asks over the network, and what it is told is not seen",
}
_COMMANDS = {"subprocess.Popen": 1, "os.system": 0, "os.posix_spawn": 1}
"""Which of the event's arguments is the command line."""

_EVENTS = frozenset(
    {
        *("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.link", "os.symlink", "ctypes.dlopen"),
        *("sqlite3.connect", "pickle.find_class", "import"),
        *_UNSEEN,
    }
)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: what it raises would break the user's call, and what it opens must not be heard again."""
    if not active or event not in _EVENTS or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        for watch in _watches():
            _tell(watch, event, arguments, sys._getframe(1))  # noqa: SLF001  # as above
    finally:
        _busy.now = False


def _tell(watch: Watch, event: str, arguments: tuple[Any, ...], frame: types.FrameType) -> None:
    if event in _UNSEEN:
        watch.note(_UNSEEN[event])
        if event in _COMMANDS:
            is_popen = event == "subprocess.Popen"
            directory, environment = (arguments[2], arguments[3]) if is_popen else (None, None)
            watch.commanded(arguments[_COMMANDS[event]], directory, environment, frame)
        return
    if event in ("pickle.find_class", "import"):
        if is_ours(frame):  # a value out of the store, whose key has the code
            return
        if event == "import":
            watch.imported(arguments[0], frame)
        else:
            watch.found_by_name(arguments[0], arguments[1], frame)
        return
    path = text_of(arguments[1] if event == "os.rename" else arguments[0])
    if event in ("os.listdir", "os.scandir"):
        # Who asks for entries himself may ask them for their sizes and times, unheard.
        kind = "entries" if event == "os.scandir" and _project.has_file(frame.f_code.co_filename) else "listing"
        watch.read_path(kind, path or _path_of_descriptor(arguments[0]), frame)
    elif path is not None:
        _tell_of_file(watch, event, path, arguments, frame)


def _tell_of_file(watch: Watch, event: str, path: str, arguments: tuple[Any, ...], frame: types.FrameType) -> None:
    match event:
        case "sqlite3.connect":
            for part in database_files(path):
                watch.touched(part)
        case "os.rename":
            watch.made(path)
        case "os.mkdir":
            if not os.path.lexists(path):  # it is said before it fails
                watch.made(path)
        case "open" if _is_written(arguments[2]):
            watch.written(path, arguments[2])
        case "ctypes.dlopen" if os.sep not in path:
            return  # the system's library of that name
        case _:  # of a link, what it leads to: under its new name, which the body made, nobody hears of it
            watch.read_path("file", _source_of(path), frame)


def _source_of(path: str) -> str:
    """Of bytecode that stands for a source file, that file: an edit changes it, and the bytecode only when it is loaded next."""
    try:
        return importlib.util.source_from_cache(path) if path.endswith(".pyc") else path
    except (ValueError, NotImplementedError):
        return path


def _path_of_descriptor(descriptor: object) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}") if isinstance(descriptor, int) else "."


def _is_written(flags: object) -> bool:
    if not isinstance(flags, int):
        return False
    new = os.O_TRUNC | os.O_EXCL
    return flags & os.O_ACCMODE == os.O_WRONLY or bool(flags & os.O_ACCMODE == os.O_RDWR and flags & new)
