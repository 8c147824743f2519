"""The syntax tree of a live function or class, from the text that it was made from, or not at all.

A file may have been edited since it was imported. So its text is believed only for code objects that compiling it gives
again, to the letter: new text is never lent to old code. What can't be believed is known by its code object.
"""

from __future__ import annotations

import ast
import linecache
import os
import warnings
from dataclasses import dataclass
from types import CodeType

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Text:
    """One file or cell as it was read: its tree, and every code object that it compiles to."""

    tree: ast.Module
    codes: frozenset[CodeType]
    nodes: dict[int, list[FunctionNode]]
    classes: dict[tuple[str, int], ast.ClassDef]


class Sources:
    """The texts of the modules seen, each read when it is first needed. Any thread may call any method."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[object, Text | None]] = {}

    def function(self, code: CodeType) -> FunctionNode | None:
        """The syntax tree that `code` was compiled from; None if it can't be had for certain."""
        text = self._text(code.co_filename, code)
        if text is None or code not in text.codes:
            return None
        found = [node for node in text.nodes.get(code.co_firstlineno, ()) if _name(node) == code.co_name]
        if len(found) > 1:
            found = [node for node in found if _contains(node, code)]
        return min(found, key=_extent, default=None)

    def class_(self, cls: type, file: str) -> ast.ClassDef | None:
        """The syntax tree of a class, if it is the only one of its name in the file's text."""
        text = self._text(file, None)
        if text is None:
            return None
        found = [node for (name, _), node in text.classes.items() if name == cls.__qualname__]
        return found[0] if len(found) == 1 else None

    def _text(self, file: str, wanted: CodeType | None) -> Text | None:
        known = self._texts.get(file)
        if known is not None and (wanted is None or (known[1] is not None and wanted in known[1].codes)):
            return known[1]
        stamp = _stamp(file)
        if known is not None and known[0] == stamp:
            return known[1]
        text = _read(file)
        # A text that does not fit the code that asks must not replace one that fits the code before it.
        if known is None or known[1] is None or (text is not None and wanted in text.codes):
            self._texts[file] = (stamp, text)
            return text
        return known[1]


def _stamp(file: str) -> object:
    try:
        status = os.stat(file)
    except OSError:
        return len(linecache.getlines(file))
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: str) -> Text | None:
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError):
        text = "".join(linecache.getlines(file))
    if not text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            compiled = compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    nodes: dict[int, list[FunctionNode]] = {}
    classes: dict[tuple[str, int], ast.ClassDef] = {}
    _index(tree, "", nodes, classes)
    return Text(tree, frozenset(_all_codes(compiled)), nodes, classes)


def _index(
    node: ast.AST, scope: str, nodes: dict[int, list[FunctionNode]], classes: dict[tuple[str, int], ast.ClassDef]
) -> None:
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes.setdefault(_first_line(child), []).append(child)
            inner = f"{scope}{_name(child)}.<locals>."
        elif isinstance(child, ast.ClassDef):
            classes[scope + child.name, child.lineno] = child
            inner = f"{scope}{child.name}."
        _index(child, inner, nodes, classes)


def _all_codes(code: CodeType) -> list[CodeType]:
    found = [code]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _all_codes(constant)
    return found


def _first_line(node: FunctionNode) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _name(node: FunctionNode) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _contains(node: FunctionNode, code: CodeType) -> bool:
    """Whether every instruction of code comes from within node: tells lambdas on one line apart."""
    start, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
    for line, end_line, column, end_column in code.co_positions():
        if None in (line, end_line, column, end_column) or (column, end_column) == (0, 0):
            continue
        if (line, column) < start or (end_line, end_column) > end:  # type: ignore[operator]  # None was ruled out above
            return False
    return True


def _extent(node: FunctionNode) -> tuple[int, int]:
    return (node.end_lineno or 0) - node.lineno, (node.end_col_offset or 0) - node.col_offset
