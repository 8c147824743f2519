"""The walk from one root over everything of the project that it reaches.

Breadth first, each symbol described once. What is plain data counts by its digest; a list, tuple or dict that holds code is
a symbol of its own, so that a table of functions that call each other ends; any other object that holds code (an instance of
a project's class) is encoded as a value, with the digest of a walk of its own for each piece of code in it.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gpucache.digests import file_digest, hash128
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.classes import describe_class
from gpucache.fingerprint.context import Context
from gpucache.fingerprint.current import Reads, Subclasses
from gpucache.fingerprint.distributions import installed
from gpucache.fingerprint.functions import describe_function, where
from gpucache.fingerprint.graph import Item, Node, Value, digest_of, parts_of
from gpucache.fingerprint.kinds import describer_of
from gpucache.fingerprint.normal_form import Form
from gpucache.fingerprint.path_texts import texts_of_code, texts_of_value
from gpucache.fingerprint.project import file_of_module, name_of_file
from gpucache.fingerprint.references import References, function_label
from gpucache.fingerprint.values import Named, Within, digest_of_data, digest_with, is_frozen, name_in_library
from gpucache.fingerprint.whole import describe_module
from gpucache.shown import shown

_SYMBOLS = types.FunctionType | type | types.ModuleType
_GPUCACHE = b"gpucache/1 "
"""gpucache's own functions count as this format of identity, not as a version of it."""


