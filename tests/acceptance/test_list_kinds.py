"""Classes of every kind that people write, and what is edited in them.

Three processes a row, as in test_list_functions.py.
"""

from __future__ import annotations

import pytest
from edit_rows import Row, helper, hold, norms, of_helper
from pipeline_support import World

pytestmark = pytest.mark.slow

KINDS: dict[str, Row] = {
    "protocol of a variable": of_helper(
        """\
import typing
T = typing.TypeVar('T', bound=float)
class P(typing.Protocol[T]):
    def f(self) -> T: ...

class C(P[float]):
    def f(self):
        return 1

def use(x):
    return x + C().f()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "C.f",
    ),
    "annotations of every kind": of_helper(
        """\
import dataclasses, typing
T = typing.TypeVar('T')
S = typing.ParamSpec('S')
@dataclasses.dataclass
class C(typing.Generic[T]):
    a: typing.Callable[S, T] | None = None
    b: typing.Optional['C'] = None
    c: typing.Literal['x', 1] = 'x'
    d: typing.ClassVar[dict[str, list[T]]] = {}
    e: typing.Annotated[int, 'm'] = 1
    f: type['C'] | tuple[int, ...] | typing.Any = None
    g: dataclasses.InitVar[int] = 0
    def h(self):
        return 1

def use(x):
    return x + C().h()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "C.h",
    ),
    "abc register": Row(
        (("helpers.py", "# here", "Base.register(float)"),),
        "clean",
        setup=helper(
            """\
import abc
class Base(abc.ABC):
    pass

# here
def use(x):
    return x + isinstance(x, Base)""",
            "helpers.use(value)",
        ),
    ),
    "partialmethod": of_helper(
        """\
import functools
class C:
    def f(self, n):
        return n
    g = functools.partialmethod(f, 1)

def use(x):
    return x + C().g()""",
        "helpers.use(value)",
        "partialmethod(f, 1)",
        "partialmethod(f, 2)",
        "helpers.C",
    ),
    "partialmethod body": of_helper(
        """\
import functools
class C:
    def f(self, n):
        return n
    g = functools.partialmethod(f, 1)

def use(x):
    return x + C().g()""",
        "helpers.use(value)",
        "return n\n",
        "return n + 1\n",
        "C.f",
    ),
    "property of attrgetter": of_helper(
        """\
import operator
class C:
    a = 1
    b = 2
    p = property(operator.attrgetter('a'))

def use(x):
    return x + C().p""",
        "helpers.use(value)",
        "attrgetter('a')",
        "attrgetter('b')",
        "helpers.C",
    ),
    "nested class": of_helper(
        """\
class C:
    class D:
        k = 1

def use(x):
    return x + C.D.k""",
        "helpers.use(value)",
        "k = 1",
        "k = 2",
        "helpers.C",
    ),
    "metaclass call": of_helper(
        """\
class M(type):
    def __call__(cls):
        o = super().__call__()
        o.k = 1
        return o

class C(metaclass=M):
    pass

def use(x):
    return x + C().k""",
        "helpers.use(value)",
        "o.k = 1",
        "o.k = 2",
        "M.__call__",
    ),
    "generic": of_helper(
        """\
import typing
T = typing.TypeVar('T')
class C(typing.Generic[T]):
    def f(self):
        return 1

def use(x):
    return x + C[int]().f()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "C.f",
    ),
    "namedtuple method": of_helper(
        """\
import typing
class C(typing.NamedTuple):
    a: int = 1
    def f(self):
        return self.a + 1

def use(x):
    return x + C().f()""",
        "helpers.use(value)",
        "self.a + 1",
        "self.a + 2",
        "C.f",
    ),
    "collections namedtuple defaults": of_helper(
        """\
import collections
C = collections.namedtuple('C', 'a b', defaults=[1, 2])
def use(x):
    return x + C().a""",
        "helpers.use(value)",
        "[1, 2]",
        "[3, 2]",
        "helpers.C",
    ),
    "collections namedtuple fields": of_helper(
        """\
import collections
C = collections.namedtuple('C', 'a b', defaults=[1, 2])
def use(x):
    return x + C().a""",
        "helpers.use(value)",
        "'a b'",
        "'b a'",
        "helpers.C",
    ),
    "enum mixin": of_helper(
        """\
import enum
class M:
    def f(self):
        return 1

class E(M, enum.Enum):
    A = 1

def use(x):
    return x + E.A.f()""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "M.f",
    ),
    "dataclass slots": of_helper(
        """\
import dataclasses
@dataclasses.dataclass(slots=True)
class C:
    a: int = 1
    def f(self):
        return self.a + 1

def use(x):
    return x + C().f()""",
        "helpers.use(value)",
        "self.a + 1",
        "self.a + 2",
        "C.f",
    ),
    "dataclass base default": of_helper(
        """\
import dataclasses
@dataclasses.dataclass
class B:
    a: int = 1

@dataclasses.dataclass
class C(B):
    b: int = 1

def use(x):
    return x + C().a""",
        "helpers.use(value)",
        "a: int = 1",
        "a: int = 2",
        "helpers.B.a",
    ),
    "dataclass metadata": of_helper(
        """\
import dataclasses
@dataclasses.dataclass
class C:
    a: int = dataclasses.field(default=1, metadata={'k': 1})

def use(x):
    return x + dataclasses.fields(C)[0].metadata['k']""",
        "helpers.use(value)",
        "'k': 1",
        "'k': 2",
        "helpers.C",
    ),
    "dataclass repr false": of_helper(
        """\
import dataclasses
@dataclasses.dataclass
class C:
    a: int = dataclasses.field(default=1, repr=True)

def use(x):
    return x + len(repr(C()))""",
        "helpers.use(value)",
        "repr=True",
        "repr=False",
        "C changed",
    ),
    "dataclass order": of_helper(
        """\
import dataclasses
@dataclasses.dataclass(eq=True)
class C:
    a: int = 1

def use(x):
    return x + (C() == C())""",
        "helpers.use(value)",
        "eq=True",
        "eq=False",
        "C changed",
    ),
    "class decorator": of_helper(
        """\
def deco(cls):
    cls.k = 1
    return cls

@deco
class C:
    pass

def use(x):
    return x + C.k""",
        "helpers.use(value)",
        "cls.k = 1",
        "cls.k = 2",
        "helpers.C",
    ),
    "class built in loop": of_helper(
        """\
CLASSES = [type(f'C{i}', (), {'k': i}) for i in range(3)]
def use(x):
    return x + sum(c.k for c in CLASSES)""",
        "helpers.use(value)",
        "range(3)",
        "range(4)",
        "helpers",
    ),
    "mixin in list of bases": of_helper(
        """\
class A:
    def f(self): return 1
class B:
    def f(self): return 2
class C(A, B):
    pass

def use(x):
    return x + C().f()""",
        "helpers.use(value)",
        "class C(A, B)",
        "class C(B, A)",
        "C changed",
    ),
    "instance __class__ swap": of_helper(
        """\
class A:
    k = 1
class B:
    k = 2
obj = A()

def use(x):
    return x + obj.k""",
        "helpers.use(value)",
        "obj = A()",
        "obj = A()\nobj.__class__ = B",
        "helpers.obj",
    ),
    "singleton with state": of_helper(
        """\
class Reg(dict):
    def __missing__(self, key):
        return 1
R = Reg()
def use(x):
    return x + R['z']""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "Reg.__missing__",
    ),
    "operator overloading in global": of_helper(
        """\
class V:
    def __radd__(self, o):
        return o + 1
v = V()
def use(x):
    return x + v""",
        "helpers.use(value)",
        "o + 1",
        "o + 2",
        "V.__radd__",
    ),
    "context manager class": of_helper(
        """\
class M:
    def __enter__(self):
        return 1
    def __exit__(self, *a):
        return False

def use(x):
    with M() as k:
        return x + k""",
        "helpers.use(value)",
        "return 1",
        "return 2",
        "M.__enter__",
    ),
    "iterator class": of_helper(
        """\
class It:
    def __iter__(self):
        return iter([1])

def use(x):
    return x + sum(It())""",
        "helpers.use(value)",
        "[1]",
        "[1, 2]",
        "It.__iter__",
    ),
    "lambda attr": of_helper(
        """\
class C:
    f = lambda self: 1

def use(x):
    return x + C().f()""",
        "helpers.use(value)",
        "lambda self: 1",
        "lambda self: 2",
        "C",
    ),
    "type alias container of classes": of_helper(
        """\
class A:
    k = 1
class B:
    k = 2
KINDS = {'a': A, 'b': B}
def use(x):
    return x + KINDS['a'].k""",
        "helpers.use(value)",
        "k = 1",
        "k = 3",
        "helpers.A.k",
    ),
    "functools.reduce op": of_helper(
        """\
import functools, operator
def use(x):
    return functools.reduce(operator.add, [x, 2])""",
        "helpers.use(value)",
        "operator.add",
        "operator.sub",
        "use changed",
    ),
    "vectorize": of_helper(
        """\
import numpy as np
@np.vectorize
def f(x):
    return x + 1.0
def use(x):
    return float(f(x))""",
        "helpers.use(value)",
        "x + 1.0",
        "x + 2.0",
        "f changed",
    ),
    "module __all__ star": norms(
        ("helpers.py", "LIMIT = 10", "LIMIT = 10\n__all__ = ['norm']"),
        ("pipeline.py", "from helpers import norm", "from helpers import *"),
    ),
    "re.sub with function": of_helper(
        """\
import re
def rep(m):
    return '1'
def use(x):
    return x + len(re.sub('a', rep, 'aa'))""",
        "helpers.use(value)",
        "return '1'",
        "return '11'",
        "rep changed",
    ),
    "sorted key attr": of_helper(
        """\
class K:
    @staticmethod
    def key(v):
        return -v
def use(x):
    return sorted([x, 1.0, 2.0], key=K.key)[0]""",
        "helpers.use(value)",
        "return -v",
        "return v",
        "K.key",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_classes(world: World, name: str) -> None:
    """Exactly what the edit concerns runs; the plan says so and why, and so does the record."""
    hold(world, KINDS[name])
