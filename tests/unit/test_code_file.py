"""Code that travels, or is stored, says which file it comes from."""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable
from typing import Any

import pytest
from codec_support import round_trip

from gpucache.codec import code_file
from gpucache.workers import messages

FILE = "/project/steps.py"
TEXT = "def outer(x):\n    def inner(y):\n        return y + x\n    return inner\n"


def function_of_no_module() -> types.FunctionType:
    """One that pickle can't find by its name, so that it goes by value."""
    space: dict[str, Any] = {"__name__": "no_module_of_this_name"}
    exec(compile(TEXT, FILE, "exec"), space)
    made: types.FunctionType = space["outer"]
    return made


@pytest.mark.parametrize(
    "arrived",
    [
        pytest.param(lambda made: messages.loads(messages.dumps(made)), id="to a worker"),
        pytest.param(round_trip, id="through the store"),
        pytest.param(lambda made: pickle.loads(code_file.dumps(made)), id="within a class of the main file"),
    ],
)
def test_code_keeps_its_file(arrived: Callable[[types.FunctionType], types.FunctionType]) -> None:
    """Also that of functions within it: else a worker takes the task for another (cloudpickle 3.1.3 names all files <dynamic-code>)."""
    made = arrived(function_of_no_module())

    assert made.__code__.co_filename == FILE
    assert made(1).__code__.co_filename == FILE