class Walk:
    """One walk. `above` are the objects whose description led here, this walk's own root last; met again, they end the walk.

    Attributes:
        nodes: In order of first meeting, the root first.
        parts, notes: What it found, walks within it included.
        reads: What it looked at.
        references: Where references lead.
        keepers: Code of functions that keep what they gave (lru_cache).
        path_texts: Texts that may name files which native code opens.
        met: The outermost object of `above` that was met again, by index; a digest holds only below that.
    """

    def __init__(self, context: Context, above: tuple[int, ...] = (), memo: dict[int, bytes] | None = None) -> None:
        self.context = context
        self.reads = Reads()
        self.references = References(context.project, self.reads)
        self.nodes: list[Node] = []
        self.parts: dict[str, tuple[bytes, str]] = {}
        self.notes: dict[str, None] = {}
        self.met = len(above)
        self.keepers: set[types.CodeType] = set()
        self.path_texts: dict[str, None] = {}
        self._above = above
        self._memo: dict[int, bytes] = {} if memo is None else memo
        self._numbered: dict[int, Node] = {}
        self._forms: list[Form] = []
        self._packages: dict[str, bytes] = {}
        self._looked_up: set[str] = set()
        self._asked: set[int] = set()

    # ------------------------------------------------------------ the walk

    def run(self, root: Any, *, defaults: bool) -> bytes:
        """Walk from root and return the digest.

        Args:
            defaults: Whether the root's own defaults count; not where they are arguments of the call.
        """
        first = Node(root)
        self.nodes.append(first)
        if isinstance(root, types.FunctionType) and not defaults:
            _name(self.context, first)
            self._forms.append(describe_function(self, first, root, defaults=False))
        else:
            self.describe(root, getattr(root, "__qualname__", type(root).__qualname__), first.items)
        done = 1
        while done < len(self.nodes) or self._found_subclasses():
            self._describe_node(self.nodes[done])
            done += 1
        self._count_texts()
        self.parts.update(parts_of([node for node in self.nodes if node.component]))
        return digest_of(self.nodes, *(name.encode() + b"=" + build for name, build in sorted(self._packages.items())))

    def _describe_node(self, node: Node) -> None:
        obj = node.obj
        if isinstance(obj, types.FunctionType):
            self._forms.append(describe_function(self, node, obj, defaults=True))
        elif isinstance(obj, type):
            describe_class(self, node, obj)
        elif isinstance(obj, types.ModuleType):
            describe_module(self, node, obj)
        else:
            self._describe_container(node, obj)

    def _found_subclasses(self) -> bool:
        """Where code asks classes for their subclasses, count those; whether there are some that were not met before."""
        count = len(self.nodes)
        if any(form.reads_subclasses for form in self._forms):
            for node in self.nodes[:count]:
                if isinstance(node.obj, type) and id(node) not in self._asked:
                    self._asked.add(id(node))
                    self.reads.value(Subclasses(node.obj))
                    node.items.append(b"subclasses")
                    subclasses: list[type] = type.__subclasses__(node.obj)
                    for cls in subclasses:
                        self.describe(cls, cls.__qualname__, node.items)
        return len(self.nodes) > count

    def _count_texts(self) -> None:
        """Docstrings and annotations of all that was reached, if something that was reached may read them."""
        doc = any(form.reads_doc for form in self._forms)
        annotations = any(form.reads_annotations for form in self._forms)
        for node in self.nodes:
            if doc and isinstance(node.obj, _SYMBOLS):
                node.items.append(b"doc " + repr(node.obj.__doc__).encode("utf-8", "surrogatepass"))
            if annotations and isinstance(node.obj, types.FunctionType):
                written = {name: str(annotation) for name, annotation in node.obj.__annotations__.items()}
                node.items.append(b"annotations " + repr(written).encode("utf-8", "surrogatepass"))

    # ------------------------------------------------------------ objects

    def describe(self, obj: Any, label: str, items: list[Item], group: str = "const") -> None:
        """Append what an object is. `label` is how people know it.

        Raises:
            NotIdentifiable: It has no identity.
        """
        describe = describer_of(self.context, obj)
        if describe is not None:
            describe(self, obj, label, items)
        elif self._is_above(obj):
            items.append(self._meet_again(obj))
        elif id(obj) in self._numbered:
            items.append(self._numbered[id(obj)])
        else:
            self._describe_value(obj, label, items, group)

    def symbol(self, obj: Any) -> Item:
        """What stands for a function or class of the project."""
        if self._is_above(obj):
            return self._meet_again(obj)
        return f"unfollowed {obj.__qualname__}".encode() if self.context.alone else self.node(obj)

    def node(self, obj: Any, component: str = "", text: str = "") -> Node:
        """The node of a symbol; a new one if it was not met before."""
        known = self._numbered.get(id(obj))
        if known is None:
            known = self._numbered[id(obj)] = Node(obj, component, text)
            if not component:
                _name(self.context, known)
            self.nodes.append(known)
        return known

    def _describe_value(self, obj: Any, label: str, items: list[Item], group: str) -> None:
        component = f"{group}:{label}" if label else ""
        self.path_texts.update(dict.fromkeys(texts_of_value(obj)))
        kinds: set[type] = set()
        try:
            digest = digest_of_data(self.context, obj, label, kinds)
        except NotIdentifiable:
            name = name_in_library(self.context, obj)
            if name is None:
                raise
            items.append(self.outside(name))
            return
        self._libraries_of(kinds)
        if digest is not None:
            items.append(Value(component, digest, shown(obj), digest))
        elif type(obj) in (list, tuple, dict):
            items.append(self.node(obj, component or "const:a table", f"{type(obj).__name__} of {len(obj)}"))
            return
        else:
            local = digest_with(Named(self.context), obj, label)
            items.append(Value(component, self._digest_with_code(obj, label), shown(obj), local))
        if not is_frozen(obj):
            self.reads.value(obj)

    def _libraries_of(self, kinds: set[type]) -> None:
        """Whoever has a value of a library's class at hand reaches that library: its methods are one step away."""
        for kind in kinds:
            if not issubclass(kind, _SYMBOLS | types.BuiltinFunctionType) and not self.context.is_project_class(kind):
                self.outside(f"{kind.__module__}.{kind.__qualname__}")

    def _describe_container(self, node: Node, obj: Any) -> None:
        kind, label = type(obj), node.component.partition(":")[2]
        node.items.append(f"{kind.__name__} {len(obj)}".encode())
        if kind is not tuple:
            self.reads.container(obj)
        pairs: Iterable[tuple[Any, Any]] = obj.items() if kind is dict else enumerate(obj)
        for key, value in pairs:
            if kind is dict:
                node.items.append(b"key")
                self.describe(key, "", node.items)
            self.describe(value, f"{label}[{key!r}]", node.items)

    def _digest_with_code(self, obj: Any, label: str) -> bytes:
        digest = self._memo.get(id(obj))
        if digest is None:
            symbols = Within(self, (*self._above, id(obj)))
            digest = digest_with(symbols, obj, label)
            self.met = min(self.met, symbols.met)
            if symbols.met >= len(self._above):
                self._remember(obj, digest)
        return digest

    def token_within(self, obj: Any, above: tuple[int, ...]) -> tuple[bytes, int]:
        """The digest of a piece of code inside a value, by a walk of its own; and the outermost object above that it met."""
        if id(obj) in above:
            index = above.index(id(obj))
            return b"again %d" % (len(above) - index), index
        known = self._memo.get(id(obj))
        if known is not None:
            return known, len(above)
        walk = Walk(self.context, (*above, id(obj)), self._memo)
        digest = walk.run(obj, defaults=True)
        self._absorb(walk)
        if walk.met >= len(above):
            self._remember(obj, digest)
        return digest, walk.met

    def _remember(self, obj: Any, digest: bytes) -> None:
        self.reads.keep(obj)
        self._memo[id(obj)] = digest

    def _is_above(self, obj: object) -> bool:
        return id(obj) in self._above[:-1]

    def _meet_again(self, obj: object) -> bytes:
        index = self._above.index(id(obj))
        self.met = min(self.met, index)
        return b"again %d" % (len(self._above) - index)

    def _absorb(self, walk: Walk) -> None:
        self.parts.update(walk.parts)
        self.notes.update(walk.notes)
        self.keepers |= walk.keepers
        self.path_texts.update(walk.path_texts)
        self._packages.update(walk._packages)
        self._forms += walk._forms
        self.reads.merge(walk.reads)

    # ------------------------------------------------------------ what is outside

    def code(self, code: types.CodeType) -> None:
        """A function's code was reached: its literals may name files."""
        self.path_texts.update(dict.fromkeys(texts_of_code(code)))

    def outside(self, path: str) -> bytes:
        """What is written for something of Python, a library, or gpucache; its version is noted."""
        top = path.partition(".")[0]
        if top == "gpucache":
            return _GPUCACHE + path.rpartition(".")[2].encode()
        if top == "builtins" or top in sys.stdlib_module_names:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            self._package("python", f"python {version}", version.encode())
        elif top not in self._looked_up:
            self._look_up(top, path)
        return path.encode()

    def _look_up(self, top: str, path: str) -> None:
        """Note the distribution of a module: that of the top one, or of a namespace that of the first with a file."""
        steps = path.split(".")
        for count in range(1, len(steps) + 1):
            name = ".".join(steps[:count])
            file = file_of_module(name)
            if file is None:
                return
            if not file.endswith(os.sep):
                if count == 1:
                    self._looked_up.add(top)
                found = installed(name)
                if found is not None:
                    build = f"{found.version} ".encode() + found.build
                    self._package(f"package:{found.name}", f"{found.name} {found.version}", build)
                return

    def _package(self, component: str, text: str, build: bytes) -> None:
        if component not in self._packages:
            self._packages[component] = build
            self.parts[component] = (hash128(build), text)

    def extension(self, file: str) -> bytes:
        """A compiled module of the project: its bytes."""
        digest = file_digest(Path(file))
        name = os.path.basename(file)
        self.parts[f"code:{name.partition('.')[0]}"] = (digest, name)
        return b"extension " + digest

    def note(self, text: str) -> None:
        """Say what could not be seen."""
        self.notes[text] = None


def _name(context: Context, node: Node) -> None:
    """Name a function or class for people, the same however its module was loaded."""
    obj = node.obj
    if isinstance(obj, types.FunctionType):
        node.component = f"code:{function_label(obj)}"
        node.shown = where(obj)
    elif isinstance(obj, type):
        file = getattr(sys.modules.get(obj.__module__), "__file__", None) or _file_of_class(obj)
        name = name_of_file(file) if file else obj.__module__.replace("__main__", "notebook")
        line = context.sources.line_of_class(file, obj.__qualname__) if file else None
        node.component = f"code:{name}.{obj.__qualname__}"
        node.shown = f"{os.path.basename(file or name)}{'' if line is None else f':{line}'} {obj.__qualname__}"


def _file_of_class(cls: type) -> str | None:
    files = (value.__code__.co_filename for value in vars(cls).values() if isinstance(value, types.FunctionType))
    return next((file for file in files if os.path.isabs(file)), None)
