"""The normal form and the analysis of scopes against Python itself, on all of the standard library's source."""

from __future__ import annotations

import ast
import json
import pathlib
import random
import symtable
import textwrap
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucache.fingerprint.code_form import form_of_code
from gpucache.fingerprint.normal_form import form_of
from gpucache.fingerprint.scope import FunctionNode
from gpucache.fingerprint.source import Text, _inner_codes

LIBRARY = pathlib.Path(json.__file__).parents[1]
FILES = sorted(path for path in LIBRARY.glob("*.py") if path.stat().st_size < 60_000)
DEEPER = [LIBRARY / "asyncio/tasks.py", LIBRARY / "email/header.py", LIBRARY / "concurrent/futures/thread.py"]
SAMPLE = [*random.Random(3).sample(FILES, 40), *DEEPER]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions at the top of a module, and the methods of its classes."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (item for item in inner if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))


def globals_by_symtable(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names that Python itself resolves outside of the function."""
    bare = type(function)(function.name, _without_annotations(function.args), function.body, [], lineno=1, col_offset=0)
    text = ast.unparse(ast.fix_missing_locations(ast.Module([bare], [])))
    [table] = [child for child in symtable.symtable(text, "x", "exec").get_children() if child.get_type() == "function"]
    found: set[str] = set()
    waiting = [table]
    while waiting:
        current = waiting.pop()
        found |= {
            symbol.get_name() for symbol in current.get_symbols() if symbol.is_global() and symbol.is_referenced()
        } - {"__class__"}
        waiting += current.get_children()
    return found


def _without_annotations(arguments: ast.arguments) -> ast.arguments:
    plain = ast.arguments(
        [ast.arg(a.arg) for a in arguments.posonlyargs],
        [ast.arg(a.arg) for a in arguments.args],
        ast.arg(arguments.vararg.arg) if arguments.vararg else None,
        [ast.arg(a.arg) for a in arguments.kwonlyargs],
        [None] * len(arguments.kwonlyargs),
        ast.arg(arguments.kwarg.arg) if arguments.kwarg else None,
        [],
    )
    return plain


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_names_that_leave_a_function_are_those_that_python_finds(path: pathlib.Path) -> None:
    """Every global that symtable finds is a slot, and every slot by name is one that symtable finds."""
    for function in functions(ast.parse(path.read_text())):
        annotated = any(isinstance(node, ast.AnnAssign) for node in ast.walk(function))
        nested = any(isinstance(n, ast.ClassDef | ast.FunctionDef) for n in ast.walk(function) if n is not function)
        slots = {ref.base for ref in form_of(function).refs if isinstance(ref.base, str)}
        if annotated or nested:  # annotations are no slots; a nested class reads a global before it binds the name
            assert slots >= globals_by_symtable(function) - _annotation_names(function), (path.name, function.name)
        else:
            assert slots == globals_by_symtable(function), (path.name, function.name)


def _annotation_names(function: ast.AST) -> set[str]:
    annotations = [
        node.annotation for node in ast.walk(function) if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation
    ]
    returns = [node.returns for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node.returns]
    return {name.id for part in (*annotations, *returns) for name in ast.walk(part) if isinstance(name, ast.Name)}


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_form_does_not_depend_on_how_code_is_written(path: pathlib.Path) -> None:
    """Unparsed and parsed again (no comments, other lines, other quotes, other parentheses), the form is the same."""
    tree = ast.parse(path.read_text())
    again = ast.parse(ast.unparse(tree))

    for one, other in zip(functions(tree), functions(again), strict=True):
        assert form_of(one) == form_of(other), (path.name, one.name)


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_two_functions_have_one_form_only_if_they_compile_alike(path: pathlib.Path) -> None:
    """Equal forms, equal bytecode but for docstrings and annotations: the form forgets nothing that counts."""
    tree = ast.parse(path.read_text())
    by_form: dict[object, object] = {}
    for function in functions(tree):
        form = form_of(function)
        bare = type(function)(
            function.name, _without_annotations(function.args), _bare(function.body), [], lineno=1, col_offset=0
        )
        code = compile(ast.fix_missing_locations(ast.Module([bare], [])), "x", "exec").co_consts[0]
        assert by_form.setdefault(form, form_of_code(code).pieces) == form_of_code(code).pieces, function.name


def _bare(body: list[ast.stmt]) -> list[ast.stmt]:
    kept = [
        s
        for s in body
        if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) and not isinstance(s, ast.Pass)
    ]
    return kept or [ast.Pass()]


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_every_function_is_found_in_its_text(path: pathlib.Path) -> None:
    """Each code object of a module finds its own node, wherever the text has moved to."""
    text = path.read_text()
    codes = [code for code in _inner_codes(compile(text, "x", "exec", dont_inherit=True)) if _is_function(code)]
    moved = Text("x", "import gpucache_is_not_here\n" * 3 + text if "__future__" not in text else text)
    here = Text("x", text)

    for code in codes:
        node = here.find(code)
        assert isinstance(node, FunctionNode), code.co_qualname
        assert getattr(node, "name", "<lambda>") == code.co_name
        if code.co_name != "<lambda>":
            assert moved.find(code) is not None, code.co_qualname


def _is_function(code: object) -> bool:
    name, flags = code.co_name, code.co_flags
    return bool(flags & 2) and (not name.startswith("<") or name == "<lambda>") and name != "__annotate__"


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "G", "H.a", "H.a.b", "1", "1.0", "True", "'s'", "b's'", "None", "-1"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "and", "or", "<", "is"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, max_size=3).map(lambda items: f"({', '.join(items)},)" if items else "()"),
        inner.map(lambda item: f"f({item})"),
        inner.map(lambda item: f"[v for v in {item} if v]"),
        inner.map(lambda item: f"(lambda y: {item})(1)"),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS, EXPRESSIONS)
def test_two_expressions_have_one_form_only_if_python_reads_them_alike(one: str, other: str) -> None:
    """The form of two functions is the same exactly where their trees are."""
    trees = [ast.parse(f"def f(x, y):\n    return {text}\n") for text in (one, other)]
    forms = [form_of(tree.body[0]) for tree in trees]

    assert (forms[0] == forms[1]) == (ast.dump(trees[0]) == ast.dump(trees[1]))


@given(EXPRESSIONS, st.integers(0, 3), st.booleans())
def test_layout_does_not_count(expression: str, lines: int, annotate: bool) -> None:
    """Blank lines, comments, a docstring, annotations and redundant parentheses leave the form as it is."""
    plain = f"def f(x, y):\n    z = {expression}\n    return z\n"
    busy = "\n" * lines + textwrap.dedent(
        f'''
        def f({"x: int, y: 'G' = 3" if annotate else "x, y"}){" -> G" if annotate else ""}:
            """Doc {lines}."""
            # a comment
            z{": int" if annotate else ""} = (({expression}))  # another
            pass
            return (z)
        '''
    )

    assert form_of(ast.parse(plain).body[0]) == form_of(ast.parse(busy).body[0])
