"""Whether a text is what a live module was made from."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator

from gpucache.fingerprint.rewritten import rewriting


def matches(module: types.ModuleType, text: str, file: str) -> bool:
    """Whether compiling the text (as pytest does, where it did) gives the live functions, and its literals are the live constants."""
    rewritten = rewriting(vars(module))
    try:
        tree = ast.parse(text)
        source = text if rewritten is None else rewritten(tree.body, text, file)
        compiled = set(_codes(compile(source, file, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return False
    live = set(_live_codes(module))
    return live <= compiled and _constants_agree(module, tree)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _live_codes(module: types.ModuleType) -> Iterator[types.CodeType]:
    todo: list[object] = list(vars(module).values())
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, type):
            if item.__module__ == module.__name__:
                todo.extend(vars(item).values())
        elif isinstance(item, (staticmethod, classmethod)):
            todo.append(item.__func__)
        elif isinstance(item, property):
            todo.extend((item.fget, item.fset, item.fdel))
        elif isinstance(item, types.FunctionType) and item.__code__.co_filename == module.__file__:
            yield item.__code__
        todo.extend(_wrapped(item))


def _wrapped(item: object) -> Iterator[object]:
    if not isinstance(item, (type, types.ModuleType)):
        try:
            inner = vars(item).get("__wrapped__")
        except TypeError:
            return
        if inner is not None:
            yield inner


def _constants_agree(module: types.ModuleType, tree: ast.Module) -> bool:
    """Whether each top-level `NAME = literal`, assigned once, has its value; what is computed is not looked at."""
    assigned: dict[str, list[ast.expr | None]] = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(node.value)
    for name, values in assigned.items():
        if len(values) != 1 or values[0] is None:
            continue
        try:
            literal = ast.literal_eval(values[0])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if name not in vars(module) or repr(vars(module)[name]) != repr(literal):
            return False
    return True
