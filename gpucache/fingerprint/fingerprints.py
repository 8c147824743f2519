"""Fingerprints of functions: made when first asked for, kept until something that they depend on is rebound."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Mapping, Sequence
from typing import Any

from gpucache.digests import combine, encode, hash128, tree_digest
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.reach import Reach, _content, _is_ours
from gpucache.fingerprint.source import Sources

Parts = Mapping[str, tuple[bytes, str]]


class Fingerprint:
    """What a function is, as of when this was made.

    Attributes:
        digest: 16 bytes; equal where the code that is reached does the same.
        parts: Component -> (digest, text for people): `code:helpers.norm`, `const:helpers.SCALE`, `package:numpy`, `python`.
        notes: What could not be seen.
    """

    __slots__ = ("_cells", "_code", "_function", "_mutables", "_symbols", "_watches", "digest", "notes", "parts")

    def __init__(self, function: types.FunctionType, reach: Reach, symbols: Fingerprints) -> None:
        self.digest = reach.digest()
        self.parts: Parts = _parts(reach)
        self.notes = tuple(reach.notes)
        self._function, self._code, self._symbols = function, function.__code__, symbols
        codes = [(n.value, n.value.__code__) for n in reach.nodes if isinstance(n.value, types.FunctionType)]
        unique = {(id(w.namespace), w.name): (w.namespace, w.name, w.value) for w in reach.watches}
        self._watches = tuple(unique.values())
        self._cells = (*reach.cells, *codes)
        self._mutables = tuple(reach.mutables)

    def is_current(self) -> bool:
        """Whether every name that was read is still bound to what it was, and nothing mutable among it changed."""
        for namespace, name, value in self._watches:
            if namespace.get(name) is not value:
                return False
        for holder, value in self._cells:
            now = holder.__code__ if type(holder) is types.FunctionType else _content(holder)
            if now is not value:
                return False
        return not self._mutables or all(self._is_same(value, digest) for value, digest, _ in self._mutables)

    def _is_same(self, value: object, digest: bytes) -> bool:
        try:
            return tree_digest(encode(value, symbols=self._symbols)) == digest
        except NotIdentifiable:
            return False


class Fingerprints:
    """The fingerprints of one process. Any thread may call any method.

    Args:
        follow: "project"; "function": the function's own body alone; or names of packages that count as project too.
        strict: Refuse code that hides what it reaches (exec, eval, computed imports) instead of noting it.
    """

    def __init__(self, follow: str | Sequence[str] = "project", *, strict: bool = False) -> None:
        self.follow = follow
        self.followed = () if follow in ("project", "function") else ((follow,) if isinstance(follow, str) else tuple(follow))
        self.strict = strict
        self.sources = Sources()
        self._lock = threading.RLock()
        self._known: dict[int, tuple[object, Fingerprint]] = {}
        self._open: set[int] = set()
        self._in_cycle = False

    def of(self, function: Any) -> Fingerprint:
        """The fingerprint of a function as it is now.

        Raises:
            NotIdentifiable: It reads a value that has no identity; the message names it and says what to do.
        """
        root = _function_of(function)
        with self._lock:
            known = self._known.get(id(root))
            if known is not None and known[0] is root and known[1].is_current():
                return known[1]
            reach = Reach(self)
            self._open.add(id(root))
            try:
                reach.walk(root)
            finally:
                self._open.discard(id(root))
            made = Fingerprint(root, reach, self)
            if not self._open:
                self._known[id(root)] = (root, made)
            return made

    def token(self, obj: object) -> bytes | None:
        """The identity of a piece of code within a value: digests.Symbols."""
        if isinstance(obj, type):
            return self._class_token(obj)
        if isinstance(obj, types.FunctionType) or _is_task(obj):
            return self._code_token(obj)
        if isinstance(obj, types.ModuleType):
            return combine(b"module", *self._reached(obj))
        return None

    def _class_token(self, cls: type) -> bytes | None:
        module = cls.__module__
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("builtins", "numpy", "pandas", "pyarrow", "gpucache"):
            return None  # data of these is encoded by what it is; its name is enough
        return combine(b"class", *self._reached(cls))

    def _code_token(self, obj: Any) -> bytes | None:
        root = _function_of(obj)
        defaults = (root.__defaults__, root.__kwdefaults__)
        if id(root) in self._open:
            return combine(b"cycle", root.__qualname__.encode())
        kind = b"" if root is obj else type(obj).__name__.encode()
        if not Reach(self)._is_project_code(root):
            return combine(b"library", *self._reached(root))
        return combine(b"function", kind, self.of(root).digest, hash128(encode(defaults, symbols=self)))

    def _reached(self, obj: Any) -> tuple[bytes, ...]:
        """The identity of a class, module or library function by what it links to."""
        if id(obj) in self._open:
            return (b"cycle", str(getattr(obj, "__qualname__", "")).encode())
        self._open.add(id(obj))
        try:
            reach = Reach(self)
            reach.walk(_Mention(obj))
            return (reach.digest(),)
        finally:
            self._open.discard(id(obj))


class _Mention:
    """A root that mentions one thing, so that it is written as a mention is: by code if it is the project's, else by name."""

    def __init__(self, obj: object) -> None:
        self.obj = obj


def _is_task(obj: object) -> bool:
    return _is_ours(type(obj)) and isinstance(getattr(obj, "fn", None), types.FunctionType)


def _function_of(obj: Any) -> types.FunctionType:
    found = obj
    for _ in range(64):
        if isinstance(found, types.FunctionType):
            return found
        inner = getattr(found, "fn", None) if _is_ours(type(found)) else getattr(found, "__wrapped__", None)
        if inner is None:
            break
        found = inner
    call = getattr(type(found), "__call__", None)
    if isinstance(call, types.FunctionType):
        return call
    kind = type(obj)
    raise NotIdentifiable(repr(obj), f"{kind.__module__}.{kind.__qualname__}", "it is not a Python function", "wrap it in one")


def _parts(reach: Reach) -> Parts:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    parts: dict[str, tuple[bytes, str]] = {"python": (version.encode(), f"Python {version}")}
    for node in reach.nodes:
        name, number = node.component, 2
        while name in parts and parts[name][0] != hash128(node.form):
            name, number = f"{node.component}#{number}", number + 1
        parts[name] = (hash128(node.form), node.shown)
    for package, package_version in sorted(reach.packages.items()):
        text = f"{package} {package_version}"
        parts[f"package:{package}"] = (hash128(text.encode()), text)
    return parts
