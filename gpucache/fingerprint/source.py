"""The syntax that a live function was compiled from, or nothing: never the text of an edited file for old code.

A file is read when the first of its functions is looked at, and that text is kept. It is believed for a code object only if
compiling it gives this code again, wherever in the file it stands now; so an edit elsewhere in the file does no harm, and
an edit of the function itself makes it one without source. A file that changed (importlib.reload, a cell run again) is
read again beside what was kept.

Only a body is ever taken from a text: defaults, decorators, annotations and a class's attributes count as they live, since
nothing about them could be proven. Compared to trusting .pyc files: their time stamps are whole seconds, so two edits in one
second look alike (and Python itself then runs old code with new text on disk; we must not be fooled by it).
"""

from __future__ import annotations

import ast
import bisect
import importlib.abc
import importlib.util
import linecache
import os
import threading
import types
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gpucache.fingerprint.code_form import same_but_for_place
from gpucache.fingerprint.rewritten import Rewriting, rewriting
from gpucache.fingerprint.scope import FunctionNode, children, imports_of

_FUTURE_FLAGS = 0x1FE0000
"""CO_FUTURE_DIVISION to CO_FUTURE_ANNOTATIONS in co_flags: they decide what a text compiles to (CPython's code.h)."""


@dataclass(slots=True)
class _Statement:
    """Top-level statements and, once asked for, the code objects they compile to."""

    nodes: list[ast.stmt]
    line: int = 0
    codes: dict[tuple[int, bool], list[types.CodeType]] = field(default_factory=dict)
    places: list[_Place] | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    node: FunctionNode
    name: str
    qualname: str
    statement: _Statement


@dataclass(frozen=True, slots=True)
class Found:
    """The syntax of a function, and the text that it stands in."""

    node: FunctionNode
    text: Text


class Text:
    """One text of one file, as it was once read. Parsed when first searched."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self.text = text
        self._statements: list[_Statement] | None = None
        self._whole = _Statement([])
        self._class_lines: dict[str, int] = {}

    def find(self, code: types.CodeType, rewritten: Rewriting | None = None) -> FunctionNode | None:
        """The function of this text that compiles to `code`, as it stands or as pytest rewrote it, if there is one."""
        near = self._statement_at(code.co_firstlineno)
        node = None if near is None else self._find_in([near], code, None)
        node = self._find_in(self._parsed(), code, None) if node is None else node
        return self._find_in(self._parsed(), code, rewritten) if node is None and rewritten is not None else node

    def _find_in(
        self, statements: list[_Statement], code: types.CodeType, rewritten: Rewriting | None
    ) -> FunctionNode | None:
        places = [place for statement in statements for place in self._places(statement) if place.name == code.co_name]
        if code.co_name == "<lambda>" and not _has_columns(code):
            lines = [_first_line(place.node) for place in places]
            places = [place for place in places if lines.count(_first_line(place.node)) == 1]
        flags = code.co_flags & _FUTURE_FLAGS
        for place in sorted(places, key=lambda place: _distance(place, code)):
            if _first_line(place.node) != code.co_firstlineno and place.qualname != code.co_qualname:
                continue
            for statement in (place.statement, self._whole):
                compiled = self._compiled(place, statement, flags, rewritten)
                if any(same_but_for_place(one, code) for one in compiled):
                    return place.node
        return None

    def line_of_class(self, qualname: str) -> int | None:
        """Where a class of this name begins."""
        lines = self._class_lines
        if qualname not in lines:
            for statement in self._parsed():
                self._places(statement)
        return lines.get(qualname)

    def _statement_at(self, line: int) -> _Statement | None:
        statements = self._parsed()
        index = bisect.bisect_right(statements, line, key=lambda statement: statement.line) - 1
        return statements[index] if index >= 0 else None

    def _parsed(self) -> list[_Statement]:
        if self._statements is None:
            self._statements = []
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(self.text)
            except (SyntaxError, ValueError, RecursionError):
                return self._statements
            self._whole.nodes = tree.body
            imports = _imports(tree)
            self._statements += [_Statement([*imports, node], _line_of_statement(node)) for node in tree.body]
        return self._statements

    def _places(self, statement: _Statement) -> list[_Place]:
        """The functions within a statement, indexed when first asked for."""
        if statement.places is None:
            statement.places = []
            waiting: list[tuple[ast.AST, str]] = [(statement.nodes[-1], "")]
            while waiting:
                node, scope = waiting.pop()
                if isinstance(node, FunctionNode):
                    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                    statement.places.append(_Place(node, name, scope + name, statement))
                    scope = f"{scope}{name}.<locals>."
                elif isinstance(node, ast.ClassDef):
                    self._class_lines[scope + node.name] = node.lineno
                    scope = f"{scope}{node.name}."
                waiting += [(child, scope) for child in children(node)]
        return statement.places

    def _compiled(
        self, place: _Place, statement: _Statement, flags: int, rewritten: Rewriting | None
    ) -> Iterator[types.CodeType]:
        """The code objects that may be this place's: same name, same first line; of lambdas, those from within it."""
        codes = statement.codes.get((flags, rewritten is not None))
        if codes is None:
            codes = self._compile(statement.nodes, flags, rewritten)
            statement.codes[flags, rewritten is not None] = codes
        line = _first_line(place.node)
        for code in codes:
            if code.co_name == place.name and code.co_firstlineno == line and _lies_in(code, place.node):
                yield code

    def _compile(self, nodes: list[ast.stmt], flags: int, rewritten: Rewriting | None) -> list[types.CodeType]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = (
                    ast.Module(nodes, type_ignores=[]) if rewritten is None else rewritten(nodes, self.text, self._file)
                )
                return list(_inner_codes(compile(module, self._file, "exec", flags=flags, dont_inherit=True)))
        except (SyntaxError, ValueError, RecursionError):  # a cell's top-level await
            return []


