"""Which names a piece of syntax binds, by Python's rules of scope. Pure: a tree in, names out.

`symtable` would answer the same but needs the text compiled once more, and says nothing of imports. A name that one import
statement binds, and nothing else in its scope, stands for what it imports; so `from helpers import norm` inside a body and
`helpers.norm` above it are the same reference.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
ComprehensionNode = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Imported(NamedTuple):
    """What an import statement inside a body binds.

    Attributes:
        module: As written, `a.b.c`; "" for `from . import x`.
        level: Dots before it.
        name: After `from module import`; None for `import module`.
        guarded: Inside a `try`: whether it succeeds is part of what the function does.
    """

    module: str
    level: int = 0
    name: str | None = None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """The names of one scope: each bound by an import alone (what it imports) or otherwise (None)."""

    names: Mapping[str, Imported | None]
    global_names: frozenset[str] = frozenset()
    nonlocal_names: frozenset[str] = frozenset()


def bound_in_function(node: FunctionNode) -> Bound:
    """The names of a function's own scope: parameters and whatever its body binds."""
    found = _Collector()
    args = node.args
    for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
        if arg is not None:
            found.bind(arg.arg)
    for child in [node.body] if isinstance(node, ast.Lambda) else node.body:
        found.visit(child, guarded=False)
    return found.bound()


def bound_in_class(node: ast.ClassDef) -> Bound:
    """The names of a class body's scope."""
    found = _Collector()
    for child in node.body:
        found.visit(child, guarded=False)
    return found.bound()


def bound_in_comprehension(node: ComprehensionNode) -> Bound:
    """The names that a comprehension's own loops bind (a walrus inside binds outside)."""
    found = _Collector()
    for generator in node.generators:
        found.visit(generator.target, guarded=False)
    return found.bound()


class _Collector:
    def __init__(self) -> None:
        self._names: dict[str, Imported | None] = {}
        self._globals: set[str] = set()
        self._nonlocals: set[str] = set()

    def bound(self) -> Bound:
        outside = self._globals | self._nonlocals
        names = {name: imported for name, imported in self._names.items() if name not in outside}
        return Bound(names, frozenset(self._globals), frozenset(self._nonlocals))

    def bind(self, name: str, imported: Imported | None = None) -> None:
        known = self._names.get(name, imported)
        self._names[name] = imported if known == imported else None

    def visit(self, node: ast.AST, *, guarded: bool) -> None:
        """Bind what this node binds in this scope; nested scopes bind only their names here."""
        special = _BINDERS.get(type(node))
        if special is not None:
            special(self, node, guarded)
            return
        for child in children(node):
            self.visit(child, guarded=guarded)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, guarded: bool) -> None:
        self.bind(node.name)
        self._all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults], guarded)

    def _class(self, node: ast.ClassDef, guarded: bool) -> None:
        self.bind(node.name)
        self._all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)], guarded)

    def _lambda(self, node: ast.Lambda, guarded: bool) -> None:
        self._all([*node.args.defaults, *node.args.kw_defaults], guarded)

    def _comprehension(self, node: ast.AST, guarded: bool) -> None:  # what all binders take
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self.bind(inner.target.id)

    def _name(self, node: ast.Name, guarded: bool) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)

    def _import(self, node: ast.Import | ast.ImportFrom, guarded: bool) -> None:
        for name, imported in imports_of(node, guarded=guarded):
            self.bind(name, imported)

    def _global(self, node: ast.Global, guarded: bool) -> None:
        self._globals.update(node.names)

    def _nonlocal(self, node: ast.Nonlocal, guarded: bool) -> None:
        self._nonlocals.update(node.names)

    def _pattern(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping, guarded: bool) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name is not None:
            self.bind(name)
        self._all(children(node), guarded)

    def _try(self, node: ast.Try | ast.TryStar, guarded: bool) -> None:
        self._all(children(node), guarded=True)

    def _all(self, nodes: Iterable[ast.AST | None], guarded: bool) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node, guarded=guarded)


_BINDERS: dict[type[ast.AST], Callable[[_Collector, Any, bool], None]] = {
    ast.FunctionDef: _Collector._function,
    ast.AsyncFunctionDef: _Collector._function,
    ast.ClassDef: _Collector._class,
    ast.Lambda: _Collector._lambda,
    ast.ListComp: _Collector._comprehension,
    ast.SetComp: _Collector._comprehension,
    ast.DictComp: _Collector._comprehension,
    ast.GeneratorExp: _Collector._comprehension,
    ast.Name: _Collector._name,
    ast.Import: _Collector._import,
    ast.ImportFrom: _Collector._import,
    ast.Global: _Collector._global,
    ast.Nonlocal: _Collector._nonlocal,
    ast.ExceptHandler: _Collector._pattern,
    ast.MatchAs: _Collector._pattern,
    ast.MatchStar: _Collector._pattern,
    ast.MatchMapping: _Collector._pattern,
    ast.Try: _Collector._try,
    ast.TryStar: _Collector._try,
}

_LEAVES = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "names", "kind", "type_comment", "level", "module"})
"""Fields that hold no node, or only nodes without content of their own (operators)."""

_child_fields: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: (), ast.Name: ()}


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below, operators and contexts apart. ast.iter_child_nodes, three times as fast."""
    kind = type(node)
    fields = _child_fields.get(kind)
    if fields is None:
        fields = _child_fields[kind] = tuple(field for field in kind._fields if field not in _LEAVES)
    found: list[ast.AST] = []
    for field in fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def imports_of(node: ast.Import | ast.ImportFrom, *, guarded: bool) -> Iterable[tuple[str, Imported]]:
    """The names that an import statement binds, each with what it stands for."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, Imported(node.module or "", node.level, alias.name, guarded=guarded)
        elif alias.asname is not None:
            yield alias.asname, Imported(alias.name, guarded=guarded)
        else:
            top = alias.name.partition(".")[0]  # `import a.b.c` binds `a`; the chain `a.b.c.f` finds the rest
            yield top, Imported(top, guarded=guarded)
