"""Small edits of syntax, names, imports and literals, each of which a careless form would miss.

Three processes a row, as in test_list_functions.py.
"""

from __future__ import annotations

import pytest
from edit_rows import Row, clean, helper, hold, norms, of_helper
from pipeline_support import World

pytestmark = pytest.mark.slow

SYNTAX: dict[str, Row] = {
    "package relative imports": norms(
        ("kit/__init__.py", "", "from .a import go\n"),
        (
            "kit/a.py",
            "",
            """\
from .b import inner
from . import c
def go(x):
    return inner(x) + c.K
""",
        ),
        (
            "kit/b.py",
            "",
            """\
from deep import scale
def inner(x):
    return scale(x)
""",
        ),
        ("kit/c.py", "", "K = 1\n"),
        ("pipeline.py", "import helpers\n", "import helpers\nimport kit\n"),
        clean("return [kit.go(value) for value in values]"),
    ),
    "submodule attr not imported": norms(
        ("kit/__init__.py", "", ""),
        (
            "kit/b.py",
            "",
            """\
from deep import scale
def inner(x):
    return scale(x)
""",
        ),
        ("pipeline.py", "import helpers\n", "import helpers\nimport kit.b\n"),
        clean("return [kit.b.inner(value) for value in values]"),
    ),
    "circular imports": norms(
        ("kit/__init__.py", "", ""),
        (
            "kit/a.py",
            "",
            """\
import kit.b
def go(x):
    return kit.b.inner(x)
""",
        ),
        (
            "kit/b.py",
            "",
            """\
import kit.a
from deep import scale
def inner(x):
    return scale(x) if x > -1 else kit.a.go(x)
""",
        ),
        ("pipeline.py", "import helpers\n", "import helpers\nimport kit.a\n"),
        clean("return [kit.a.go(value) for value in values]"),
    ),
    "entry via dict dispatch by string": norms(
        (
            "helpers.py",
            "LIMIT = 10",
            """\
OPS = {}
def op(name):
    def add(fn):
        OPS[name] = fn
        return fn
    return add
LIMIT = 10""",
        ),
        ("helpers.py", "def norm(x):", "@op('norm')\ndef norm(x):"),
        clean("return [helpers.OPS['norm'](value) for value in values]"),
    ),
    "nonlocal counter": of_helper(
        """\
def make():
    n = 1
    def f(x):
        nonlocal n
        n = n + 0
        return x + n
    return f

f = make()""",
        "helpers.f(value)",
        "    n = 1",
        "    n = 2",
        "1 -> 2",
    ),
    "default mutable": of_helper(
        """\
def f(x, acc=[1, 2]):
    return x + sum(acc)""",
        "helpers.f(value)",
        "[1, 2]",
        "[1, 3]",
        "[1, 2] -> [1, 3]",
    ),
    "walrus": of_helper(
        """\
def f(x):
    if (y := x + 1) > 2:
        return y
    return 0""",
        "helpers.f(value)",
        "x + 1) > 2",
        "x + 2) > 2",
        "f changed",
    ),
    "match class": of_helper(
        """\
import dataclasses
@dataclasses.dataclass
class P:
    a: float = 1.0

def f(x):
    match P(x):
        case P(a=0.0):
            return 5
        case P(a=a):
            return a""",
        "helpers.f(value)",
        "return 5",
        "return 6",
        "f changed",
    ),
    "except star": of_helper(
        """\
def f(x):
    try:
        raise ExceptionGroup('a', [ValueError()])
    except* ValueError:
        return_ = 1
    return x + return_""",
        "helpers.f(value)",
        "return_ = 1",
        "return_ = 2",
        "f changed",
    ),
    "dict comprehension order": of_helper(
        """\
def f(x):
    return x + list({k: v for k, v in [(1, 2), (3, 4)]}.values())[0]""",
        "helpers.f(value)",
        "(1, 2)",
        "(1, 5)",
        "f changed",
    ),
    "bytes literal": of_helper(
        "def f(x):\n    return x + len(b'ab')", "helpers.f(value)", "b'ab'", "b'abc'", "f changed"
    ),
    "complex literal": of_helper(
        "def f(x):\n    return x + (1j * 1j).real", "helpers.f(value)", "1j * 1j", "1j * 2j", "f changed"
    ),
    "0 / -0.0": of_helper(
        """\
import math
def f(x):
    return x + math.copysign(1, 0.0)""",
        "helpers.f(value)",
        "0.0)",
        "-0.0)",
        "f changed",
    ),
    "1 / True in code": of_helper(
        "def f(x):\n    return x + len(str(1))", "helpers.f(value)", "str(1)", "str(True)", "f changed"
    ),
    "1 / 1.0 in code": of_helper(
        "def f(x):\n    return x + len(str(1))", "helpers.f(value)", "str(1)", "str(1.0)", "f changed"
    ),
    "const tuple types": of_helper(
        """\
def f(x):
    return x + len(str((1, 2)))""",
        "helpers.f(value)",
        "(1, 2)",
        "(1, 2.0)",
        "f changed",
    ),
    "percent format": of_helper(
        "def f(x):\n    return x + len('%d' % 3)", "helpers.f(value)", "'%d'", "'%05d'", "f changed"
    ),
    "fstring format spec": of_helper(
        "def f(x):\n    return x + len(f'{x:.2f}')", "helpers.f(value)", ":.2f", ":.3f", "f changed"
    ),
    "fstring conversion": of_helper(
        """\
def f(x):
    return x + len(f'{str(x)}')""",
        "helpers.f(value)",
        "{str(x)}",
        "{str(x)!r}",
        "f changed",
    ),
    "swap args": of_helper(
        """\
def g(a, b):
    return a - b
def f(x):
    return g(x, 1)""",
        "helpers.f(value)",
        "g(x, 1)",
        "g(1, x)",
        "f changed",
    ),
    "swap param names": of_helper(
        """\
def g(a, b):
    return a - b
def f(x):
    return g(a=x, b=1)""",
        "helpers.f(value)",
        "def g(a, b)",
        "def g(b, a)",
        "g changed",
        same=True,
    ),
    "two helpers swapped": of_helper(
        """\
def g(x):
    return x + 1
def h(x):
    return x + 2
def f(x):
    return g(x) * 10 + h(x)""",
        "helpers.f(value)",
        "g(x) * 10 + h(x)",
        "h(x) * 10 + g(x)",
        "f changed",
    ),
    "two constants swapped": of_helper(
        """\
A = 1
B = 2
def f(x):
    return A * 10 + B + x""",
        "helpers.f(value)",
        "A * 10 + B",
        "B * 10 + A",
        "f changed",
    ),
    "two constants values swapped": Row(
        (("helpers.py", "A = 1\nB = 2", "A = 2\nB = 1"),),
        "clean",
        ("constant helpers.A 1 -> 2",),
        setup=helper(
            """\
A = 1
B = 2
def f(x):
    return A * 10 + B + x""",
            "helpers.f(value)",
        ),
    ),
    "equal constants one changes": of_helper(
        """\
A = 1
B = 1
def f(x):
    return A * 10 + B + x""",
        "helpers.f(value)",
        "B = 1",
        "B = 2",
        "constant helpers.B 1 -> 2",
    ),
    "helpers with equal bodies one changes": of_helper(
        """\
def g(x):
    return x + 1
def h(x):
    return x + 1
def f(x):
    return g(x) * 10 + h(x)""",
        "helpers.f(value)",
        "def h(x):\n    return x + 1",
        "def h(x):\n    return x + 2",
        "h changed",
    ),
    "same name other object": of_helper(
        """\
from math import floor as r
def f(x):
    return r(x + 0.5)""",
        "helpers.f(value)",
        "floor as r",
        "ceil as r",
        "",
    ),
    "builtin shadowed": Row(
        (("helpers.py", "# here", "def min(*a):\n    return 0"),),
        "clean",
        setup=helper("# here\ndef f(x):\n    return min(x, 5)", "helpers.f(value)"),
    ),
    "builtin shadowed in module": Row(
        (("helpers.py", "# here", "from helpers2 import *"),),
        "clean",
        setup=(
            *helper("# here\ndef f(x):\n    return max(x, 5)", "helpers.f(value)"),
            ("helpers2.py", "", "def max(*a):\n    return 0\n"),
        ),
    ),
}


@pytest.mark.parametrize("name", SYNTAX)
def test_syntax(world: World, name: str) -> None:
    """Exactly what the edit concerns runs; the plan says so and why, and so does the record."""
    hold(world, SYNTAX[name])
