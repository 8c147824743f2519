"""See what a body reads beside its arguments while it runs, so that a later hit can ask whether that is still the same.

Python tells an audit hook of every file that it opens and every directory that it lists (PEP 578); os.environ tells us of
variables. Seen is what happens in the body's own thread or task, and in threads that it starts. Not seen is what compiled code
opens by itself (Arrow's readers, safetensors, OpenCV) and what a process that the body starts reads: pass a gpucache.File.

What is no input is left out: what the body wrote itself, Python's own files and installed packages (their versions
count), the system's, imports (code counts apart), and arguments that are files already. A variable counts if the project's own
code asks for it: libraries ask for dozens that change nothing.
"""

from __future__ import annotations

import functools
import linecache
import os
import stat
import sys
import threading
import time
import tokenize
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from gpucache.fingerprint import is_installed
from gpucache.memo import _audit
from gpucache.memo.things import Thing, contents, named_path, path_of

SYSTEM = tuple(
    place + os.sep
    for place in (
        *("/proc", "/sys", "/dev", "/run", "/etc", "/bin", "/sbin", "/lib", "/lib64"),
        *("/usr/bin", "/usr/include", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share"),
    )
)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_THE_BODY = ("<frozen importlib", "<frozen zipimport", _PACKAGE, tokenize.__file__, linecache.__file__)
"""Who opens a file for an import, for a traceback that quotes it, or for ourselves."""
_CLEAR = frozenset(
    {f"<frozen {name}>" for name in ("os", "posixpath", "_collections_abc")}
    | {os.path.join(os.path.dirname(os.__file__), f"{name}.py") for name in ("os", "posixpath", "_collections_abc")}
)
"""Standard modules that one looks through for who asks for a variable."""


class Seen(NamedTuple):
    """What a body read.

    Attributes:
        held: Each thing and what it held.
        unstable: Names of files that changed between being read and the body's end: nobody knows what was read.
        unseen: What it did whose reads can't be seen: "starts processes", "connects to the network".
    """

    held: dict[Thing, bytes]
    unstable: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class Observer:
    """Notes what one body reads.

    Args:
        root: The project's root, "" if there is none.
        ignored: Paths whose reads count for nothing: the store, and arguments that count by their content already.
    """

    def __init__(self, root: str = "", ignored: Iterable[str] = ()) -> None:
        self.root = root
        self._ignored = tuple(os.path.abspath(path) for path in ignored)
        self._started_ns = time.time_ns()
        self._stamps: dict[str, object] = {}
        self._things: dict[Thing, str] = {}
        self._written: set[str] = set()
        self._unseen: set[str] = set()
        self._moved = False

    def opened(self, path: object, flags: int) -> None:
        """A file is about to be opened."""
        name = _text(path)
        if name is None:
            return
        if _only_writes(flags):
            self._written.add(os.path.abspath(name))
        elif self._counts(name):
            self._note("file", name)

    def listed(self, path: object) -> None:
        """A directory is about to be listed."""
        name = _text("." if path is None else path)
        if name is not None and self._counts(name):
            self._note("listing", name)

    def wrote(self, path: object) -> None:
        """A file or directory is about to be made here."""
        name = _text(path)
        if name is not None:
            self._written.add(os.path.abspath(name))

    def moved(self) -> None:
        """The current directory changes: relative paths are absolute from now on."""
        self._moved = True

    def asked(self, variable: str) -> None:
        """The project's code asked for a variable."""
        self._things.setdefault(Thing("variable", variable), "")

    def unseen(self, what: str) -> None:
        """The body does something whose reads can't be seen."""
        self._unseen.add(what)

    def adopt(self, things: Iterable[Thing]) -> None:
        """What a call within this one, or a resident that it uses, read."""
        for thing in things:
            if thing.what == "variable":
                self.asked(thing.name)
            elif thing not in self._things:
                path = self._things[thing] = os.path.abspath(path_of(thing.name, self.root))
                self._stamps.setdefault(path, _stamp(path))

    @property
    def things(self) -> tuple[Thing, ...]:
        """What was noted so far, without what the body wrote itself."""
        return tuple(thing for thing, path in self._things.items() if not path or not self._is_its_own(path))

    def seen(self) -> Seen:
        """What the body read, now that it ended."""
        stable = {thing: self._is_stable(thing) for thing in self.things}
        unstable = tuple(thing.name for thing, is_stable in stable.items() if not is_stable)
        held = {} if unstable else contents(stable, self.root)
        return Seen(held, unstable, tuple(sorted(self._unseen)))

    def _is_stable(self, thing: Thing) -> bool:
        """Whether a file is what it was when it was read, and its name can be written down."""
        path = self._things[thing]
        if not thing.name.isprintable() and not _is_utf8(thing.name):
            return False
        return thing.what != "file" or _stamp(path) == self._stamps[path]

    def _note(self, what: Any, name: str) -> None:
        path = os.path.abspath(name)
        named = named_path(path, self.root) if self._moved or os.path.isabs(name) else name
        thing = Thing(what, named)
        if thing not in self._things:
            self._things[thing] = path
            self._stamps.setdefault(path, _stamp(path))

    def _counts(self, name: str) -> bool:
        path = os.path.abspath(name)
        if path in self._written or any(path == one or path.startswith(one + os.sep) for one in self._ignored):
            return False
        if "__pycache__" in path or (path.startswith(SYSTEM) and not self._is_in_project(path)):
            return False
        return not is_installed(path) and not _is_not_the_body()

    def _is_in_project(self, path: str) -> bool:
        return bool(self.root) and path.startswith(self.root + os.sep)

    def _is_its_own(self, path: str) -> bool:
        """Whether the body made it: we saw that, or it is temporary and younger than the body."""
        if path in self._written or any(os.path.dirname(written) == path for written in self._written):
            return True
        import tempfile  # 5 ms that a run in which all hits has no need of

        if not path.startswith(os.path.join(tempfile.gettempdir(), "")):
            return False
        try:
            return os.stat(path).st_ctime_ns >= self._started_ns
        except OSError:
            return self._stamps.get(path) is not None  # it was there, and is gone: nobody else's


_observing: ContextVar[Observer | None] = ContextVar("gpucache_observing", default=None)
_threads: weakref.WeakKeyDictionary[threading.Thread, Observer] = weakref.WeakKeyDictionary()
_busy = threading.local()


def current() -> Observer | None:
    """Who observes what this thread or task does; None if nobody does."""
    found = _observing.get()
    if found is None and _threads:
        # Not current_thread(), which would make up a Thread for one that is just starting.
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]  # noqa: SLF001
        found = None if thread is None else _threads.get(thread)
    return found


