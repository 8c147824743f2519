"""The walk from one root over everything of the project that it reaches.

Breadth first, each symbol described once. What is plain data counts by its digest; a list, tuple or dict that holds code is
a symbol of its own, so that a table of functions that call each other ends; any other object that holds code (an instance of a project's
class) is encoded as a value, with the digest of a walk of its own for each piece of code in it.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Any

from gpucache.digests import encode, file_digest, hash128, tree_digest
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.classes import describe_class
from gpucache.fingerprint.code_form import form_of_code
from gpucache.fingerprint.current import Reads
from gpucache.fingerprint.distributions import installed
from gpucache.fingerprint.graph import Item, Node, Value, digest_of, parts_of
from gpucache.fingerprint.normal_form import Form, Ref, form_of
from gpucache.fingerprint.project import Project, file_of_module, is_compiled, name_of_file, root_of
from gpucache.fingerprint.references import (
    Live,
    Outside,
    References,
    Target,
    cell_content,
    function_label,
    label_of_module,
)
from gpucache.fingerprint.source import Sources
from gpucache.fingerprint.whole import describe_module, project_files
from gpucache.shown import shown

_BLIND = frozenset(
    {
        "builtins.eval",
        "builtins.exec",
        "builtins.__import__",
        "importlib.import_module",
        "importlib.__import__",
        "sys.modules",
        "runpy.run_path",
        "runpy.run_module",
        "pkgutil.resolve_name",
    }
)
"""What can reach anything by a name that is made at run time."""

_REMEDY = "pass it as an argument, make it inside the function, or say what identifies it with gpucache.register_type"
_SCALARS = (int, float, complex, str, bytes, type(None))
_GPUCACHE = b"gpucache/1 "
"""Calls of gpucache's own functions count as this format of identity, not as a version of it."""


class Context:
    """What all walks of one process share: the project, the texts, and the forms made from them."""

    def __init__(self, project: Project, *, strict: bool, alone: bool) -> None:
        self.project = project
        self.sources = Sources()
        self.strict = strict
        self.alone = alone
        self._seen_modules: set[str] = set()
        self._modules_count = 0
        self.forms: dict[int, tuple[types.CodeType, Form, str]] = {}

    def new_modules(self) -> list[types.ModuleType]:
        """The modules that were imported since this was last asked."""
        if len(sys.modules) == self._modules_count:
            return []
        modules = [module for name, module in list(sys.modules.items()) if name not in self._seen_modules]
        self._seen_modules.update(sys.modules)
        self._modules_count = len(sys.modules)
        return modules

    def form(self, function: types.FunctionType) -> tuple[Form, str]:
        """A function's form, and a note if it is not that of its source."""
        code = function.__code__
        known = self.forms.get(id(code))
        if known is None or known[0] is not code:
            known = self.forms[id(code)] = (code, *self._form(function))
        return known[1:]

    def _form(self, function: types.FunctionType) -> tuple[Form, str]:
        found = self.sources.find(function.__code__, function.__globals__)
        if found is not None:
            try:
                return form_of(found.node), ""
            except RecursionError:
                pass
        why = "counts by its bytecode: its source is not at hand, or not what was imported"
        return form_of_code(function.__code__), f"{function_label(function)} {why}"


