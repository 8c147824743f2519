"""Watch what a body reads: which of what Python tells (hearing.py) counts, and as what.

Seen is what goes through Python (open, os.open, listdir, scandir, os.environ); what native code opens by itself is not, so a
path among the arguments, or of a subprocess, that names a file which nobody was seen to open counts as read. Not counted are
what the body made itself, installed code and data (their versions count), imports, and where Python and libraries look up
how to run (PATH, OMP_NUM_THREADS).
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
import types
from collections.abc import Container, Iterable
from contextvars import Token

from gpucache.fingerprint import Project, file_of_module, name_of_file, texts_from
from gpucache.fingerprint.project import stdlib_roots
from gpucache.memo import asking, by_name, children, hearing, keepers, native
from gpucache.memo.children import Line, Told
from gpucache.memo.commands import Named, named_in, named_in_python, named_in_script
from gpucache.memo.frames import is_incidental, is_known_code, is_pythons
from gpucache.memo.inputs import Input, key_with, lists_now, look_at, name_of, path_of
from gpucache.memo.named_files import files_named, given_files, is_source, texts_in
from gpucache.memo.questions import ASKED, IN_CONTENT, PROGRAM, is_link
from gpucache.memo.randomness import states, used_since
from gpucache.memo.variables import ALL, counts_in_a_copy, inherited, says_how_to_run
from gpucache.store import Store

_NO_CONTENT = ("/proc/", "/sys/")
_DEVICES, _MEMORY = "/dev/", "/dev/shm/"  # noqa: S108  # the second has files like any other

_PROGRAMS = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")

_project = Project()


class Watch:
    """What one body reads, from start() to stop(). Threads that it starts count, and bodies of tasks within it.

    Attributes:
        notes: What was noticed and can't be counted.

    Args:
        root: The project's directory.
        own: A directory whose files are gpucache's.
        arguments: The call's arguments; files given as gpucache.File are content already.
        keepers: Code of functions that keep what they read.
        path_texts: Texts in the code that may name files, whole or in part.
        components: Of the code that the call's key has.
    """

    def __init__(
        self,
        root: str,
        own: str,
        arguments: Iterable[object] = (),
        *,
        keepers: frozenset[types.CodeType] = frozenset(),
        path_texts: Iterable[str] = (),
        components: Container[str] = (),
    ) -> None:
        self._root, self._keepers, self._components = root, keepers, components
        self._given = given_files(arguments)
        self._skipped = (*_NO_CONTENT, *stdlib_roots(), own + os.sep)
        self._inputs: dict[tuple[str, str], Input] = {}
        self._made: set[str] = set()
        self._added_to: set[str] = set()
        self._set: set[str] = set()
        self._copied: dict[tuple[str, str], Input] = {}
        self._has_commanded = False
        self._unproven: Input | None = None
        self._native: dict[str, str] = {}  # kinds of inputs by absolute path
        self._maybe = files_named(texts_in(arguments), path_texts)
        self._lock = threading.Lock()
        self._token: Token[Watch | None] | None = None
        self.notes: dict[str, None] = {}
        self._line: Line | None = None
        self._random: dict[str, object] = {}
        self._directory = ""

    def start(self) -> Watch:
        """Begin to watch this context."""
        self._threads = frozenset(sys._current_frames())  # noqa: SLF001  # the only list of all threads, native ones too
        self._random = states()
        self._directory = _here()
        self._import_path = list(sys.path)
        self._lost = native.lost()
        # What was written before is not later; what is written in the same tick of the kernel's clock may be earlier.
        self._began_at_ns = time.time_ns()
        self._thread = threading.get_ident()
        if children.are_there():
            self.note("processes are there that began before it: what they read for it is not seen")
        hearing.begin(self)
        self._token = hearing.current.set(self)
        return self

    def stop(self) -> None:
        """End it; what was read counts for the body around, too."""
        hearing.end(self, self._thread)
        if self._token is not None:
            hearing.current.reset(self._token)
            self._token = None
        self._hear_children()
        for path, kind in self._native.items():
            self._count_native(path, kind)
        if native.lost() != self._lost:
            self._unproven = Input("file", "one of the files that it opened (too many for all to be noted)", b"", "")
        if self._line is not None and not self._line.is_childs:
            self._line.close()
            self._line = None
        for name in used_since(self._random):
            self.note(f"it uses the global random state of {name}")
        outer = hearing.current.get()
        if outer is not None:
            for text in self.notes:
                outer.note(text)
            for path in self._made:
                outer.made(path)
            outer.add(self.inputs())

    def inputs(self) -> list[Input]:
        """What was read, each as it was when it was first read."""
        found = dict(self._inputs)
        if not self._has_commanded:  # else the copy of the environment was most likely made for the program
            found = {**self._copied, **found}
        for path in self._maybe:
            place = "file", self._name(path)
            if place not in found and not self._is_passed_over(path):
                found[place] = self._look("file", path)  # if the body made it anew, that is what it shall find again
        for code in self._keepers:
            found = {**keepers.read_by(code), **found}
        return [one for place, one in found.items() if one.kind not in ASKED or self._counts(place, found)]

    def _counts(self, place: tuple[str, str], found: dict[tuple[str, str], Input]) -> bool:
        """Whether a question about a file says more than the other inputs do. What the body made itself, it made."""
        path = path_of(place[1], self._root)
        is_known = place[0] in IN_CONTENT and ("file", place[1]) in found
        return not is_known and os.path.abspath(path) not in self._made

    def changed(self) -> Input | None:
        """An input that is not any more what it was when it was read, though not by the body's doing; None if all are.

        Or code whose text says nothing of what ran, since it was changed after it was imported.
        """
        for one in self._inputs.values():
            if one.kind in ("file", "listing") and os.path.abspath(path_of(one.name, self._root)) not in self._made:
                now = look_at(one.kind, one.name, self._root)
                if now.digest != one.digest and os.path.abspath(path_of(one.name, self._root)) not in self._added_to:
                    return one
        return self._unproven

    def add(self, inputs: Iterable[Input]) -> None:
        """Count what someone else has read."""
        for one in inputs:
            with self._lock:
                is_new = self._inputs.setdefault((one.kind, one.name), one) is one
            if is_new:
                self._tell_parent(Told(read=one))

    def note(self, text: str) -> None:
        """Say something that can't be counted."""
        if text not in self.notes:
            self.notes[text] = None
            self._tell_parent(Told(note=text))

    # ------------------------------------------------------------ from the hooks

    def is_of(self, thread: int) -> bool:
        """Whether a thread without a watch of its own was started by this body (or by another that runs beside it)."""
        return thread not in self._threads

    def read_path(self, kind: str, path: str, frame: types.FrameType | None) -> None:
        """A file was opened to be read, or a directory listed."""
        self._hear_children()  # what they made is not read
        if self._is_passed_over(path):
            path = os.path.realpath(path)  # the body made a link, or a directory of links, to what it did not make
            if self._is_passed_over(path):
                return
        if is_incidental(frame):
            return
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = stat.S_IFREG
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            self._note(kind, self._name(path), frame)

    def asked(self, kind: str, path: str, frame: types.FrameType) -> None:
        """Someone asked about a file.

        What libraries ask for their own purposes (where is a font, is this cached) is theirs, but not whether a file of the
        project is there: a library that finds none reads none.
        """
        by_project = _project.has_file(frame.f_code.co_filename)
        if kind == PROGRAM:
            if by_project:
                self._note(kind, path, frame)
            return
        if not by_project:
            if self._is_librarys_own(path, frame):
                return
            kind = "existence"
        if kind == asking.REAL_PATH:
            if not is_link(path) or self._root.startswith(path):
                return  # where the project lies says nothing
            kind = "link"
        if not self._is_passed_over(path):
            self._note(kind, self._name(path), frame)

    def _is_librarys_own(self, path: str, frame: types.FrameType) -> bool:
        inside = bool(self._root) and os.path.abspath(path).startswith(self._root + os.sep)
        return not inside or is_source(path) or is_pythons(frame) or is_incidental(frame)

    def read_variable(self, name: str, frame: types.FrameType) -> None:
        """A variable was looked up."""
        by_project = _project.has_file(frame.f_code.co_filename)
        if name not in self._set and (by_project or not says_how_to_run(name)) and not is_incidental(frame):
            self._note("variable", name, frame)

    def copied_variable(self, name: str, frame: types.FrameType) -> None:
        """A variable, or the list of them all, was read by who reads all of them; what that is for, the end will show."""
        if is_incidental(frame) or not (name == ALL or counts_in_a_copy(name)):
            return
        place = "variable", name
        # The list has what the body itself has set, and no other process will find it so.
        if name not in self._set and place not in self._copied and not (name == ALL and self._set):
            self._copied[place] = look_at(*place, self._root)

    def set_variable(self, name: str) -> None:
        """The body sets a variable, or removes it: what it finds there later is its own, unless it has looked before."""
        if ("variable", name) not in self._inputs:
            self._set.add(name)

    def found_by_name(self, module: str, name: str, frame: types.FrameType) -> None:
        """Data named code of a module: a pickle its class, a configuration its function. No code leads there that the key has.

        Args:
            module, name: As the data has them; an empty name for the module itself.
        """
        if not _project.has_module(module):
            return
        file = file_of_module(module)
        if file is None or not os.path.isfile(file):
            self.note(f"data named {name or module} of {module}, which is in no file, and is not counted")
            return
        label = f"code:{name_of_file(file)}"
        if not (name and f"{label}.{name}" in self._components) and f"{label} (whole file)" not in self._components:
            known = self._note("module", self._name(file), frame)
            if not by_name.are_as_imported(texts_from(file, _project).files):
                self._unproven = known

    def imported(self, module: str, frame: types.FrameType) -> None:
        """A module was imported. Where the key has the code that does so, it has what that import leads to."""
        file = self._name(frame.f_code.co_filename)
        if sys.path != self._import_path or not is_known_code(frame) or ("file", file) in self._inputs:
            self.found_by_name(module, "", frame)

    def commanded(self, command: object, directory: object, environment: object, frame: types.FrameType) -> None:
        """A program was started: what its command line names, it may read."""
        if is_incidental(frame):
            return
        self._has_commanded = True
        named = named_in(command, directory)
        for name in inherited(named.variables, environment):
            if name not in self._set:
                self._note("variable", name, frame)
        programs = [file for module in named.modules if (file := self._file_of(module))]
        for path in named.files:
            if _is_installed_program(path):
                continue
            if path.endswith(".py") and _project.has_file(os.path.abspath(path)):
                programs.append(os.path.abspath(path))
            else:
                self.touched(path)
                self._passed_on(named_in_script(path, directory), environment, frame)
        for path in programs:
            self._note("module", self._name(path), frame)
            with contextlib.suppress(OSError):
                files = texts_from(path, _project).files
                self._passed_on(named_in_python(files, directory), environment, frame)
        for path in named.directories:
            self.read_path("listing", path, frame)

    def _passed_on(self, named: Named, environment: object, frame: types.FrameType) -> None:
        """The text of a program that is started names files and variables."""
        for name in inherited(named.variables, environment):
            if name not in self._set and not says_how_to_run(name):
                self._note("variable", name, frame)
        for path in named.files:
            if not is_source(path):
                self.touched(path)

    def _file_of(self, module: str) -> str | None:
        file = file_of_module(module) if _project.has_module(module) else None
        return file if file is not None and os.path.isfile(file) else None

    def touched(self, path: str) -> None:
        """A file is given to someone who may read it, write it, or make it: it counts as the body leaves it."""
        if os.path.isfile(path):
            self._maybe.append(path)
        else:
            self.made(path)

    def written(self, path: str, flags: int) -> None:
        """A file is opened to be written to. What was in it stays, where it is neither new nor emptied, and may be read later."""
        if flags & (os.O_TRUNC | os.O_EXCL) or not os.path.lexists(path):
            self.made(path)
        else:
            self._will_add_to(os.path.abspath(path))

    def opened_natively(self, path: str, flags: int) -> None:
        """Native code has opened a file, some time ago."""
        path, access = os.path.abspath(path), flags & os.O_ACCMODE
        if native.is_librarys(path, self._root):
            return
        if access == os.O_RDONLY:
            self._native.setdefault(path, "listing" if flags & os.O_DIRECTORY else "file")
        elif flags & (os.O_TRUNC | os.O_EXCL):
            self.made(path)
        elif access == os.O_RDWR:
            self.touched(path)
        else:
            self._will_add_to(path)

    def _will_add_to(self, place: str) -> None:
        with self._lock:
            self._added_to.add(place)
        self._tell_parent(Told(added_to=place))

    def _count_native(self, path: str, kind: str) -> None:
        """Count what native code has read: as it is now, unless someone else has changed it meanwhile."""
        place = kind, self._name(path)
        # A directory is opened to sync it, too: it is read where it is listed.
        is_there = os.path.isdir(path) if kind == "listing" else os.path.isfile(path)
        if place in self._inputs or is_source(path) or self._is_passed_over(path) or not is_there:
            return
        one = look_at(*place, self._root)
        self.add((one,))
        for code in self._keepers:
            keepers.note(code, one, self._root)
        if kind == "file" and os.stat(path).st_mtime_ns > self._began_at_ns and hearing.SUBPROCESS not in self.notes:
            self._unproven = one

    def made(self, path: str) -> None:
        """A file or a directory is written."""
        place = os.path.abspath(path)
        if place not in self._made:
            native.give_out()
            if place in self._native:  # read before, as it still is
                self._count_native(place, self._native.pop(place))
            with self._lock:
                self._made.add(place)
            self._tell_parent(Told(made=place))

    # ------------------------------------------------------------ children

    def before_fork(self) -> None:
        """A child is about to begin that hears what this process does."""
        if self._line is None:
            self._line = Line()

    def in_child(self) -> None:
        """This is the child: a lock that another thread held there is nobody's here."""
        self._lock = threading.Lock()

    def _tell_parent(self, told: Told) -> None:
        if self._line is not None and self._line.is_childs:
            self._line.send(told)

    def _hear_children(self) -> None:
        if self._line is None or self._line.is_childs:
            return
        for told in self._line.received():
            if told.read is not None and not self._is_passed_over(path_of(told.read.name, self._root)):
                self.add((told.read,))
            elif told.made is not None:
                self.made(told.made)
            elif told.added_to is not None:
                self._will_add_to(told.added_to)
            elif told.note is not None:
                self.note(told.note)

    # ------------------------------------------------------------

    def _note(self, kind: str, name: str, frame: types.FrameType | None) -> Input:
        place = kind, name
        known = self._inputs.get(place)
        if known is None:
            self.add((look_at(kind, name, self._root),))
            known = self._inputs[place]
        keepers.note_frames(frame, known, self._root)
        return known

    def _look(self, kind: str, path: str) -> Input:
        return look_at(kind, self._name(path), self._root)

    def _name(self, path: str) -> str:
        if not os.path.isabs(path) and _here() != self._directory:
            path = os.path.abspath(path)  # the body went elsewhere; who looks again later starts where it started
        return name_of(path, self._root)

    def _is_passed_over(self, path: str) -> bool:
        absolute = os.path.abspath(path)
        if absolute.startswith(_DEVICES) and not absolute.startswith(_MEMORY):
            return True
        if absolute.startswith(self._skipped) or "/site-packages/" in absolute or "/dist-packages/" in absolute:
            return True
        above = absolute
        while above not in self._made and above not in self._given:
            up = os.path.dirname(above)
            if up == above:
                return False
            above = up
        return True


def _is_installed_program(path: str) -> bool:
    """Whether this is the system's, or Python itself: part of the environment, as one that is found on the PATH is."""
    real = os.path.realpath(path)
    return real.startswith(_PROGRAMS) or real == os.path.realpath(sys.executable)


def current_watch() -> Watch | None:
    """The watch of the body that runs in this context, if one does."""
    return hearing.current.get()


def note_hit(watch: Watch | None, store: Store, key: bytes, record_key: bytes, root: str) -> None:
    """A body used a record: what that record's body read counts for it, too.

    Args:
        key, record_key: The call's, and the record's: the same if its body read nothing.
    """
    if watch is not None and record_key != key:
        watch.add(next((now for now in lists_now(store, key, root) if key_with(key, now) == record_key), ()))


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""