@contextmanager
def observing(observer: Observer) -> Iterator[Observer]:
    """Let it note what is read here; an observer around this one learns it at the end."""
    _Hook.install()
    outer = current()
    token = _observing.set(observer)
    try:
        yield observer
    finally:
        _observing.reset(token)
        if outer is not None:
            outer.adopt(observer.things)


class _Hook:
    """Installed once, for good: Python takes no audit hook back."""

    lock = threading.Lock()
    is_installed = False

    @classmethod
    def install(cls) -> None:
        with cls.lock:
            if not cls.is_installed:
                _audit.install(_heard)
                _watch_environment()
                _watch_threads()
                cls.is_installed = True


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    handle = _HANDLERS.get(event)
    if handle is None:
        return
    observer = current()
    if observer is None or getattr(_busy, "is_set", False):
        return
    _busy.is_set = True
    try:
        handle(observer, arguments)
    finally:
        _busy.is_set = False


_HANDLERS: dict[str, Any] = {
    "open": lambda observer, given: observer.opened(given[0], given[2]),
    "os.listdir": lambda observer, given: observer.listed(given[0]),
    "os.scandir": lambda observer, given: observer.listed(given[0]),
    "os.mkdir": lambda observer, given: observer.wrote(given[0]),
    "os.rename": lambda observer, given: observer.wrote(given[1]),
    "os.link": lambda observer, given: observer.wrote(given[1]),
    "os.symlink": lambda observer, given: observer.wrote(given[1]),
    "os.chdir": lambda observer, _: observer.moved(),
    "sqlite3.connect": lambda observer, given: observer.opened(given[0], os.O_RDWR),
    "subprocess.Popen": lambda observer, _: observer.unseen("starts processes"),
    "os.system": lambda observer, _: observer.unseen("starts processes"),
    "os.posix_spawn": lambda observer, _: observer.unseen("starts processes"),
    "socket.connect": lambda observer, _: observer.unseen("connects to the network"),
    "os.fork": lambda observer, _: observer.unseen("starts processes"),
}


def _watch_threads() -> None:
    kind: Any = threading.Thread
    start = kind.start

    @functools.wraps(start)
    def start_and_note(self: threading.Thread) -> None:
        observer = current()
        if observer is not None:
            _threads[self] = observer
        start(self)

    kind.start = start_and_note


def _watch_environment() -> None:
    kind: Any = type(os.environ)
    get = kind.__getitem__

    @functools.wraps(get)
    def get_and_note(self: Any, key: Any) -> Any:
        observer = current()
        if observer is not None and _project_asks():
            observer.asked(os.fsdecode(key))
        return get(self, key)

    kind.__getitem__ = get_and_note


def _project_asks() -> bool:
    """Whether the frame that asks for a variable, looked for through the standard library's os, is the project's."""
    frame: Any = sys._getframe(2)  # noqa: SLF001  # CPython's, and documented
    while frame is not None and frame.f_code.co_filename in _CLEAR:
        if frame.f_code.co_name == "expanduser":
            return False  # the path that it leads to counts
        frame = frame.f_back
    if frame is None:
        return False
    file: str = frame.f_code.co_filename
    return not file.startswith((_PACKAGE, "<frozen ")) and not is_installed(file)


def _is_not_the_body() -> bool:
    """Whether the line that opens the file is none of those that the body reaches."""
    frame: Any = sys._getframe(1)  # noqa: SLF001  # as above
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_BODY)


def _only_writes(flags: int) -> bool:
    return flags & os.O_ACCMODE == os.O_WRONLY or bool(flags & (os.O_TRUNC | os.O_EXCL))


def _text(path: object) -> str | None:
    if isinstance(path, int):
        return None
    try:
        name = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]  # what is no path raises
    except TypeError:
        return None
    return None if name.startswith(":memory:") else str(name)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stamp(path: str) -> object:
    """What a file can't keep when it is changed; None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return stat.S_IFMT(status.st_mode)
    return status.st_size, status.st_mtime_ns, status.st_ino