class Walk:
    """One walk. `above` are the objects whose description led here, this walk's own root last; met again, they end the walk.

    Attributes:
        nodes: In order of first meeting, the root first.
        parts, notes: What it found, walks within it included.
        reads: What it looked at.
        met: The outermost object of `above` that was met again, by index; a digest holds only below that.
    """

    def __init__(self, context: Context, above: tuple[int, ...] = (), memo: dict[int, bytes] | None = None) -> None:
        self.context = context
        self.reads = Reads()
        self.nodes: list[Node] = []
        self.parts: dict[str, tuple[bytes, str]] = {}
        self.notes: dict[str, None] = {}
        self.met = len(above)
        self._packages: dict[str, bytes] = {}
        self._references = References(context.project, self.reads)
        self._numbered: dict[int, Node] = {}
        self._above = above
        self._memo: dict[int, bytes] = {} if memo is None else memo
        self._forms: list[Form] = []
        self._looked_up: set[str] = set()

    # ------------------------------------------------------------ the walk

    def run(self, root: Any, *, defaults: bool) -> bytes:
        """Walk from root and return the digest.

        Args:
            defaults: Whether the root's own defaults count; not where they are arguments of the call.
        """
        if isinstance(root, types.FunctionType) and not defaults:
            first = Node(root)
            self.nodes.append(first)
            self._describe_function(first, root, defaults=False)
        else:
            first = Node(root, component="root", shown="")
            self.nodes.append(first)
            self.describe(root, getattr(root, "__qualname__", type(root).__qualname__), first.items)
        done = 1
        while done < len(self.nodes):
            self._describe_node(self.nodes[done])
            done += 1
        self._count_texts()
        self.parts.update(parts_of(self.nodes if self.nodes[0].component != "root" else self.nodes[1:]))
        return digest_of(self.nodes, *(name.encode() + b"=" + build for name, build in sorted(self._packages.items())))

    def _describe_node(self, node: Node) -> None:
        obj = node.obj
        if isinstance(obj, types.FunctionType):
            self._describe_function(node, obj, defaults=True)
        elif isinstance(obj, type):
            describe_class(self, node, obj)
        elif isinstance(obj, types.ModuleType):
            describe_module(self, node, obj)
        else:
            self._describe_container(node, obj)

    def _count_texts(self) -> None:
        """Docstrings and annotations of all that was reached, if something that was reached may read them."""
        doc = any(form.reads_doc for form in self._forms)
        annotations = any(form.reads_annotations for form in self._forms)
        for node in self.nodes:
            if isinstance(node.obj, types.FunctionType | type):
                if doc:
                    node.items.append(b"doc " + repr(node.obj.__doc__).encode("utf-8", "surrogatepass"))
                if annotations and isinstance(node.obj, types.FunctionType):
                    written = {name: str(annotation) for name, annotation in node.obj.__annotations__.items()}
                    node.items.append(b"annotations " + repr(written).encode("utf-8", "surrogatepass"))

    # ------------------------------------------------------------ functions

    def _describe_function(self, node: Node, function: types.FunctionType, *, defaults: bool) -> None:
        form, note = self.context.form(function)
        label = function_label(function)
        if not node.component:
            self._name_function(node, function)
        if note:
            self.note(note)
        self.reads.function(function)
        self._forms.append(form)
        places: dict[object, int] = {}
        order: list[int] = []
        targets: list[Item] = []
        for ref in form.refs:
            items: list[Item] = []
            self._describe_ref(node, function, ref, items)
            key = tuple(
                item.digest if isinstance(item, Value) else item if isinstance(item, bytes) else id(item)
                for item in items
            )
            if key not in places:
                places[key] = len(places)
                targets += [b"slot", *items]
            order.append(places[key])
        slots = [b"@%d " % order[slot] for slot in form.slots]
        text = b"".join(piece + slot for piece, slot in zip(form.pieces, [*slots, b""], strict=True))
        node.items += [b"function", text, *targets]
        if "__class__" in function.__code__.co_freevars:  # super() without arguments
            self._describe_ref(node, function, Ref("__class__"), node.items)
        if defaults:
            self._describe_defaults(node, function, label)
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            node.items.append(b"wraps")
            self.describe(wrapped, f"{label}.__wrapped__", node.items)

    def _describe_defaults(self, node: Node, function: types.FunctionType, label: str) -> None:
        code = function.__code__
        positional = code.co_varnames[: code.co_argcount]
        given = function.__defaults__ or ()
        pairs = [
            *zip(positional[len(positional) - len(given) :], given, strict=True),
            *sorted((function.__kwdefaults__ or {}).items()),
        ]
        for name, value in pairs:
            node.items.append(b"default " + name.encode())
            self.describe(value, f"{label}({name})", node.items)

    def _name_function(self, node: Node, function: types.FunctionType) -> None:
        code = function.__code__
        node.component = f"code:{function_label(function)}"
        node.shown = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno} {function.__qualname__}"

    def _describe_ref(self, node: Node, function: types.FunctionType, ref: Ref, items: list[Item]) -> None:
        target = self._references.follow(function, ref)
        if ref.use == "guard":
            items.append(b"guarded " + self._availability(target))
        elif isinstance(target, Outside):
            self._describe_outside(function, ref, target.path, items)
        elif isinstance(target, Live):
            self._describe_live(function, target, items)
        else:
            items.append(target.text)

    def _availability(self, target: Target) -> bytes:
        if isinstance(target, Outside):
            self.outside(target.path)
            top = target.path.partition(".")[0]
            return target.path.encode() + (
                b" there" if file_of_module(top) or top in sys.builtin_module_names else b" not there"
            )
        return b"there" if isinstance(target, Live) else b"not there"

    def _describe_outside(self, function: types.FunctionType, ref: Ref, path: str, items: list[Item]) -> None:
        if ref.use != "literal" and (path in _BLIND or path.startswith("sys.modules.")):
            self._describe_blind(function, path, items)
        elif path == "builtins.globals" or (path == "builtins.vars" and ref.use != "literal"):
            self._own_module(function, items)
        elif path == "sys.argv":
            self.describe(sys.argv, "sys.argv", items)
            return
        items.append(self.outside(path))

    def _describe_blind(self, function: types.FunctionType, path: str, items: list[Item]) -> None:
        where = f"{os.path.basename(function.__code__.co_filename)}:{function.__code__.co_firstlineno} {function.__qualname__}"
        if self.context.strict:
            raise NotIdentifiable(
                where, path, "it can reach any code by a name made at run time", "call what it names directly"
            )
        self.note(f"{where} uses {path}, which can reach any code: all of the project counts")
        self._own_module(function, items)
        for item in project_files(function.__code__.co_filename):
            items.append(item)

    def _own_module(self, function: types.FunctionType, items: list[Item]) -> None:
        module = sys.modules.get(str(function.__globals__.get("__name__")))
        if module is not None and vars(module) is function.__globals__:
            items.append(self.node(module))

    def _describe_live(self, function: types.FunctionType, target: Live, items: list[Item]) -> None:
        rest = "".join(f".{name}" for name in target.rest)
        if rest:
            items.append(rest.encode())
        obj = target.obj
        attribute = target.rest[0] if target.rest else ""
        if isinstance(obj, types.FunctionType) and attribute in obj.__dict__ and attribute != "__wrapped__":
            self.describe(obj.__dict__[attribute], f"{target.label}.{attribute}", items)
        if _is_anchored(obj, function):
            items.append(_anchored(obj, function))
        else:
            self.describe(obj, target.label, items, group="closure" if target.is_closure else "const")

    # ------------------------------------------------------------ any object

    def describe(self, obj: Any, label: str, items: list[Item], group: str = "const") -> None:
        """Append what an object is. `label` is how people know it.

        Raises:
            NotIdentifiable: It has no identity.
        """
        describe = self._describer(obj)
        if describe is not None:
            describe(obj, label, items)
        elif self._is_above(obj):
            items.append(self._meet_again(obj))
        elif type(obj) in _SCALARS or not _holds_code(obj, self):
            items.append(_value(obj, label, group, self._encode(obj, label, None)))
            self._watch(obj)
        elif type(obj) in (list, tuple, dict):
            items.append(self.node(obj, f"{group}:{label}", f"{type(obj).__name__} of {len(obj)}"))
        else:
            self._describe_object(obj, label, items, group)

    def is_code(self, obj: Any) -> bool:
        """Whether an object is a piece of code, or a wrapper of one, which counts by what it does."""
        return self._describer(obj) is not None

    def _describer(self, obj: Any) -> Callable[[Any, str, list[Item]], None] | None:
        kind = type(obj)
        if kind in _SCALARS or kind in (list, dict, tuple, set):
            return None
        if isinstance(obj, types.FunctionType):
            return self._describe_live_function
        if isinstance(obj, type):
            return self._describe_live_class
        known = _BY_KIND.get(kind)
        if known is not None:
            return functools.partial(known, self)
        if isinstance(obj, types.ModuleType):
            return functools.partial(_describe_live_module, self)
        if kind.__module__.partition(".")[0] == "gpucache" and isinstance(getattr(obj, "fn", None), Callable):  # type: ignore[arg-type]
            return functools.partial(_describe_task, self)
        if isinstance(obj, logging.Logger | logging.LoggerAdapter):
            return functools.partial(_describe_logger, self)
        if not self.is_project_class(kind) and _wrapped(obj) is not None:
            return functools.partial(_describe_wrapper, self)
        return None

    def node(self, obj: Any, component: str = "", text: str = "") -> Node:
        """The node of a symbol; a new one if it was not met before."""
        known = self._numbered.get(id(obj))
        if known is None:
            known = self._numbered[id(obj)] = Node(obj, component, text)
            if isinstance(obj, types.FunctionType):
                self._name_function(known, obj)
            elif isinstance(obj, type):
                self._name_class(known, obj)
            self.nodes.append(known)
        return known

    def _describe_live_function(self, function: types.FunctionType, label: str, items: list[Item]) -> None:
        if self.is_project_function(function):
            item = self._followed(function)
            if (
                isinstance(item, Node)
                and function.__name__ == "<lambda>"
                and item.component.endswith("<lambda>")
                and "<" not in label
            ):
                item.component = f"code:{label}"  # of several lambdas on a line, the one in this place of a table
            items.append(item)
            return
        module, qualname = function.__module__ or "", function.__qualname__
        if "<locals>" not in qualname and not self.context.project.has_module(module):
            items.append(self.outside(f"{module}.{qualname}"))
            return
        # Made by a library around something of ours: contextmanager, singledispatch, wraps.
        items.append(self.outside(f"{function.__globals__.get('__name__')}.{function.__code__.co_qualname}"))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            content = cell_content(cell)
            self.reads.cell(cell, content)
            self._describe_inner(content, f"{label}.{name}", items)

    def _describe_inner(self, content: object, label: str, items: list[Item]) -> None:
        """A library's own state beside what it wraps; what has no identity (a cache, a lock) is known by its class."""
        try:
            self.describe(content, label, items)
        except NotIdentifiable:
            if self.is_project_class(type(content)):
                raise
            items.append(f"a {type(content).__module__}.{type(content).__qualname__}".encode())

    def _describe_live_class(self, cls: type, label: str, items: list[Item]) -> None:
        if self.is_project_class(cls):
            items.append(self._followed(cls))
        else:
            items.append(self.outside(f"{cls.__module__}.{cls.__qualname__}"))

    def _followed(self, symbol: Any) -> Item:
        if self._is_above(symbol):
            return self._meet_again(symbol)
        return f"unfollowed {symbol.__qualname__}".encode() if self.context.alone else self.node(symbol)

    def _name_class(self, node: Node, cls: type) -> None:
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None) or _file_of_class(cls)
        name = name_of_file(file) if file else cls.__module__.replace("__main__", "notebook")
        node.component = f"code:{name}.{cls.__qualname__}"
        line = self.context.sources.line_of_class(file, cls.__qualname__) if file else None
        node.shown = f"{os.path.basename(file or name)}{'' if line is None else f':{line}'} {cls.__qualname__}"

    def _describe_container(self, node: Node, obj: Any) -> None:
        kind = type(obj)
        node.items.append(f"{kind.__name__} {len(obj)}".encode())
        label = node.component.partition(":")[2]
        if kind is dict:
            self.reads.container(obj)
            for key, value in obj.items():
                self.describe(key, "", node.items)
                self.describe(value, f"{label}[{key!r}]", node.items)
            return
        if kind is list:
            self.reads.container(obj)
        for index, value in enumerate(obj):
            self.describe(value, f"{label}[{index}]", node.items)

    def _describe_object(self, obj: Any, label: str, items: list[Item], group: str) -> None:
        digest = self._memo.get(id(obj))
        if digest is None:
            inner = _Within(self, (*self._above, id(obj)))
            digest = self._encode(obj, label, inner)
            self.met = min(self.met, inner.met)
            if inner.met >= len(self._above):
                self.reads.keep(obj)
                self._memo[id(obj)] = digest
        items.append(_value(obj, label, group, digest, self._encode(obj, label, _Named(self))))
        self._watch(obj)

    def _encode(self, obj: object, label: str, symbols: Any) -> bytes:
        try:
            return tree_digest(encode(obj, symbols=symbols, name=label))
        except NotIdentifiable as refusal:
            raise NotIdentifiable(refusal.path, refusal.type_name, refusal.why, _REMEDY) from refusal

    def _watch(self, obj: object) -> None:
        if not _is_frozen(obj):
            self.reads.value(obj)

    def _is_above(self, obj: object) -> bool:
        return id(obj) in self._above[:-1]

    def _meet_again(self, obj: object) -> bytes:
        index = self._above.index(id(obj))
        self.met = min(self.met, index)
        return b"again %d" % (len(self._above) - index)

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
        self.absorb(walk)
        if walk.met >= len(above):
            self.reads.keep(obj)
            self._memo[id(obj)] = digest
        return digest, walk.met

    def absorb(self, walk: Walk) -> None:
        """Take over what a walk within this one found."""
        self.parts.update(walk.parts)
        self.notes.update(walk.notes)
        self._packages.update(walk._packages)
        self._forms += walk._forms
        self.reads.merge(walk.reads)

    # ------------------------------------------------------------ what is outside

    def outside(self, path: str) -> bytes:
        """What is written for something of Python, a library, or gpucache; its version is noted."""
        top = path.partition(".")[0]
        if top == "gpucache":
            return _GPUCACHE + path.rpartition(".")[2].encode()
        if top == "builtins" or top in sys.stdlib_module_names:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            self._package("python", version, version.encode())
            return path.encode()
        if top in self._looked_up:
            return path.encode()
        found = installed(_module_of(path))
        if found is None or not _is_namespace(top):
            self._looked_up.add(top)
        if found is not None:
            self._package(
                f"package:{found.name}", f"{found.name} {found.version}", f"{found.version} ".encode() + found.build
            )
        return path.encode()

    def _package(self, component: str, text: str, build: bytes) -> None:
        if component not in self._packages:
            self._packages[component] = build
            self.parts[component] = (hash128(build), text)

    def extension(self, file: str) -> bytes:
        """A compiled module of the project: its bytes."""
        digest = bytes(file_digest(Path(file)))
        name = os.path.basename(file)
        self.parts[f"code:{name.partition('.')[0]}"] = (digest, name)
        return b"extension " + digest

    def note(self, text: str) -> None:
        """Say what could not be seen."""
        self.notes[text] = None

    def is_project_function(self, function: types.FunctionType) -> bool:
        """Whether a function's code is the project's."""
        file = function.__code__.co_filename
        if os.path.isabs(file):
            return self.context.project.has_file(file) and not _is_gpucache(function)
        return self.context.project.has_module(str(function.__globals__.get("__name__")))

    def is_project_class(self, cls: type) -> bool:
        """Whether a class is defined in the project."""
        return self.context.project.has_module(cls.__module__)


