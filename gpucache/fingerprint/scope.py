"""Which names a piece of syntax binds, by Python's rules of scope. Pure: a tree in, names out.

`symtable` would answer the same but needs the text compiled once more, and says nothing of imports. A name that one import
statement binds, and nothing else in its scope, stands for what it imports; so `from helpers import norm` inside a body and
`helpers.norm` above it are the same reference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

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

    def visit(self, node: ast.AST, *, guarded: bool) -> None:  # one case for each form that binds names
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.bind(node.name)
                self._all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults], guarded=guarded)
            case ast.ClassDef():
                self.bind(node.name)
                self._all(
                    [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)], guarded=guarded
                )
            case ast.Lambda():
                self._all([*node.args.defaults, *node.args.kw_defaults], guarded=guarded)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for inner in ast.walk(node):
                    if isinstance(inner, ast.NamedExpr):
                        self.bind(inner.target.id)
            case ast.Name():
                if not isinstance(node.ctx, ast.Load):
                    self.bind(node.id)
            case ast.Import() | ast.ImportFrom():
                for name, imported in imports_of(node, guarded=guarded):
                    self.bind(name, imported)
            case ast.Global():
                self._globals.update(node.names)
            case ast.Nonlocal():
                self._nonlocals.update(node.names)
            case _:
                self._bind_pattern(node)
                guarded = guarded or isinstance(node, ast.Try | ast.TryStar)
                self._all(ast.iter_child_nodes(node), guarded=guarded)

    def _bind_pattern(self, node: ast.AST) -> None:
        name = None
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            name = node.name
        elif isinstance(node, ast.MatchMapping):
            name = node.rest
        if name is not None:
            self.bind(name)

    def _all(self, nodes: Iterable[ast.AST | None], *, guarded: bool) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node, guarded=guarded)


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
