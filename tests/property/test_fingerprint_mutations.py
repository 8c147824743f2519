"""Mutants of the standard library's functions: one that compiles to other code has another form. A form that forgot something
would be a stale answer, so this looks for what it forgets.
"""

from __future__ import annotations

import ast
import copy
import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from gpucache.fingerprint.code_form import form_of_code
from gpucache.fingerprint.normal_form import form_of

LIBRARY = pathlib.Path(json.__file__).parents[1]
FILES = sorted(path for path in LIBRARY.glob("*.py") if 5_000 < path.stat().st_size < 60_000)
SAMPLE = random.Random(5).sample(FILES, 16)
MUTANTS_OF_EACH = 3


def another(kinds: tuple[type, ...], now: Any, rng: random.Random) -> Any:
    return rng.choice([kind for kind in kinds if not isinstance(now, kind)])()


def other_constant(node: ast.Constant, rng: random.Random) -> None:
    value: Any = node.value
    node.value = (
        not value
        if isinstance(value, bool)
        else value + 1
        if isinstance(value, int | float)
        else value + b"x"
        if isinstance(value, bytes)
        else value + "x"
        if isinstance(value, str)
        else 0
    )


def set_to(**fields: Any) -> Callable[[Any, random.Random], None]:
    def mutate(node: Any, rng: random.Random) -> None:
        for name, value in fields.items():
            setattr(node, name, value(node, rng))

    return mutate


def dropped(items: list[Any], rng: random.Random) -> list[Any]:
    return [item for place, item in enumerate(items) if place != rng.randrange(len(items))] if items else items


NUMBER_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Mod, ast.BitOr, ast.FloorDiv)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn)
MUTATIONS: dict[type[ast.AST], Callable[[Any, random.Random], None]] = {
    ast.Constant: other_constant,
    ast.BinOp: set_to(op=lambda n, rng: another(NUMBER_OPERATORS, n.op, rng)),
    ast.AugAssign: set_to(op=lambda n, rng: another(NUMBER_OPERATORS, n.op, rng)),
    ast.UnaryOp: set_to(op=lambda n, rng: another((ast.Invert, ast.Not, ast.USub), n.op, rng)),
    ast.BoolOp: set_to(op=lambda n, rng: another((ast.And, ast.Or), n.op, rng)),
    ast.Compare: set_to(ops=lambda n, rng: [another(COMPARISONS, n.ops[0], rng), *n.ops[1:]]),
    ast.Attribute: set_to(attr=lambda n, _: n.attr + "_"),
    ast.Name: set_to(id=lambda n, _: n.id + "_"),
    ast.keyword: set_to(arg=lambda n, _: n.arg and n.arg + "_"),
    ast.arg: set_to(arg=lambda n, _: n.arg + "_"),
    ast.If: set_to(body=lambda n, _: n.orelse or n.body, orelse=lambda n, _: n.body),
    ast.IfExp: set_to(body=lambda n, _: n.orelse, orelse=lambda n, _: n.test),
    ast.Call: set_to(args=lambda n, rng: dropped(n.args, rng), keywords=lambda n, rng: dropped(n.keywords, rng)),
    ast.List: set_to(elts=lambda n, _: n.elts[::-1]),
    ast.Tuple: set_to(elts=lambda n, _: n.elts[::-1]),
    ast.Dict: set_to(keys=lambda n, _: n.keys[::-1]),
    ast.comprehension: set_to(ifs=lambda n, _: n.ifs[1:] or [ast.Constant(value=False)]),
    ast.Return: set_to(value=lambda n, _: None),
    ast.Yield: set_to(value=lambda n, _: None),
    ast.Raise: set_to(cause=lambda n, _: None if n.cause else ast.Name("cause_", ast.Load())),
    ast.Assert: set_to(msg=lambda n, _: None if n.msg else ast.Constant(value="x")),
    ast.ExceptHandler: set_to(type=lambda n, _: ast.Name("Other", ast.Load())),
    ast.Try: set_to(orelse=lambda n, _: n.orelse + n.finalbody, finalbody=lambda n, _: []),
    ast.While: set_to(orelse=lambda n, _: n.orelse[1:] or [ast.Expr(ast.Name("q", ast.Load()))]),
    ast.For: set_to(orelse=lambda n, _: n.orelse[1:] or [ast.Expr(ast.Name("q", ast.Load()))]),
    ast.Slice: set_to(lower=lambda n, _: n.upper, upper=lambda n, _: n.lower),
    ast.FormattedValue: set_to(conversion=lambda n, _: -1 if n.conversion == ord("r") else ord("r")),
    ast.Global: set_to(names=lambda n, _: [*n.names, "more"]),
    ast.Import: set_to(names=lambda n, _: [ast.alias(n.names[0].name + "_"), *n.names[1:]]),
    ast.ImportFrom: set_to(level=lambda n, _: n.level + 1),
    ast.Lambda: set_to(body=lambda n, _: ast.Constant(value=5)),
    ast.withitem: set_to(optional_vars=lambda n, _: ast.Name("held", ast.Store())),
}


def compiled(function: ast.AST) -> object:
    """What a function compiles to, docstrings and annotations apart, and its own defaults, which count as values."""
    bare: Any = copy.deepcopy(function)
    for node in ast.walk(bare):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :] or [ast.Pass()]
    bare.args.defaults = [ast.Constant(value=None) for _ in bare.args.defaults]
    bare.args.kw_defaults = [default and ast.Constant(value=None) for default in bare.args.kw_defaults]
    text = ast.unparse(ast.fix_missing_locations(ast.Module([bare], [])))
    code = next(constant for constant in compile(text, "x", "exec").co_consts if hasattr(constant, "co_code"))
    return form_of_code(code).pieces


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_a_mutant_has_another_form(path: pathlib.Path) -> None:
    """Other code, another form: of every kind of node."""
    rng = random.Random(path.name)
    tree = ast.parse(path.read_text())
    for original in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        original.decorator_list = []
        for _ in range(MUTANTS_OF_EACH):
            mutant = copy.deepcopy(original)
            node = rng.choice([node for node in ast.walk(mutant) if type(node) in MUTATIONS] or [mutant])
            MUTATIONS.get(type(node), lambda *_: None)(node, rng)
            try:
                is_other = compiled(mutant) != compiled(original)
            except (SyntaxError, ValueError, TypeError):
                continue  # no program any more
            if is_other:
                assert form_of(mutant) != form_of(original), ast.unparse(mutant)