class _Named:
    """Symbols for people's components: code in a value has a component of its own, so here its name will do."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def token(self, obj: Any) -> bytes | None:
        return str(getattr(obj, "__qualname__", type(obj).__qualname__)).encode() if self._walk.is_code(obj) else None


class _Probe:
    """Symbols that only find out whether a value holds code."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self.met = False

    def token(self, obj: Any) -> bytes | None:
        if isinstance(obj, type) and not self._walk.is_project_class(obj):
            return None
        if self._walk.is_code(obj):
            self.met = True
            return b""
        return None


class _Within:
    """Symbols of a value that holds code: each piece by a walk of its own."""

    def __init__(self, walk: Walk, above: tuple[int, ...]) -> None:
        self._walk = walk
        self._above = above
        self.met = len(above)

    def token(self, obj: Any) -> bytes | None:
        if isinstance(obj, type) and not self._walk.is_project_class(obj):
            self._walk.outside(f"{obj.__module__}.{obj.__qualname__}")
            return None
        if not self._walk.is_code(obj):
            return None
        token, met = self._walk.token_within(obj, self._above)
        self.met = min(self.met, met)
        return token


def _value(obj: object, label: str, group: str, digest: bytes, local: bytes | None = None) -> Value:
    return Value(f"{group}:{label}" if label else "", digest, shown(obj), digest if local is None else local)


