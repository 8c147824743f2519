"""What a function reaches: a graph of the project's functions, classes and values, and the versions of everything else.

The graph is walked from the root in the order in which the code mentions things, and each node is written with the numbers of
those it mentions. So the digest depends on no name, no file and no order of definition, and recursion needs no special case.
"""

from __future__ import annotations

import ast
import functools
import inspect
import logging
import struct
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpucache.digests import combine, encode, file_digest, hash128, tree_digest
from gpucache.errors import NotIdentifiable
from gpucache.fingerprint.imports import Binding, bindings
from gpucache.fingerprint.form import NormalForm
from gpucache.shown import shown
from gpucache.fingerprint.project import distribution_of, is_project_file, is_project_module, is_stdlib, stable_name

if TYPE_CHECKING:
    from gpucache.fingerprint.fingerprints import Fingerprints

_BLIND = {"exec", "eval", "__import__", "import_module"}
_WHOLE_MODULE = {"globals", "vars", "locals"}
_CLASS_NOISE = frozenset(
    "__dict__ __weakref__ __module__ __doc__ __qualname__ __firstlineno__ __static_attributes__ __annotations__ __slots__ "
    "__dataclass_params__ __dataclass_fields__ __match_args__ __abstractmethods__ _abc_impl __parameters__ __orig_bases__ "
    "__annotate_func__ __annotations_cache__ __hash__ __classcell__".split()
)


class Watch(NamedTuple):
    """A name that was read, and what it was then."""

    namespace: dict[str, Any]
    name: str
    value: object


class Node:
    """One symbol: its form, with a number for each symbol that it mentions, and what people see of it."""

    __slots__ = ("component", "form", "links", "shown", "symbol", "value")

    def __init__(self, symbol: str, value: object) -> None:
        self.symbol, self.value = symbol, value
        self.component = ""
        self.shown = ""
        self.form = b""
        self.links: list[int] = []


