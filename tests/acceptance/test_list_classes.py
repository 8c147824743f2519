"""The list that must hold: classes, and what libraries make of them, edit by edit.

Each row is three processes on one store, under two hash seeds, each in a copy of the project at another place: before, after
the edit, and back again, which must find everything. The numbers are those of the list.
"""

from __future__ import annotations

from typing import Any

import pytest
from edit_rows import Row, helper, hold, inside, of_helper
from pipeline_support import World

pytestmark = pytest.mark.slow

DATACLASS = """\
import dataclasses
@dataclasses.dataclass
class S:
    rate: float = 0.1
    steps: int = 5"""
DATACLASS_FACTORY = """\
import dataclasses
@dataclasses.dataclass
class S:
    rate: list = dataclasses.field(default_factory=lambda: [1])"""
DATACLASS_POST_INIT = """\
import dataclasses
@dataclasses.dataclass
class S:
    rate: float = 0.1
    def __post_init__(self):
        self.rate += 1"""
PYDANTIC_ANNOTATION = """\
import pydantic
class S(pydantic.BaseModel):
    rate: float = '0.1'
    model_config = {'validate_default': True}"""
PYDANTIC_VALIDATOR = """\
import pydantic
class S(pydantic.BaseModel):
    rate: float
    @pydantic.field_validator('rate')
    @classmethod
    def check(cls, value):
        return value + 1"""
ATTRS = """\
import attrs
@attrs.define
class S:
    rate: float = 0.1"""
ATTRS_CONVERTER = """\
import attrs
@attrs.define
class S:
    rate: float = attrs.field(default=0.5, converter=lambda x: x + 1)"""
CACHED_PROPERTY = """\
import functools
class C:
    @functools.cached_property
    def x(self):
        return 1

def use(y):
    return y + C().x"""
ABSTRACT = """\
import abc
class A(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
    def g(self):
        return 1

class B(A):
    def f(self):
        return 2

def use(y):
    return y + B().g()"""
DESCRIPTOR = """\
class D:
    def __get__(self, instance, owner):
        return 1

class C:
    d = D()

def use(y):
    return y + C().d"""
SUBCLASS_HOOK = """\
class A:
    def __init_subclass__(cls):
        cls.y = 1

class B(A):
    pass

def use(y):
    return y + B.y"""
ATTRIBUTE_HOOK = """\
class A:
    def __getattr__(self, name):
        return 1

def use(y):
    return y + A().z"""
MODULE_HOOK = """\
def __getattr__(name):
    if name == 'LATE':
        return 1
    raise AttributeError(name)"""
BOUND = """\
class A:
    def __init__(self, n):
        self.n = n
    def f(self, x):
        return x + self.n

f = A(1).f"""
TYPED_DICT = """\
import typing
class T(typing.TypedDict):
    a: int

def use(x: 'T'):
    return x"""
RATE = """\
class Rate:
    def __init__(self, x):
        self.x = x
    def get(self):
        return self.x
"""

CLASS = """\
import dataclasses
class Meta(type):
    shift = 0

class Base:
    def start(self):
        return 1

class Mixin:
    def start(self):
        return 5

class Vector(Base):
    scale = 1

    def __init__(self, x):
        self.x = x

    @property
    def size(self):
        return self.x + 0.5

    @classmethod
    def made(cls, x):
        return cls(x * 1)

    @staticmethod
    def helper(x):
        return x - 0

    def __add__(self, other):
        return Vector(self.x + other.x)

    def __call__(self, y):
        return self.x * y

def use(x):
    v = Vector.made(x) + Vector(Vector.helper(x))
    return v.size + v.start() + v(2) * Vector.scale
"""


def of_class(old: str, new: str, says: str = "Vector", **more: Any) -> Row:
    return of_helper(CLASS, "helpers.use(value)", old, new, says, **more)