def _holds_code(obj: Any, walk: Walk) -> bool:
    probe = _Probe(walk)
    try:
        encode(obj, symbols=probe)
    except NotIdentifiable:
        return probe.met
    return probe.met


def _describe_live_module(walk: Walk, module: types.ModuleType, label: str, items: list[Item]) -> None:
    file = getattr(module, "__file__", None)
    if not walk.context.project.has_module(module.__name__):
        items.append(walk.outside(module.__name__))
    elif isinstance(file, str) and is_compiled(file):
        items.append(walk.extension(file))
    elif walk.context.alone:
        items.append(b"unfollowed module")
    else:
        items.append(walk.node(module, f"code:{label_of_module(module)}", f"{os.path.basename(file or label)} (whole)"))


def _describe_task(walk: Walk, task: Any, label: str, items: list[Item]) -> None:
    """A task, flow or resident counts as the function that it runs, and the version that its author gave it."""
    version = getattr(getattr(task, "options", None), "version", None)
    if isinstance(version, str):
        items.append(b"version " + version.encode())
    walk.describe(task.fn, label, items)


def _describe_logger(walk: Walk, logger: object, label: str, items: list[Item]) -> None:
    items.append(b"a logger")  # its name may be __main__, and what it prints is no result


def _describe_partial(walk: Walk, partial: Any, label: str, items: list[Item]) -> None:
    items.append(type(partial).__name__.encode())
    walk.describe(partial.func, label, items)
    for index, value in enumerate(partial.args):
        walk.describe(value, f"{label}({index})", items)
    for name, value in sorted(partial.keywords.items()):
        items.append(b"keyword " + name.encode())
        walk.describe(value, f"{label}({name})", items)