class Reach:
    """The walk from one root. After walk(): nodes in order, packages by name, notes, and what was read."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._of = fingerprints
        self.nodes: list[Node] = []
        self.packages: dict[str, str] = {}
        self.notes: list[str] = []
        self.watches: list[Watch] = []
        self.cells: list[tuple[Any, object]] = []
        self.mutables: list[tuple[object, bytes, str]] = []
        self._numbers: dict[object, int] = {}
        self._root: object = None

    def walk(self, root: Any) -> None:
        """Follow everything from root. Raises NotIdentifiable for a value without an identity."""
        self._root = root
        self._number(("code", id(root)), "root", root)
        done = 0
        while done < len(self.nodes):
            self._fill(self.nodes[done])
            done += 1

    def digest(self) -> bytes:
        """The identity of all that was reached."""
        forms = [hash128(node.form) + struct.pack(f"<{len(node.links)}I", *node.links) for node in self.nodes]
        packages = [f"{name}=={version}".encode() for name, version in sorted(self.packages.items())]
        return combine(f"{sys.version_info.major}.{sys.version_info.minor}".encode(), *forms, b"packages", *packages)

    # ------------------------------------------------------------ what a value is

    def _number(self, key: object, symbol: str, value: object) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.nodes)
            self.nodes.append(Node(symbol, value))
        return number

    def link(self, node: Node, symbol: str, value: Any) -> bytes:
        """What `node` writes for a mention of `value`, known as `symbol` ("helpers.norm")."""
        kind = type(value)
        if kind is types.ModuleType:
            return self._module_link(node, value)
        if _is_ours(kind):
            inner = getattr(value, "fn", None)
            return b"gpucache:" + kind.__name__.encode() + (b"" if inner is None else self._linked(node, symbol, inner))
        if isinstance(value, types.FunctionType):
            return self._function_link(node, symbol, value)
        if isinstance(value, type):
            if self._is_project(value.__module__):
                return self._linked(node, symbol, value)
            return self.library(value.__module__, value.__qualname__)
        if isinstance(value, types.MethodType):
            return b"method:" + self.link(node, symbol, value.__func__) + self.link(node, f"{symbol}.__self__", value.__self__)
        if isinstance(value, types.BuiltinFunctionType | types.BuiltinMethodType):
            return self._builtin_link(node, symbol, value)
        if isinstance(value, functools.partial):
            inner = self.link(node, f"{symbol}.func", value.func)
            return b"partial:" + inner + self.link(node, f"{symbol}.args", (value.args, value.keywords))
        wrapped = getattr(value, "__wrapped__", None) if not isinstance(value, type) else None
        if wrapped is not None and callable(value):
            return self.library(kind.__module__, kind.__qualname__) + self.link(node, symbol, wrapped)
        if isinstance(value, logging.Logger):
            return b"logger"
        return self._linked(node, symbol, value)

    def library(self, module: str, name: str) -> bytes:
        """What is written for something of an installed distribution or of Python; its version counts."""
        if module.partition(".")[0] != "gpucache" and not is_stdlib(module):
            found = distribution_of(module)
            if found is not None:
                self.packages[found[0]] = found[1]
        return f"L:{module}.{name}".encode()

    def _linked(self, node: Node, symbol: str, value: Any) -> bytes:
        is_code = isinstance(value, types.FunctionType | type | types.ModuleType)
        key = ("code", id(value)) if is_code else ("value", symbol, id(value))
        node.links.append(self._number(key, symbol, value))
        return b"#%d" % (len(node.links) - 1)

    def _module_link(self, node: Node, module: types.ModuleType) -> bytes:
        file = getattr(module, "__file__", None) or ""
        if file.endswith((".so", ".pyd")) and is_project_file(file):
            return b"extension:" + file_digest(Path(file))
        if is_project_module(module, self._of.followed):
            return self._linked(node, module.__name__, module)
        return self.library(module.__name__, "")

    def _function_link(self, node: Node, symbol: str, value: types.FunctionType) -> bytes:
        if self._is_project_code(value):
            return self._linked(node, symbol, value)
        out = self.library(value.__module__ or "", value.__qualname__)
        for index, cell in enumerate(value.__closure__ or ()):
            # A library's wrapper: what it wraps is in its cells.
            content = _content(cell)
            if callable(content):
                out += self.link(node, f"{symbol}.<cell {index}>", content)
        return out

    def _builtin_link(self, node: Node, symbol: str, value: Any) -> bytes:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            module = sys.modules.get(value.__module__ or "")
            if module is not None and (getattr(module, "__file__", None) or "").endswith((".so", ".pyd")):
                return self._module_link(node, module) + value.__qualname__.encode()
            return self.library(value.__module__ or "builtins", value.__qualname__)
        return b"method:" + value.__name__.encode() + self.link(node, f"{symbol}.__self__", owner)

    def _is_project(self, module_name: str) -> bool:
        module = sys.modules.get(module_name)
        return module is not None and not _is_ours_name(module_name) and is_project_module(module, self._of.followed)

    def _is_project_code(self, function: types.FunctionType) -> bool:
        module = function.__module__ or ""
        if function is self._root:
            return True
        if module in sys.modules and module != "__main__":
            return self._is_project(module)
        return is_project_file(function.__code__.co_filename) or module == "__main__"

    # ------------------------------------------------------------ what a node says

    def _fill(self, node: Node) -> None:
        value = node.value
        if isinstance(value, types.FunctionType):
            self._fill_function(node, value)
        elif isinstance(value, type):
            self._fill_class(node, value)
        elif isinstance(value, types.ModuleType):
            self._fill_module(node, value)
        else:
            self._fill_value(node, value)

    def _fill_function(self, node: Node, function: types.FunctionType) -> None:
        code, tree = function.__code__, self._of.sources.function(function.__code__)
        module = stable_name(function.__module__ or "", code.co_filename)
        node.component = f"code:{module}.{function.__qualname__}"
        node.shown = f"{Path(code.co_filename).name}:{code.co_firstlineno} {function.__qualname__}"
        scope = _Scope(self, node, function.__globals__, _cells(function), tree)
        if tree is None:
            node.form = b"code object:" + self._code_form(scope, code)
            self.notes.append(f"{node.shown}: its source is not what runs, so it is known by its compiled form")
        else:
            form = NormalForm(scope.resolve, keep_docstrings="__doc__" in code.co_names)
            form.function(tree)
            node.form = bytes(form.out)
        if function is not self._root:  # the root's defaults are arguments of the call
            defaults = (function.__defaults__, function.__kwdefaults__)
            if any(defaults):
                node.form += b"defaults:" + self._values(node, f"{node.component[5:]}.<defaults>", defaults)

    def _fill_class(self, node: Node, cls: type) -> None:
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None) or ""
        node.component = f"code:{stable_name(cls.__module__, file)}.{cls.__qualname__}"
        methods = list(_methods(cls))
        tree = self._of.sources.class_(cls, file or _file_of(methods))
        if tree is not None and any(self._of.sources.function(f.__code__) is None for _, f in methods if _is_written(f)):
            tree = None
        node.shown = f"{Path(file).name}:{tree.lineno if tree else '?'} {cls.__qualname__}"
        out = bytearray(b"class:")
        for base in cls.__bases__:
            out += self.link(node, f"{node.component[5:]}.<base>", base)
        out += self.link(node, f"{node.component[5:]}.<metaclass>", type(cls))
        if tree is not None:
            scope = _Scope(self, node, vars(module) if module else {}, {}, tree)
            form = NormalForm(scope.resolve)
            form.class_body(tree)
            out += form.out
        for name, function in methods:
            if _is_written(function):
                out += name.encode() + b":" + self.link(node, f"{node.component[5:]}.{name}", function)
        for name, value in self._other_attributes(cls, tree):
            out += name.encode() + b"=" + self._values(node, f"{node.component[5:]}.{name}", value)
        node.form = bytes(out)

    def _other_attributes(self, cls: type, tree: ast.ClassDef | None) -> Iterator[tuple[str, object]]:
        """Attributes that the class's own text does not tell: all of them if there is no text."""
        told = set() if tree is None else {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        for name, value in sorted(vars(cls).items()):
            plain = not name.startswith(("__", "_abc", "__pydantic", "_sunder")) and name not in _CLASS_NOISE
            if plain and name not in told and not _functions_in(value) and not isinstance(value, types.MemberDescriptorType):
                if tree is not None and isinstance(value, type | types.FunctionType | cls):
                    continue
                yield name, value

    def _fill_module(self, node: Node, module: types.ModuleType) -> None:
        file = getattr(module, "__file__", None)
        name = stable_name(module.__name__, file)
        node.component, node.shown = f"code:{name}", f"{Path(file or name).name} (the whole module)"
        out = bytearray(b"module:")
        for attribute, value in sorted(vars(module).items()):
            if attribute.startswith("__"):
                continue
            if isinstance(value, types.ModuleType) and not is_project_module(value, self._of.followed):
                continue
            self.watches.append(Watch(vars(module), attribute, value))
            out += attribute.encode() + b"=" + self.link(node, f"{name}.{attribute}", value)
        node.form = bytes(out)

    def _fill_value(self, node: Node, value: object) -> None:
        node.component, node.shown = f"const:{node.symbol}", shown(value)
        node.form = self._encoded(node.symbol, value)
        if not isinstance(value, _IMMUTABLE):
            self.mutables.append((value, tree_digest(node.form), node.symbol))

    def _values(self, node: Node, symbol: str, value: object) -> bytes:
        return tree_digest(self._encoded(symbol, value))

    def _encoded(self, symbol: str, value: object) -> bytes:
        try:
            return encode(value, symbols=self._of, name=symbol)
        except NotIdentifiable as problem:
            remedy = "pass it as an argument, make it inside the function, or register its type with gpucache.register_type"
            raise NotIdentifiable(problem.path, problem.type_name, problem.why, remedy) from problem

    def _code_form(self, scope: _Scope, code: types.CodeType) -> bytes:
        """A code object by what it does; the names that it reads from outside are followed as in a syntax tree."""
        constants = [
            self._code_form(scope, constant) if isinstance(constant, types.CodeType) else repr(constant).encode()
            for constant in code.co_consts
        ]
        names = [(scope.resolve(name, ()) or (name.encode(), 0))[0] for name in (*code.co_names, *code.co_freevars)]
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        return combine(code.co_code, repr(counts).encode(), repr(code.co_varnames).encode(), *constants, b"names", *names)


class _Scope:
    """How the names in one function or class lead out of it."""

    def __init__(
        self, reach: Reach, node: Node, namespace: dict[str, Any], cells: dict[str, Any], tree: ast.AST | None
    ) -> None:
        self._reach, self._node, self._namespace, self._cells = reach, node, namespace, cells
        self._imports: dict[str, Binding] = {} if tree is None else bindings(tree, namespace, reach._of.followed)
        for binding in self._imports.values():
            if binding.module and not binding.is_project:
                reach.library(binding.module, "")

    def resolve(self, name: str, attributes: tuple[str, ...]) -> tuple[bytes, int] | None:
        """What a name and the attributes after it lead to."""
        if name in self._imports:
            return self._imported(self._imports[name], attributes)
        if name in self._cells:
            content = _content(self._cells[name])
            self._reach.cells.append((self._cells[name], content))
            if content is _EMPTY:
                return None
            return self._followed(f"{self._node.symbol}.<closure>.{name}", content, attributes)
        if name in self._namespace:
            if name.startswith("__"):
                return None
            value = self._namespace[name]
            self._reach.watches.append(Watch(self._namespace, name, value))
            module = stable_name(self._namespace.get("__name__", ""), self._namespace.get("__file__"))
            return self._followed(f"{module}.{name}", value, attributes)
        self._say_blind(name)
        return None

    def _imported(self, binding: Binding, attributes: tuple[str, ...]) -> tuple[bytes, int]:
        if binding.is_project:
            return self._followed(binding.path, binding.value, attributes)
        # A library's module is not imported to be named: `np.mean` is numpy.mean by its text.
        return self._reach.library(binding.module, binding.path[len(binding.module) + 1 :]), 0

    def _followed(self, symbol: str, value: Any, attributes: tuple[str, ...]) -> tuple[bytes, int]:
        """Go down a chain of attributes as long as it leads through the project's modules."""
        covered = 0
        while covered < len(attributes) and isinstance(value, types.ModuleType):
            if not is_project_module(value, self._reach._of.followed):
                break
            attribute = attributes[covered]
            if attribute not in vars(value) or attribute.startswith("__"):
                break
            symbol = f"{stable_name(value.__name__, getattr(value, '__file__', None))}.{attribute}"
            namespace, value = vars(value), vars(value)[attribute]
            self._reach.watches.append(Watch(namespace, attribute, value))
            covered += 1
        if attributes[covered:] and attributes[covered] in _BLIND:
            self._say_blind(attributes[covered])
        if isinstance(value, types.FunctionType) and value.__name__ in _BLIND:
            self._say_blind(value.__name__)
        return self._reach.link(self._node, symbol, value), covered

    def _say_blind(self, name: str) -> None:
        reach = self._reach
        if name in _WHOLE_MODULE:
            module = sys.modules.get(self._namespace.get("__name__", ""))
            if module is not None:
                reach.link(self._node, module.__name__, module)
        elif name in _BLIND:
            note = f"{self._node.shown}: {name} hides what it reaches, so all of the project counts"
            if reach._of.strict:
                raise NotIdentifiable(self._node.shown, name, "it hides what the function reaches", "call what it names directly")
            if note not in reach.notes:
                reach.notes.append(note)
                for module in list(sys.modules.values()):
                    if isinstance(module, types.ModuleType) and getattr(module, "__file__", None):
                        if is_project_module(module, reach._of.followed):
                            reach.link(self._node, module.__name__, module)


_EMPTY = object()
_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), frozenset, types.FunctionType, type)


