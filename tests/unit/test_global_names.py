"""Which globals a function reads: as its instructions say, checked against dis."""

from __future__ import annotations

import ast
import dis
import pickle
import types
from pathlib import Path
from typing import Any

import gpucache
from gpucache.codec import code_file
from gpucache.codec.global_names import _loaded, _with_inner, is_never_reached
from gpucache.workers import messages

TEXT = """
LIMIT, STEP, OLD, NEVER, LABEL = 3, 2, 1, 0, "label"

def made(x):
    class Made:
        limit = LIMIT
        def step(self):
            return STEP
    if 0:
        print(OLD)
    while False:
        OLD + NEVER
    return Made().limit + Made().step() + x.LABEL
    return NEVER
"""


def function() -> types.FunctionType:
    space: dict[str, Any] = {"__name__": "no_module_of_this_name"}
    exec(compile(TEXT, "/project/steps.py", "exec"), space)
    found: types.FunctionType = space["made"]
    return found


def test_what_is_never_reached() -> None:
    """What stands in code that Python left out; not what a class's body, an inner function or an attribute names."""
    code = function().__code__

    names = ("LIMIT", "STEP", "OLD", "NEVER", "LABEL", "absent")

    assert [name for name in names if is_never_reached(code, name)] == ["OLD", "NEVER"]


def test_what_is_loaded_is_what_dis_says() -> None:
    """In every function of this package."""
    for path in Path(gpucache.__file__).parent.rglob("*.py"):
        code = compile(ast.parse(path.read_text()), str(path), "exec")
        loads = {
            instruction.argval
            for one in _with_inner(code)
            for instruction in dis.get_instructions(one)
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
        }
        assert _loaded(code) == loads, path


def test_the_globals_of_a_nested_class_travel() -> None:
    """cloudpickle leaves behind what the body of a class loads by name."""

    class X:
        LABEL = 10

    for arrived in (messages.loads(messages.dumps(function())), pickle.loads(code_file.dumps(function()))):
        assert arrived(X()) == 15
        assert "OLD" not in arrived.__globals__