def _describe_method(walk: Walk, method: types.MethodType, label: str, items: list[Item]) -> None:
    items.append(b"method")
    walk.describe(method.__func__, label, items)
    walk.describe(method.__self__, f"{label}.__self__", items)


def _describe_builtin(walk: Walk, function: Any, label: str, items: list[Item]) -> None:
    owner = function.__self__
    if owner is not None and not isinstance(owner, types.ModuleType):
        items.append(b"builtin method " + function.__name__.encode())
        walk.describe(owner, f"{label}.__self__", items)
        return
    module = function.__module__ or "builtins"
    if walk.context.project.has_module(module):
        _describe_live_module(walk, sys.modules[module], module, items)
    items.append(walk.outside(f"{module}.{function.__qualname__}"))


def _describe_wrapper(walk: Walk, wrapper: Any, label: str, items: list[Item]) -> None:
    kind = type(wrapper)
    items.append(walk.outside(f"{kind.__module__}.{kind.__qualname__}"))
    walk.describe(_wrapped(wrapper), label, items)


def _describe_property(walk: Walk, prop: property, label: str, items: list[Item]) -> None:
    items.append(type(prop).__name__.encode())
    for name in ("fget", "fset", "fdel"):
        if getattr(prop, name) is not None:
            items.append(name.encode())
            walk.describe(getattr(prop, name), f"{label}.{name}", items)