def _is_ours(kind: type) -> bool:
    return _is_ours_name(kind.__module__)


def _is_ours_name(module: str) -> bool:
    return module == "gpucache" or module.startswith("gpucache.")


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _cells(function: types.FunctionType) -> dict[str, Any]:
    names = function.__code__.co_freevars
    return {name: cell for name, cell in zip(names, function.__closure__ or (), strict=True) if name != "__class__"}


def _functions_in(value: object) -> list[types.FunctionType]:
    """The functions of a class attribute: itself, or what a descriptor holds."""
    if isinstance(value, types.FunctionType):
        return [value]
    if isinstance(value, staticmethod | classmethod):
        return _functions_in(inspect.unwrap(value.__func__) if callable(value.__func__) else None)
    if isinstance(value, property):
        return [f for part in (value.fget, value.fset, value.fdel) for f in _functions_in(part)]
    if isinstance(value, functools.cached_property):
        return _functions_in(value.func)
    wrapped = getattr(value, "fn", None) if _is_ours(type(value)) else getattr(value, "__wrapped__", None)
    return _functions_in(wrapped) if isinstance(wrapped, types.FunctionType) else []


def _methods(cls: type) -> Iterator[tuple[str, types.FunctionType]]:
    for name, value in sorted(vars(cls).items()):
        for function in _functions_in(value):
            yield name, function


def _is_written(function: types.FunctionType) -> bool:
    """Whether someone wrote it: what dataclasses and their like generate follows from the fields."""
    return not function.__code__.co_filename.startswith("<") or function.__code__.co_filename.startswith("<ipython")


def _file_of(methods: list[tuple[str, types.FunctionType]]) -> str:
    return next((function.__code__.co_filename for _, function in methods if _is_written(function)), "")

