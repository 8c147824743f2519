"""Edits that a pipeline's author makes in a year, beyond the list: each concerns exactly what it should.

Three processes a row, as in test_list_functions.py.
"""

from __future__ import annotations

import pytest
from edit_rows import Row, clean, free, helper, hold, norms, of_helper
from pipeline_support import World

pytestmark = pytest.mark.slow

YEAR: dict[str, Row] = {
    "subclasses": of_helper(
        """\
class Plugin:
    pass

class A(Plugin):
    def f(self):
        return 1

def use(x):
    return x + sum(c().f() for c in Plugin.__subclasses__())""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "A.f",
    ),
    "subclasses elsewhere": Row(
        (
            (
                "more.py",
                "import helpers\n",
                """\
import helpers
class B(helpers.Plugin):
    def f(self):
        return 5
""",
            ),
        ),
        "clean",
        setup=(
            *helper(
                """\
class Plugin:
    pass

class A(Plugin):
    def f(self):
        return 1

def use(x):
    return x + sum(c().f() for c in Plugin.__subclasses__())""",
                "helpers.use(value)",
            ),
            ("more.py", "", "import helpers\n"),
            ("pipeline.py", "import helpers\n", "import helpers\nimport more\n"),
        ),
    ),
    "methodcaller on module": norms(
        clean("""\
import operator
return [operator.methodcaller('norm', value)(helpers) for value in values]""")
    ),
    "total ordering": of_helper(
        """\
import functools
@functools.total_ordering
class T:
    def __init__(self, x):
        self.x = x
    def __eq__(self, o):
        return self.x == o.x
    def __lt__(self, o):
        return self.x < o.x

def use(x):
    return x + (T(x) > T(1.0))""",
        "helpers.use(value)",
        "self.x < o.x",
        "self.x > o.x",
        "T.__lt__",
    ),
    "property setter": of_helper(
        """\
class T:
    @property
    def x(self):
        return self._x
    @x.setter
    def x(self, v):
        self._x = v

def use(x):
    t = T()
    t.x = x
    return t.x""",
        "helpers.use(value)",
        "self._x = v",
        "self._x = v + 1",
        "T.x",
    ),
    "super": of_helper(
        """\
class P:
    def f(self):
        return 1

class T(P):
    def f(self):
        return super().f()

def use(x):
    return x + T().f()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "P.f",
    ),
    "set name": of_helper(
        """\
class D:
    def __set_name__(self, owner, name):
        owner.k = 1

class T:
    d = D()

def use(x):
    return x + T.k""",
        "helpers.use(value)",
        "owner.k = 1",
        "owner.k = 2",
        "helpers",
    ),
    "class getitem": of_helper(
        """\
class T:
    def __class_getitem__(cls, n):
        return n + 1

def use(x):
    return x + T[1]""",
        "helpers.use(value)",
        "n + 1",
        "n + 2",
        "T.__class_getitem__",
    ),
    "factory": of_helper(
        """\
def make():
    class T:
        def f(self):
            return 1
    return T

def use(x):
    return x + make()().f()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "make",
    ),
    "class made by type()": of_helper(
        """\
def f(self):
    return 1

T = type('T', (), {'f': f})

def use(x):
    return x + T().f()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "f changed",
    ),
    "nested default": of_helper(
        """\
def use(x, table={'f': [lambda v: v + 1]}):
    return table['f'][0](x)""",
        "helpers.use(value)",
        "v + 1",
        "v + 2",
        "helpers",
    ),
    "generator expression": of_helper(
        """\
G = 2
def use(x):
    return sum(v * G for v in [x])""",
        "helpers.use(value)",
        "G = 2",
        "G = 3",
        "constant helpers.G 2 -> 3",
    ),
    "global in lambda in comprehension": of_helper(
        """\
G = 2
def use(x):
    return [(lambda v: v * G)(v) for v in [x]][0]""",
        "helpers.use(value)",
        "G = 2",
        "G = 3",
        "constant helpers.G 2 -> 3",
    ),
    "function attribute": of_helper(
        """\
def use(x):
    return x + use.step

use.step = 1""",
        "helpers.use(value)",
        "use.step = 1",
        "use.step = 2",
        "helpers",
    ),
    "wrapped by a callable class": of_helper(
        """\
class Wrap:
    def __init__(self, fn):
        self.fn = fn
    def __call__(self, x):
        return self.fn(x) + 1

@Wrap
def use(x):
    return x""",
        "helpers.use(value)",
        "self.fn(x) + 1",
        "self.fn(x) + 2",
        "Wrap.__call__",
    ),
    "inside a callable class": of_helper(
        """\
class Wrap:
    def __init__(self, fn):
        self.fn = fn
    def __call__(self, x):
        return self.fn(x) + 1

@Wrap
def use(x):
    return x""",
        "helpers.use(value)",
        "def use(x):\n    return x",
        "def use(x):\n    return -x",
        "use changed",
    ),
    "exception class": of_helper(
        """\
class Bad(Exception):
    code = 1

def use(x):
    try:
        raise Bad
    except Bad as e:
        return x + e.code""",
        "helpers.use(value)",
        "code = 1",
        "code = 2",
        "helpers.Bad.code",
    ),
    "type alias as isinstance": of_helper(
        """\
Number = (int, float)

def use(x):
    return x if isinstance(x, Number) else 0""",
        "helpers.use(value)",
        "(int, float)",
        "(int,)",
        "helpers.Number",
    ),
    "intflag": of_helper(
        """\
import enum
class F(enum.IntFlag):
    A = 1
    B = 2

def use(x):
    return x + int(F.A | F.B)""",
        "helpers.use(value)",
        "B = 2",
        "B = 4",
        "helpers.F",
    ),
    "auto enum reordered": of_helper(
        """\
import enum
class F(enum.Enum):
    A = enum.auto()
    B = enum.auto()

def use(x):
    return x + F.A.value""",
        "helpers.use(value)",
        "A = enum.auto()\n    B",
        """\
C = enum.auto()
    A = enum.auto()
    B""",
        "helpers.F",
    ),
    "enum method": of_helper(
        """\
import enum
class F(enum.Enum):
    A = 1
    def twice(self):
        return self.value * 2

def use(x):
    return x + F.A.twice()""",
        "helpers.use(value)",
        "self.value * 2",
        "self.value * 3",
        "F.twice",
    ),
    "fraction const": of_helper(
        """\
from fractions import Fraction
F = Fraction(1, 2)
def use(x):
    return x * float(F)""",
        "helpers.use(value)",
        "Fraction(1, 2)",
        "Fraction(1, 3)",
        "helpers.F",
    ),
    "ordered dict": of_helper(
        """\
import collections
F = collections.OrderedDict(a=1, b=2)
def use(x):
    return x * list(F.values())[0]""",
        "helpers.use(value)",
        "a=1, b=2",
        "b=2, a=1",
        "helpers.F",
    ),
    "defaultdict's factory": of_helper(
        """\
import collections
def one():
    return 1
F = collections.defaultdict(one)
def use(x):
    return x * dict(F, y=F.default_factory())['y']""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "one changed",
    ),
    "chained comparison": of_helper(
        """\
def use(x):
    return x if 0 < x < 5 else -1""",
        "helpers.use(value)",
        "0 < x < 5",
        "0 <= x < 5",
        "use changed",
    ),
    "and or": of_helper(
        "def use(x):\n    return (x and 1) or 2",
        "helpers.use(value)",
        "(x and 1) or 2",
        "x and (1 or 2)",
        "use changed",
    ),
    "not in": of_helper(
        """\
def use(x):
    return x not in (1.0, 2.0)""",
        "helpers.use(value)",
        "x not in (1.0, 2.0)",
        "x in (1.0,)",
        "use changed",
    ),
    "star": of_helper(
        """\
def use(x):
    a, *b = [x, 1, 2]
    return len(b)""",
        "helpers.use(value)",
        "a, *b = [x, 1, 2]",
        "*b, a = [x, 1, 2, 3]",
        "use changed",
    ),
    "string const with escapes": of_helper(
        "def use(x):\n    return x + len('a\\\\n')", "helpers.use(value)", "'a\\\\n'", "'a\\\\n\\\\n'", "use changed"
    ),
    "try finally": of_helper(
        """\
def use(x):
    try:
        return x
    finally:
        x = 1""",
        "helpers.use(value)",
        "        return x\n    finally",
        "        return x + 1\n    finally",
        "use changed",
    ),
    "is / ==": of_helper(
        "def use(x):\n    return x == None", "helpers.use(value)", "x == None", "x is not None", "use changed"
    ),
    "environ imported": free(
        ("other.py", "", "x=1\n"),
        setup=(
            *helper(
                """\
from os import environ
ENV = environ
def use(x):
    return x + len(environ.get('MODE', ''))""",
                "helpers.use(value)",
            ),
        ),
    ),
    "yield from": of_helper(
        """\
def g(x):
    yield from [x, 1]

def use(x):
    return sum(g(x))""",
        "helpers.use(value)",
        "[x, 1]",
        "[x, 2]",
        "g changed",
    ),
    "async helper": of_helper(
        """\
import asyncio
async def g(x):
    return x + 1

def use(x):
    return asyncio.run(g(x))""",
        "helpers.use(value)",
        "x + 1",
        "x + 2",
        "g changed",
    ),
    "pool": of_helper(
        """\
from concurrent.futures import ThreadPoolExecutor
def g(x):
    return x + 1

def use(x):
    with ThreadPoolExecutor(1) as p:
        return list(p.map(g, [x]))[0]""",
        "helpers.use(value)",
        "x + 1",
        "x + 2",
        "g changed",
    ),
    "TYPE_CHECKING else": of_helper(
        """\
import typing
if typing.TYPE_CHECKING:
    K = 0
else:
    K = 1
def use(x):
    return x + K""",
        "helpers.use(value)",
        "K = 1",
        "K = 2",
        "constant helpers.K 1 -> 2",
    ),
    "del and rebind": of_helper(
        """\
K = 1
del K
K = 3
def use(x):
    return x + K""",
        "helpers.use(value)",
        "K = 3",
        "K = 2",
        "constant helpers.K 3 -> 2",
    ),
    "module as argument default": norms(
        (
            "helpers.py",
            "def unrelated(x):",
            """\
import deep as d
def byd(x, m=d):
    return m.scale(x)

def unrelated(x):""",
        ),
        clean("return [helpers.byd(value) for value in values]"),
    ),
    "importlib.reload-style alias": norms(
        (
            "pipeline.py",
            "from helpers import norm",
            """\
import importlib
norm = importlib.import_module('helpers').norm""",
        )
    ),
    "lazy proxy": norms(
        (
            "pipeline.py",
            "from helpers import norm",
            """\
class Lazy:
    def __getattr__(self, name):
        return getattr(helpers, name)
lazy = Lazy()""",
        ),
        clean("return [lazy.norm(value) for value in values]"),
    ),
    "dataclass instance global": of_helper(
        """\
import dataclasses
@dataclasses.dataclass
class C:
    r: float = 1.0
CONF = C(r=2.0)
def use(x):
    return x * CONF.r""",
        "helpers.use(value)",
        "C(r=2.0)",
        "C(r=3.0)",
        "helpers.CONF",
    ),
    "simple namespace": of_helper(
        """\
import types
CONF = types.SimpleNamespace(r=2.0)
def use(x):
    return x * CONF.r""",
        "helpers.use(value)",
        "r=2.0",
        "r=3.0",
        "helpers.CONF",
    ),
    "string template": of_helper(
        """\
import string
T = string.Template('$x!')
def use(x):
    return len(T.substitute(x=x))""",
        "helpers.use(value)",
        "'$x!'",
        "'$x!!'",
        "helpers.T",
    ),
    "weak caches": of_helper(
        """\
import weakref
CACHE = weakref.WeakValueDictionary()
def use(x):
    return x + 1 + len(CACHE)""",
        "helpers.use(value)",
        "x + 1",
        "x + 2",
        "use changed",
    ),
    "contextvar": of_helper(
        """\
import contextvars
V = contextvars.ContextVar('v', default=1)
def use(x):
    return x + V.get()""",
        "helpers.use(value)",
        "default=1",
        "default=2",
        "helpers.V",
    ),
}


@pytest.mark.parametrize("name", YEAR)
def test_a_year_of_edits(world: World, name: str) -> None:
    """Exactly what the edit concerns runs; the plan says so and why, and so does the record."""
    hold(world, YEAR[name])