def _describe_func(walk: Walk, descriptor: Any, label: str, items: list[Item]) -> None:
    items.append(type(descriptor).__name__.encode())
    walk.describe(descriptor.func, label, items)


def _wrapped(obj: Any) -> Any:
    """What a library's wrapper object wraps."""
    for name in ("__wrapped__", "__func__", "py_func"):
        try:
            wrapped = getattr(obj, name, None)
        except Exception:  # a user's __getattr__ may raise anything
            return None
        if callable(wrapped):
            return wrapped
    return None


_BY_KIND: dict[type, Callable[[Walk, Any, str, list[Item]], None]] = {
    types.ModuleType: _describe_live_module,
    types.MethodType: _describe_method,
    types.BuiltinFunctionType: _describe_builtin,
    functools.partial: _describe_partial,
    functools.partialmethod: _describe_partial,
    property: _describe_property,
    functools.cached_property: _describe_func,
    staticmethod: _describe_wrapper,
    classmethod: _describe_wrapper,
}


def _is_gpucache(function: types.FunctionType) -> bool:
    return str(function.__globals__.get("__name__")).partition(".")[0] == "gpucache"


def _is_frozen(obj: object) -> bool:
    """Whether a value can't change in place: then the name that is bound to it tells all."""
    if type(obj) in (tuple, frozenset):
        return all(_is_frozen(item) for item in obj)  # type: ignore[attr-defined]  # just checked
    return type(obj) in (*_SCALARS, bool, range) or isinstance(obj, PurePath)


def _is_anchored(obj: object, function: types.FunctionType) -> bool:
    """Whether a value is a path within the project: a moved project is the same project."""
    if not isinstance(obj, str | PurePath):
        return False
    text = str(obj)
    if not os.path.isabs(text):
        return False
    file = function.__code__.co_filename
    root = root_of(file) if os.path.isabs(file) else ""
    return bool(root) and root != os.sep and (text == root or text.startswith(root + os.sep))


def _anchored(obj: Any, function: types.FunctionType) -> bytes:
    inside = os.path.relpath(str(obj), root_of(function.__code__.co_filename))
    return f"{'path' if isinstance(obj, PurePath) else 'text'} in the project: {inside}".encode(
        "utf-8", "surrogateescape"
    )


def _file_of_class(cls: type) -> str | None:
    files: Iterable[str] = (
        value.__code__.co_filename for value in vars(cls).values() if isinstance(value, types.FunctionType)
    )
    return next((file for file in files if not file.startswith("<") and "ipykernel" not in file), None)


def _is_namespace(top: str) -> bool:
    return (file_of_module(top) or "").endswith(os.sep)


def _module_of(path: str) -> str:
    """The module of a dotted path that tells its distribution: the top one, or of a namespace the first with a file."""
    steps = path.split(".")
    for count in range(1, len(steps) + 1):
        file = file_of_module(".".join(steps[:count]))
        if file is None:
            break
        if not file.endswith(os.sep):
            return ".".join(steps[:count])
    return steps[0]
