"""The normal form of a function's syntax: what remains when everything that changes nothing is taken away.

Positions, comments, formatting, docstrings, annotations of functions and of local variables, `pass`, type comments and
imports that only bind a name do not remain. Every reference that leaves the function (a global, a closure's variable, an
import, with the attributes that follow it) is a numbered slot: what stands there is decided by what it leads to, not by its
spelling.

Not bytecode, which changes with every Python; not `ast.dump`, whose fields do. A node is its name and its fields that are not
empty, so a field that a later Python adds, and nobody uses, changes nothing.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gpucache.fingerprint.scope import (
    Bound,
    ComprehensionNode,
    FunctionNode,
    Imported,
    bound_in_class,
    bound_in_comprehension,
    bound_in_function,
    imports_of,
)

_DROPPED = frozenset({"ctx", "type_comment", "kind", "returns", "annotation", "type_params", "simple", "type_ignores"})
_IMPORTERS = frozenset({"import_module", "__import__"})
_DOC_NAMES = frozenset({"__doc__", "getdoc", "cleandoc", "help"})
_ANNOTATION_NAMES = frozenset(
    {"__annotations__", "get_type_hints", "get_annotations", "signature", "__signature__", "validate_call"}
)
_PLAIN_DECORATORS = frozenset(
    {
        "wraps",
        "lru_cache",
        "cache",
        "cached_property",
        "property",
        "setter",
        "staticmethod",
        "classmethod",
        "contextmanager",
    }
)

Use = Literal["read", "literal", "effect", "guard"]


class Ref(NamedTuple):
    """A reference that leaves the function.

    Attributes:
        base: A name, or what an import inside the body binds.
        attrs: The attributes that follow it, as far as they are plain reads.
        use: "read"; "literal" where it is called with literals alone (`import_module("x")`), so that what it reaches is written
            down; "effect" for an import whose name nothing reads by itself; "guard" for one that may fail (`try: import x`).
    """

    base: str | Imported
    attrs: tuple[str, ...] = ()
    use: Use = "read"


@dataclass(frozen=True, slots=True)
class Form:
    """A function's normal form.

    Attributes:
        pieces: The form itself, cut where the slots are: one more than there are slots.
        slots: Which of the refs stands between each two pieces.
        refs: What the slots refer to, in the order in which they first appear.
        reads_doc: The code may look at docstrings, so those count wherever it reaches.
        reads_annotations: The same for annotations.
        reads_subclasses: The code may ask a class for its subclasses, so those of every class that it reaches count.
    """

    pieces: tuple[bytes, ...]
    slots: tuple[int, ...]
    refs: tuple[Ref, ...]
    reads_doc: bool = False
    reads_annotations: bool = False
    reads_subclasses: bool = False


def form_of(node: FunctionNode) -> Form:
    """The normal form of a function or lambda, defaults and decorators apart: those count as live values."""
    former = _Former()
    former.function(node)
    return former.form()


class _Scope(NamedTuple):
    bound: Bound
    is_class: bool


class _Former:
    def __init__(self) -> None:
        self._out: list[str] = []
        self._cuts: list[int] = []
        self._slots: list[int] = []
        self._refs: dict[Ref, int] = {}
        self._scopes: list[_Scope] = []
        self._imports_read: list[set[str]] = []
        self._words: set[str] = set()

    def form(self) -> Form:
        ends = [0, *self._cuts, len(self._out)]
        return Form(
            tuple("".join(self._out[a:b]).encode("utf-8", "surrogatepass") for a, b in itertools.pairwise(ends)),
            tuple(self._slots),
            tuple(self._refs),
            not self._words.isdisjoint(_DOC_NAMES),
            not self._words.isdisjoint(_ANNOTATION_NAMES),
            "__subclasses__" in self._words,
        )

    # ------------------------------------------------------------ functions and classes

    def function(self, node: FunctionNode) -> None:
        """A function in a scope of its own; what belongs to the scope around it is written by the caller."""
        self._out.append(f"({type(node).__name__} '{getattr(node, 'name', '')} ")
        self._parameters(node.args)
        self._enter(node, bound_in_function(node), is_class=False)
        if isinstance(node, ast.Lambda):
            self._value(node.body)
        else:
            self._body(node.body)
        self._leave()
        self._out.append(")")

    def _parameters(self, args: ast.arguments) -> None:
        kinds = (
            ("/", args.posonlyargs),
            ("", args.args),
            ("*", [args.vararg]),
            ("k", args.kwonlyargs),
            ("**", [args.kwarg]),
        )
        for kind, group in kinds:
            self._out.extend(f"{kind}'{arg.arg} " for arg in group if arg is not None)

    def _nested_function(self, node: FunctionNode) -> None:
        self._out.append("(def")
        self._field("decorators", getattr(node, "decorator_list", []))
        self._field("defaults", node.args.defaults)
        self._field("kw_defaults", node.args.kw_defaults)
        if not isinstance(node, ast.Lambda) and not all(map(_leaves_annotations, node.decorator_list)):
            self._annotations(node)
        self.function(node)
        self._out.append(")")

    def _annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A decorator may read them (singledispatch's register, a validator)."""
        for arg in ast.walk(node.args):
            if isinstance(arg, ast.arg):
                self._field(arg.arg, arg.annotation)
        self._field("returns", node.returns)

    def _nested_class(self, node: ast.ClassDef) -> None:
        self._out.append(f"(class '{node.name}")
        self._field("decorators", node.decorator_list)
        self._field("bases", node.bases)
        self._field("keywords", node.keywords)
        self._enter(node, bound_in_class(node), is_class=True)
        self._body(node.body)
        self._leave()
        self._out.append(")")

    def _enter(self, node: ast.AST, bound: Bound, *, is_class: bool) -> None:
        self._scopes.append(_Scope(bound, is_class))
        self._imports_read.append(_names_read(node) if any(bound.names.values()) else set())

    def _leave(self) -> None:
        self._scopes.pop()
        self._imports_read.pop()

    def _body(self, body: Sequence[ast.stmt]) -> None:
        self._out.append("[")
        for statement in body:
            if not _says_nothing(statement):
                self._value(statement)
        self._out.append("]")

    # ------------------------------------------------------------ any node

    def _value(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self._node(value)
        elif isinstance(value, list):
            if value and isinstance(value[0], ast.stmt):
                self._body(value)
                return
            self._out.append("[")
            for item in value:
                self._value(item)
            self._out.append("]")
        elif value is None:
            self._out.append("~")
        else:
            self._out.append(f"'{value} " if isinstance(value, str) else f"#{value} ")

    def _field(self, name: str, value: object) -> None:
        if value is not None and value != []:
            self._out.append(f" {name}:")
            self._value(value)

    def _node(self, node: ast.AST) -> None:
        special = _WRITERS.get(type(node))
        if special is None:
            self._generic(node)
        else:
            special(self, node)

    def _generic(self, node: ast.AST) -> None:
        kind = type(node)
        fields = _fields.get(kind)
        if fields is None:
            fields = _fields[kind] = tuple(name for name in kind._fields if name not in _DROPPED)
        self._out.append(f"({kind.__name__}")
        for name in fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                self._out.append(f" {name}:")
                self._value(value)
        self._out.append(")")

    def _scope_statement(self, node: ast.Global | ast.Nonlocal) -> None:
        self._out.append(f"({type(node).__name__} {' '.join(sorted(node.names))})")

    def _augmented(self, node: ast.AugAssign) -> None:
        """`counter += 1` reads the global that it changes."""
        name = node.target.id if isinstance(node.target, ast.Name) else None
        if name is None or self._resolve(name) is not _OUTSIDE:
            self._generic(node)
            return
        self._out.append("(reads ")
        self._slot(Ref(name))
        self._generic(node)
        self._out.append(")")

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        match value:
            case None | True | False:
                text = f"{value}"
            case int():
                text = f"i{value:x}"
            case float():
                text = f"f{value.hex()}"
            case complex():
                text = f"c{value.real.hex()},{value.imag.hex()}"
            case str():
                text = f"s{len(value)}:{value}"
                if value.startswith("__"):
                    self._words.add(value)
            case bytes():
                text = f"b{value.hex()}"
            case _:
                text = "..."
        self._out.append(f"({text})")

    def _annotated(self, node: ast.AnnAssign) -> None:
        in_class = bool(self._scopes) and self._scopes[-1].is_class
        if not in_class:
            if node.value is not None:
                self._value(ast.Assign(targets=[node.target], value=node.value))
            return
        self._out.append("(AnnAssign")
        self._field("target", node.target)
        self._field("of", node.annotation)
        self._field("value", node.value)
        self._out.append(")")

    def _comprehension(self, node: ComprehensionNode) -> None:
        self._out.append(f"({type(node).__name__}")
        first, *others = node.generators
        self._field("over", first.iter)  # evaluated in the scope around
        self._enter(node, bound_in_comprehension(node), is_class=False)
        self._field("target", first.target)
        self._field("ifs", first.ifs)
        self._out.append(f" async:{first.is_async}")
        self._field("generators", others)
        for name in ("key", "value", "elt"):
            self._field(name, getattr(node, name, None))
        self._leave()
        self._out.append(")")

    # ------------------------------------------------------------ references

    def _reference(self, node: ast.Name | ast.Attribute) -> None:
        ref = self._ref(node)
        if ref is not None:
            self._slot(ref)
        elif isinstance(node, ast.Attribute):
            self._words.add(node.attr)
            self._generic(node)
        elif self._resolve(node.id) is _OUTSIDE:
            self._out.append(f"(outside '{node.id})")
        else:
            self._out.append(f"'{node.id} ")
            if self._scopes[-1].is_class and isinstance(node.ctx, ast.Load):
                self._slot(Ref(node.id))  # a class body reads the global of that name until it binds its own

    def _ref(self, node: ast.expr) -> Ref | None:
        """The reference that this expression is, if it leaves the function."""
        attrs: list[str] = []
        while isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            attrs.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            return None
        meaning = self._resolve(node.id)
        if meaning is None:
            return None
        return Ref(node.id if meaning is _OUTSIDE else meaning, tuple(reversed(attrs)))

    def _slot(self, ref: Ref) -> None:
        self._words.update(ref.attrs)
        if isinstance(ref.base, str):
            self._words.add(ref.base)
        self._cuts.append(len(self._out))
        self._slots.append(self._refs.setdefault(ref, len(self._refs)))

    def _resolve(self, name: str) -> Imported | None:
        """_OUTSIDE for a name of the module, the closure or the builtins; None for a local; else what its import binds."""
        for depth in range(len(self._scopes) - 1, -1, -1):
            bound, is_class = self._scopes[depth]
            if is_class and depth != len(self._scopes) - 1:
                continue
            if name in bound.global_names:
                return _OUTSIDE
            if name in bound.names:
                return bound.names[name]
        return _OUTSIDE

    # ------------------------------------------------------------ calls and imports that need a second look

    def _call(self, node: ast.Call) -> None:
        ref = self._ref(node.func)
        literal = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if (
            ref is not None
            and _last_word(ref) in _IMPORTERS
            and isinstance(literal, str)
            and not literal.startswith(".")
        ):
            self._out.append("(imports ")
            self._slot(ref._replace(use="literal"))
            self._slot(Ref(Imported(literal), use="effect"))
            self._generic(node)
            self._out.append(")")
        elif ref == Ref("getattr") and (read := self._literal_getattr(node)) is not None:
            self._out.append("(getattr ")
            self._slot(Ref("getattr", use="literal"))
            self._slot(read)
            self._field("default", node.args[2:])
            self._out.append(")")
        else:
            self._generic(node)

    def _literal_getattr(self, node: ast.Call) -> Ref | None:
        """`getattr(helpers, "norm")` is `helpers.norm`."""
        if node.keywords or len(node.args) not in (2, 3):
            return None
        ref, name = self._ref(node.args[0]), node.args[1]
        if ref is None or not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            return None
        return ref._replace(attrs=(*ref.attrs, name.value))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import whose name is read elsewhere says nothing more; the others stay, as what they import."""
        for name, imported in imports_of(node, guarded=False):
            known = self._scopes[-1].bound.names.get(name)
            is_read = known is not None and name in self._imports_read[-1]
            if is_read and known is not None and not known.guarded:
                continue
            whole = imported if isinstance(node, ast.ImportFrom) else Imported(_full_name(node, name))
            self._out.append(f"(import '{name} ")
            self._slot(Ref(whole, use="guard" if is_read else "effect"))
            self._out.append(")")


_WRITERS: dict[type[ast.AST], Callable[[_Former, Any], None]] = {
    ast.Name: _Former._reference,
    ast.Attribute: _Former._reference,
    ast.Constant: _Former._constant,
    ast.FunctionDef: _Former._nested_function,
    ast.AsyncFunctionDef: _Former._nested_function,
    ast.Lambda: _Former._nested_function,
    ast.ClassDef: _Former._nested_class,
    ast.ListComp: _Former._comprehension,
    ast.SetComp: _Former._comprehension,
    ast.DictComp: _Former._comprehension,
    ast.GeneratorExp: _Former._comprehension,
    ast.AnnAssign: _Former._annotated,
    ast.AugAssign: _Former._augmented,
    ast.Call: _Former._call,
    ast.Import: _Former._import,
    ast.ImportFrom: _Former._import,
    ast.Global: _Former._scope_statement,
    ast.Nonlocal: _Former._scope_statement,
}
_fields: dict[type[ast.AST], tuple[str, ...]] = {}

_OUTSIDE = Imported("", -1)
"""Not an import: the mark of a name that no scope of the function binds."""


def _names_read(node: ast.AST) -> set[str]:
    """Every name that is read anywhere below; a nested scope may read the name of this one."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)}


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AnnAssign):
        return False
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _leaves_annotations(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    word = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return word in _PLAIN_DECORATORS


def _last_word(ref: Ref) -> str:
    if ref.attrs:
        return ref.attrs[-1]
    return ref.base if isinstance(ref.base, str) else ref.base.name or ""


def _full_name(node: ast.Import, bound: str) -> str:
    return next(alias.name for alias in node.names if (alias.asname or alias.name.partition(".")[0]) == bound)