class Sources:
    """The texts of this process's code, each kept as it was when first read. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._texts: dict[str, list[Text]] = {}
        self._stamps: dict[str, object] = {}
        self._found: dict[int, tuple[types.CodeType, Found | None]] = {}

    def find(self, code: types.CodeType, namespace: Mapping[str, object]) -> Found | None:
        """The syntax that `code` was compiled from; None if there is none that compiles to it.

        Args:
            namespace: The globals of the function; its module's loader may have the text.
        """
        with self._lock:
            known = self._found.get(id(code))  # not by equality: equal code may stand in several files
            if known is None or known[0] is not code:
                known = self._found[id(code)] = (code, self._search(code, namespace))
            return known[1]

    def learn(self, file: str, text: str) -> None:
        """Keep a text that another process has found functions of this file in."""
        with self._lock:
            kept = self._texts.setdefault(file, [])
            if not any(text == known.text for known in kept):
                kept.append(Text(file, text))
                self._found.clear()  # what was not found may be found now

    def line_of_class(self, file: str, qualname: str) -> int | None:
        """Where a class begins in a file that a function was found in; None if none was."""
        with self._lock:
            lines = (text.line_of_class(qualname) for text in reversed(self._texts.get(file, ())))
            return next((line for line in lines if line is not None), None)

    def _search(self, code: types.CodeType, namespace: Mapping[str, object]) -> Found | None:
        file, rewritten = code.co_filename, rewriting(namespace)
        for text in reversed(self._texts.get(file, ())):
            node = text.find(code, rewritten)
            if node is not None:
                return Found(node, text)
        fresh = self._read_again(file, namespace)
        node = None if fresh is None else fresh.find(code, rewritten)
        return None if fresh is None or node is None else Found(node, fresh)

    def _read_again(self, file: str, namespace: Mapping[str, object]) -> Text | None:
        stamp = _stamp(file)
        if stamp is not None and self._stamps.get(file) == stamp:
            return None
        self._stamps[file] = stamp
        text = _read(file, namespace)
        kept = self._texts.setdefault(file, [])
        if text is None or any(text == known.text for known in kept):
            return None
        kept.append(Text(file, text))
        return kept[-1]

    def keep(self, file: str, namespace: Mapping[str, object]) -> None:
        """Keep the text of a file as it is now, for when its functions will be looked at."""
        with self._lock:
            if file not in self._stamps:
                self._read_again(file, namespace)


def _stamp(file: str) -> object:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _read(file: str, namespace: Mapping[str, object]) -> str | None:
    """The text of a module: from its loader if that is not the ordinary one, from the file, or from a cell's cache."""
    loader, name = namespace.get("__loader__"), namespace.get("__name__")
    if isinstance(loader, importlib.abc.InspectLoader) and isinstance(name, str) and namespace.get("__file__") == file:
        is_ordinary = isinstance(loader, importlib.abc.FileLoader)
        if not is_ordinary:
            try:
                return loader.get_source(name)
            except (ImportError, OSError):
                return None
    try:
        with open(file, "rb") as opened:
            return importlib.util.decode_source(opened.read())
    except (OSError, UnicodeDecodeError, SyntaxError):
        lines = linecache.getlines(file, dict(namespace))
        return "".join(lines) if lines else None


def _imports(tree: ast.Module) -> list[ast.stmt]:
    """One import of all names that the module's own level imports: a call through such a name is compiled differently."""
    names: dict[str, None] = {}
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update((name, None) for name, _ in imports_of(node, guarded=False) if name != "*")
        elif not isinstance(node, ast.ClassDef | ast.expr | ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))
    if not names:
        return []
    statement = ast.Import([ast.alias("sys", name) for name in names])
    return [ast.fix_missing_locations(ast.copy_location(statement, tree.body[0]))]


def _inner_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _inner_codes(constant)


def _line_of_statement(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min(node.lineno, *(decorator.lineno for decorator in decorators)) if decorators else node.lineno


def _first_line(node: FunctionNode) -> int:
    return node.lineno if isinstance(node, ast.Lambda) else _line_of_statement(node)


def _distance(place: _Place, code: types.CodeType) -> tuple[int, bool, tuple[int, int]]:
    """Order of candidates: same line, same qualified name, and of nested lambdas the one that holds it most tightly."""
    node = place.node
    holds = _lies_in(code, node)
    extent = ((node.end_lineno or 0) - node.lineno, (node.end_col_offset or 0) - node.col_offset)
    return abs(_first_line(node) - code.co_firstlineno), not (place.qualname == code.co_qualname and holds), extent


def _lies_in(code: types.CodeType, node: FunctionNode) -> bool:
    """Whether a lambda's code comes from within this lambda's body: several may begin on one line."""
    if not isinstance(node, ast.Lambda):
        return True
    body = node.body
    start, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None or (column, end_column) == (0, 0):
            continue
        if (line, column) < start or (end_line, end_column) > end:
            return False
    return True


def _has_columns(code: types.CodeType) -> bool:
    """False under -X no_debug_ranges: then lambdas on one line can't be told apart."""
    return any(column is not None for _, _, column, _ in code.co_positions())


def source_segment(found: Found) -> str:
    """The function's text, decorators included."""
    lines = found.text.text.splitlines(keepends=True)
    return "".join(lines[_first_line(found.node) - 1 : found.node.end_lineno])