CLASSES: dict[str, Row] = {
    "15 base class's method": of_class("return 1\n", "return 2\n", "Base.start changed"),
    "15 property": of_class("return self.x + 0.5", "return self.x", "Vector.size changed"),
    "15 operator": of_class("Vector(self.x + other.x)", "Vector(self.x - other.x)", "Vector.__add__ changed"),
    "15 __call__": of_class("return self.x * y", "return self.x + y", "Vector.__call__ changed"),
    "15 classmethod": of_class("cls(x * 1)", "cls(x * 2)", "Vector.made changed"),
    "15 staticmethod": of_class("return x - 0", "return x - 1", "Vector.helper changed"),
    "15 class variable": of_class("scale = 1", "scale = 2", "1 -> 2"),
    "15 base class": of_class("class Vector(Base):", "class Vector(Mixin, Base):"),
    "15 metaclass": of_class("class Base:", "class Base(metaclass=Meta):", "Base", same=True),
    "15 method added": of_class("    scale = 1\n", "    scale = 1\n\n    def start(self):\n        return 9\n"),
    "15 hash": of_class("    scale = 1\n", "    scale = 1\n\n    def __hash__(self):\n        return 9\n", same=True),
    "15 slots": of_class("    scale = 1\n", "    scale = 1\n    __slots__ = ('x',)\n", same=True),
    "docstring of a class": Row(
        inside("class Vector(Base):\n", 'class Vector(Base):\n    """A vector."""\n'),
        setup=helper(CLASS, "helpers.use(value)"),
    ),
    "annotation of a method": Row(
        inside("def __init__(self, x):", "def __init__(self, x: float) -> None:"),
        setup=helper(CLASS, "helpers.use(value)"),
    ),
    "methods in another order": Row(
        (
            ("helpers.py", "    @staticmethod\n    def helper(x):\n        return x - 0\n\n", ""),
            (
                "helpers.py",
                "    scale = 1\n",
                "    scale = 1\n\n    @staticmethod\n    def helper(x):\n        return x - 0\n",
            ),
        ),
        setup=helper(CLASS, "helpers.use(value)"),
    ),
    "3 dataclass default": of_helper(DATACLASS, "helpers.S().rate * value", "= 0.1", "= 0.2", "0.1 -> 0.2"),
    "3 dataclass annotation": of_helper(
        DATACLASS, "helpers.S().rate * value", "rate: float", "rate: complex", "helpers.py", same=True
    ),
    "3 dataclass field added": of_helper(
        DATACLASS,
        "helpers.S().rate * value",
        "steps: int = 5",
        "steps: int = 5\n    more: int = 6",
        "S changed",
        same=True,
    ),
    "3 dataclass frozen": of_helper(
        DATACLASS,
        "helpers.S().rate * value",
        "@dataclasses.dataclass\n",
        "@dataclasses.dataclass(frozen=True)\n",
        "S changed",
        same=True,
    ),
    "3 default factory": of_helper(DATACLASS_FACTORY, "helpers.S().rate[0] * value", "[1]", "[2]", "helpers.py"),
    "3 post init": of_helper(DATACLASS_POST_INIT, "helpers.S().rate * value", "+= 1", "+= 2", "__post_init__ changed"),
    "3 named tuple's default": of_helper(
        "import typing\nclass S(typing.NamedTuple):\n    rate: float = 0.1",
        "helpers.S().rate * value",
        "= 0.1",
        "= 0.2",
        "helpers.S",
    ),
    "3 pydantic's default": of_helper(
        "import pydantic\nclass S(pydantic.BaseModel):\n    rate: float = 0.1",
        "helpers.S().rate * value",
        "= 0.1",
        "= 0.2",
        "helpers.S",
    ),
    "3 pydantic's annotation": of_helper(
        PYDANTIC_ANNOTATION, "float(helpers.S().rate) * value", "rate: float", "rate: str", "helpers.py", same=True
    ),
    "3 pydantic's validator": of_helper(
        PYDANTIC_VALIDATOR, "helpers.S(rate=value).rate", "value + 1", "value + 2", "helpers.py"
    ),
    "3 msgspec's default": of_helper(
        "import msgspec\nclass S(msgspec.Struct):\n    rate: float = 0.1",
        "helpers.S().rate * value",
        "= 0.1",
        "= 0.2",
        "0.1 -> 0.2",
    ),
    "3 attrs' default": of_helper(ATTRS, "helpers.S().rate * value", "= 0.1", "= 0.2", "0.1 -> 0.2"),
    "3 attrs' converter": of_helper(ATTRS_CONVERTER, "helpers.S().rate * value", "x + 1", "x + 2", "helpers.py"),
    "3 typed dict as an annotation": Row(inside("a: int", "a: str"), setup=helper(TYPED_DICT, "helpers.use(value)")),
    "cached property": of_helper(CACHED_PROPERTY, "helpers.use(value)", "return 1", "return 2", "helpers.py"),
    "abstract base": of_helper(ABSTRACT, "helpers.use(value)", "return 1", "return 3", "A.g changed"),
    "descriptor": of_helper(DESCRIPTOR, "helpers.use(value)", "return 1", "return 3", "helpers.py"),
    "__init_subclass__": of_helper(SUBCLASS_HOOK, "helpers.use(value)", "cls.y = 1", "cls.y = 3", "helpers.py"),
    "__getattr__": of_helper(ATTRIBUTE_HOOK, "helpers.use(value)", "return 1", "return 3", "A.__getattr__ changed"),
    "a module's __getattr__": of_helper(MODULE_HOOK, "helpers.LATE + value", "return 1", "return 3", "helpers.py"),
    "bound method": of_helper(BOUND, "helpers.f(value)", "A(1)", "A(2)", "A(n=1) -> A(n=2)"),
    "16 class of an argument": Row(
        inside("return self.x\n", "return -self.x\n"),
        "train",
        ("argument lr",),
        setup=(
            *helper(RATE, "norm(value)"),
            ("pipeline.py", "sum(values) * lr", "sum(values) * lr.get()"),
            ("pipeline.py", "embed(clean(load(n))), lr)", "embed(clean(load(n))), helpers.Rate(lr))"),
        ),
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_edits_of_classes(world: World, name: str) -> None:
    """Exactly what the edit concerns runs; the plan says so and why, and so does the record."""
    hold(world, CLASSES[name])
