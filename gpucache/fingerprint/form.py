"""A syntax tree as bytes that are equal where the code does the same: positions, comments, docstrings, annotations are free.

A name or a chain of attributes that leads out of the code (a helper, a constant, a library's function) is written as what it
leads to, not as it is spelled: `norm(x)` and `helpers.norm(x)` are one. Who resolves them is given; this file knows no live
objects.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable, Iterator
from typing import Any

Resolve = Callable[[str, tuple[str, ...]], tuple[bytes, int] | None]
"""(name, attributes after it) -> what to write for it, and how many of the attributes that covers; None: as it is spelled."""

_IGNORED_FIELDS = frozenset({"lineno", "col_offset", "end_lineno", "end_col_offset", "ctx", "type_comment", "kind"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class NormalForm:
    """The walk over one tree. `out` is the form when it is done."""

    def __init__(self, resolve: Resolve, *, keep_docstrings: bool = False) -> None:
        self.out = bytearray()
        self._resolve = resolve
        self._keep_docstrings = keep_docstrings
        self._scopes: list[tuple[bool, set[str]]] = []  # (whether it is a class's, its names)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """A function without its name, its decorators and its defaults: those count as live values, or not at all."""
        self._scopes.append((False, bound_names(node)))
        self.out += type(node).__name__.encode()
        self._parameters(node.args)
        if isinstance(node, ast.Lambda):
            self._node(node.body)
        else:
            self._body(node.body)
        self._scopes.pop()

    def class_body(self, node: ast.ClassDef) -> None:
        """What a class says beside its functions, which count one by one: fields, annotations, values, keywords."""
        for decorator in node.decorator_list:
            self._node(decorator)
        for keyword in node.keywords:
            self._node(keyword)
        self._scopes.append((True, bound_names(node)))
        for statement in _without_docstring(node.body, keep=self._keep_docstrings):
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._node(statement, annotations=True)
        self._scopes.pop()

    def _parameters(self, arguments: ast.arguments) -> None:
        groups = (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)
        names = [[argument.arg for argument in group] for group in groups]
        rest = [argument.arg if argument else "" for argument in (arguments.vararg, arguments.kwarg)]
        self.out += repr((names, rest)).encode()

    def _body(self, body: list[ast.stmt]) -> None:
        statements = _without_docstring(body, keep=self._keep_docstrings)
        self.out += struct.pack("<I", len(statements))
        for statement in statements:
            self._node(statement)

    def _node(self, node: Any, *, annotations: bool = False) -> None:
        if isinstance(node, ast.Name | ast.Attribute) and self._reference(node):
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.out += b"import;"  # what it binds is written where it is used
        elif isinstance(node, ast.AnnAssign) and not annotations:
            self._plain_assignment(node)
        elif isinstance(node, ast.Constant):
            self.out += f"{type(node.value).__name__}:{node.value!r};".encode("utf-8", "surrogatepass")
        elif isinstance(node, _SCOPES):
            self._scope(node)
        else:
            self._fields(node, annotations=annotations)

    def _scope(self, node: Any) -> None:
        if isinstance(node, _FUNCTIONS):
            for part in _outside(node):
                self._node(part)
            self.out += (node.name if not isinstance(node, ast.Lambda) else "").encode() + b";"
            self.function(node)
            return
        self._scopes.append((isinstance(node, ast.ClassDef), bound_names(node)))
        self._fields(node, annotations=isinstance(node, ast.ClassDef))
        self._scopes.pop()

    def _plain_assignment(self, node: ast.AnnAssign) -> None:
        """`x: int = 1` is `x = 1`; `x: int` is nothing but a declaration."""
        if node.value is None:
            self.out += b"Declare:" + ast.unparse(node.target).encode()
        else:
            self._fields(ast.Assign(targets=[node.target], value=node.value))

    def _fields(self, node: ast.AST, *, annotations: bool = False) -> None:
        self.out += type(node).__name__.encode() + b"("
        for name, value in ast.iter_fields(node):
            if name in _IGNORED_FIELDS:
                continue
            self.out += name.encode() + b"="
            self._value(value, annotations=annotations)
        self.out += b")"

    def _value(self, value: Any, *, annotations: bool) -> None:
        if isinstance(value, ast.AST):
            self._node(value, annotations=annotations)
        elif isinstance(value, list):
            self.out += struct.pack("<I", len(value))
            for item in value:
                self._value(item, annotations=annotations)
        else:
            self.out += repr(value).encode("utf-8", "surrogatepass") + b";"

    def _reference(self, node: ast.Name | ast.Attribute) -> bool:
        chain: list[str] = []
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            chain.append(root.attr)
            root = root.value
        if not isinstance(root, ast.Name) or not isinstance(root.ctx, ast.Load):
            return False
        # Python's own rule: a class's names are seen in its body, not in the functions within it.
        last = len(self._scopes) - 1
        if any(root.id in names for place, (is_class, names) in enumerate(self._scopes) if not is_class or place == last):
            return False
        chain.reverse()
        resolved = self._resolve(root.id, tuple(chain))
        if resolved is None:
            return False
        token, covered = resolved
        self.out += b"@" + struct.pack("<I", len(token)) + token
        for attribute in chain[covered:]:
            self.out += b"." + attribute.encode() + b";"
        return True


def bound_names(node: Any) -> set[str]:
    """Names that are the scope's own: its parameters and what it assigns, unless declared global or nonlocal.

    Names bound by imports are left out: they lead out of the code as globals do.
    """
    bound: set[str] = set()
    outer: set[str] = set()
    if isinstance(node, _FUNCTIONS):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        bound.update(argument.arg for argument in every if argument is not None)
    for child in _own_nodes(node):
        if isinstance(child, ast.Global | ast.Nonlocal):
            outer.update(child.names)
        elif isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
            bound.add(child.id)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(child.name)
        elif isinstance(child, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and child.name:
            bound.add(child.name)
        elif isinstance(child, ast.MatchMapping) and child.rest:
            bound.add(child.rest)
    return bound - outer


def _own_nodes(node: Any) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of the scopes within it (but with their names, decorators and defaults)."""
    body = [node.body] if isinstance(node, ast.Lambda) else list(ast.iter_child_nodes(node))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        body = list(node.body)
    waiting: list[ast.AST] = list(body)
    while waiting:
        child = waiting.pop()
        yield child
        if isinstance(child, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            waiting += [walrus.target for walrus in ast.walk(child) if isinstance(walrus, ast.NamedExpr)]
        elif isinstance(child, _FUNCTIONS):
            waiting += _outside(child)
        elif isinstance(child, ast.ClassDef):
            waiting += [*child.decorator_list, *child.bases]
        else:
            waiting += ast.iter_child_nodes(child)


def _outside(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.expr]:
    """What of a function is evaluated outside of it: decorators and defaults."""
    defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
    return defaults if isinstance(node, ast.Lambda) else [*node.decorator_list, *defaults]


def _without_docstring(body: list[ast.stmt], *, keep: bool) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if is_docstring and not keep else body
