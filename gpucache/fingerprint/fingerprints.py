"""Fingerprints of functions: made when first asked for, kept until something that they were made from is no longer so."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gpucache.digests import combine
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.context import Context
from gpucache.fingerprint.graph import Parts
from gpucache.fingerprint.project import Project
from gpucache.fingerprint.source import source_segment
from gpucache.fingerprint.values import holds
from gpucache.fingerprint.walk import Walk

KEPT_AT_MOST = 8192
"""Fingerprints kept. Functions made anew for each call (lambdas as arguments) would fill the memory otherwise."""


class SourceText(NamedTuple):
    """A text that functions were found in: their module's name, the file that their code names, and the text."""

    module: str
    file: str
    text: str


class Fingerprint:
    """What a function is, as of when this was made. Immutable; any thread may use it.

    Attributes:
        digest: 16 bytes; equal where the code that is reached does the same, on any machine.
        parts: Component -> (digest, text for people). `code:helpers.norm`, `const:helpers.SCALE`, `closure:...`,
            `package:numpy`, `python`. What differs between two of these tables is what was changed.
        notes: What could not be seen.
        keepers: Code that is reached and that keeps what it gave, or read: the functions within lru_cache, loaders.
        path_texts: Texts in it that may name files which native code opens.
        is_current: Whether all names, closures, classes and values that were read are what they were; about
            1 µs for ten names. After it said False, ask Fingerprints.of() again.
    """

    __slots__ = ("_sources", "digest", "is_current", "keepers", "notes", "parts", "path_texts")

    def __init__(
        self,
        digest: bytes,
        parts: Parts,
        notes: tuple[str, ...],
        is_current: Callable[[], bool],
        sources: dict[str, Callable[[], str]],
        keepers: frozenset[types.CodeType] = frozenset(),
        path_texts: tuple[str, ...] = (),
    ) -> None:
        self.digest = digest
        self.parts = parts
        self.notes = notes
        self.is_current = is_current
        self.keepers = keepers
        self.path_texts = path_texts
        self._sources = sources

    def source(self, component: str) -> str:
        """The text of a function that was reached; empty if it has none at hand."""
        source = self._sources.get(component)
        return "" if source is None else source()


class Fingerprints:
    """The fingerprints of one process, and the identity of code within values (digests.Symbols). Any thread may call.

    Args:
        follow: What counts as the project's code: "project"; "function", a function's own body and the values it reads; or
            names of installed packages that count beside the project.
        roots: Directories whose code counts as the project's even if it is installed.
        strict: Refuse code that can reach anything (exec, eval, computed imports) instead of counting all of the project.
    """

    def __init__(
        self, follow: str | Sequence[str] = "project", roots: Sequence[str] = (), *, strict: bool = False
    ) -> None:
        named = (follow,) if isinstance(follow, str) else tuple(follow)
        packages = [name for name in named if name not in ("project", "function")]
        self._context = Context(Project(packages, roots), strict=strict, alone="function" in named)
        self._lock = threading.RLock()
        self._known: dict[tuple[int, bool], tuple[object, Fingerprint]] = {}
        self._texts: dict[SourceText, None] = {}

    def of(self, function: Any) -> Fingerprint:
        """The fingerprint of a function, or of a task by its function. Its own defaults are arguments of the call, not code.

        Raises:
            NotIdentifiable: It reads a value that has no identity, or hides what it reaches while strict. The error names
                the value and says what to do.
        """
        if not isinstance(function, types.FunctionType) and type(function).__module__.startswith("gpucache."):
            function = getattr(function, "fn", function)
        return self._of(function, defaults=False)

    @property
    def texts(self) -> tuple[SourceText, ...]:
        """The texts that functions were found in so far, each once."""
        return tuple(self._texts)

    def learn(self, file: str, text: str) -> None:
        """Take note of a text that another process has found functions in, so that they have one identity in both.

        A text is believed only for code that it compiles to, so none can do harm.
        """
        with self._lock:
            self._context.learn(file, text)
            self._known.clear()

    def token(self, obj: Any) -> bytes | None:
        """The identity of a piece of code, as a part of a value; None for what is no code, or a library's class."""
        if not holds(self._context, obj):
            return None
        return combine(b"code", self._of(obj, defaults=True).digest)

    def _of(self, symbol: Any, *, defaults: bool) -> Fingerprint:
        key = (id(symbol), defaults)
        known = self._known.get(key)
        if known is not None and known[0] is symbol and known[1].is_current():
            return known[1]
        with self._lock:
            try:
                made = self._make(symbol, defaults=defaults)
            except RecursionError:
                name, why = (
                    str(getattr(symbol, "__qualname__", symbol)),
                    "what it reaches is nested too deeply for Python's stack",
                )
                raise NotIdentifiable(
                    name, type(symbol).__name__, why, "flatten it, or pass it as an argument"
                ) from None
            if len(self._known) >= KEPT_AT_MOST:
                self._known.clear()
            self._known[key] = (symbol, made)
            return made

    def _make(self, symbol: Any, *, defaults: bool) -> Fingerprint:
        self._context.keep_texts()
        walk = Walk(self._context)
        digest = walk.run(symbol, defaults=defaults)
        parts = dict(sorted(walk.parts.items()))
        functions = [(node.component, node.obj) for node in walk.nodes if isinstance(node.obj, types.FunctionType)]
        sources = {component: _source_reader(self._context, function) for component, function in functions}
        found = (_text_of(self._context, function) for _, function in functions)
        self._texts.update((text, None) for text in found if text is not None)
        seen = frozenset(walk.keepers), tuple(walk.path_texts)
        return Fingerprint(digest, parts, tuple(walk.notes), walk.reads.freeze(), sources, *seen)


def _text_of(context: Context, function: types.FunctionType) -> SourceText | None:
    found = context.sources.find(function.__code__, function.__globals__)
    if found is None:
        return None
    return SourceText(str(function.__globals__.get("__name__")), function.__code__.co_filename, found.text.text)


def _source_reader(context: Context, function: types.FunctionType) -> Callable[[], str]:
    def read() -> str:
        found = context.sources.find(function.__code__, function.__globals__)
        return "" if found is None else source_segment(found)

    return read
