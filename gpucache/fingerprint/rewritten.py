"""Asserts as pytest rewrites them: the functions of a test file are compiled from another tree than its text says.

They are what their text says all the same, so that a task has one key in a test, in a script and in a worker.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Mapping, Sequence

Rewriting = Callable[[Sequence[ast.stmt], str, str], ast.Module]
"""From statements, the text and the name of the file that they stand in, to the module that pytest compiles."""

_MARK = "@pytest_ar"
"""What a rewritten module imports first, whatever is in it."""


def rewriting(namespace: Mapping[str, object]) -> Rewriting | None:
    """How pytest rewrote the module with these globals (of a function that came by value: those that it reads); None: not at all."""
    if _MARK not in namespace:
        return None
    rewrite_asserts = getattr(sys.modules.get("_pytest.assertion.rewrite"), "rewrite_asserts", None)
    if rewrite_asserts is None:
        return None
    config = getattr(namespace.get("__loader__"), "config", None)

    def rewritten(statements: Sequence[ast.stmt], text: str, file: str) -> ast.Module:
        module = ast.Module(copy.deepcopy(list(statements)), type_ignores=[])
        rewrite_asserts(module, text.encode("utf-8", "surrogatepass"), file, config)
        return module

    return rewritten
