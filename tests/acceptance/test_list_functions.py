"""The list that must hold: functions, constants, imports and arguments, edit by edit.

Each row is three processes on one store, under two hash seeds, each in a copy of the project at another place: before, after
the edit, and back again, which must find everything. The numbers are those of the list.
"""

from __future__ import annotations

import pytest
from edit_rows import CLEAN, Row, clean, free, helper, hold, inside, norms, of_helper
from pipeline_support import World

pytestmark = pytest.mark.slow

MAKE = """\
def make(n):
    def add(x):
        return x + n
    return add

add = make(1)"""
PARTIAL = """\
import functools
def limited(x, limit):
    return min(x, limit)

part = functools.partial(limited, limit=3)"""
SCALED = """\
import functools
def scaled(by):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(x):
            return fn(x) * by
        return wrapper
    return decorate

@scaled(2)
def plus(x):
    return x + 1"""
TWICE = """\
def twice(fn):
    return lambda x: fn(fn(x))

@twice
def plus(x):
    return x + 1"""
PICK = """\
import enum
class Color(enum.Enum):
    RED = 1
    BLUE = 2

def pick(x):
    return x * Color.RED.value"""
OUTER = """\
def outer(x):
    def inner(y):
        return y + 1
    return inner(x)"""
CACHED = """\
import functools
@functools.lru_cache
def slow(x):
    return x + 1"""
HELD = """\
import contextlib
@contextlib.contextmanager
def held(x):
    yield x + 1

def use(x):
    with held(x) as y:
        return y"""
DISPATCHED = """\
import functools
@functools.singledispatch
def kind(x):
    return 0

@kind.register
def _(x: float):
    return x + 1"""
REGISTRY = """\
REGISTRY = {}
def register(fn):
    REGISTRY[fn.__name__] = fn
    return fn

@register
def one(x):
    return x + 1"""
ADD = """\
def base():
    return 1

def add(x, make=base):
    return x + make()"""
KEY = """\
KEY = lambda x: -x

def order(x):
    return sorted([x, 1.0, 2.0], key=KEY)[0]"""
EVEN_AND_ODD = """\
def even(n):
    return n <= 0 or odd(n - 1)

def odd(n):
    return n > 0 and even(n - 1)"""
WEIGHTS = """\
WEIGHTS = [1, 2, 3]

def weigh(x):
    return x * sum(WEIGHTS)"""
CONFIG = """\
CONFIG = {"a": {"b": {"c": [1, {"d": 2}]}}}

def conf(x):
    return x * CONFIG["a"]["b"]["c"][1]["d"]"""
ORDERED = """\
CONFIG = {"a": 1, "b": 2}

def conf(x):
    return x * next(iter(CONFIG.values()))"""
PATTERN = """\
import re
PATTERN = re.compile("a")

def found(x):
    return x + bool(PATTERN.search("ab"))"""
TABLE = """\
import numpy as np
TABLE = np.zeros(1000)
TABLE[500] = 1

def take(x):
    return x + float(TABLE[500])"""
CONF = """\
class Conf:
    def __init__(self, rate):
        self.rate = rate

CONF = Conf(1)

def use(x):
    return x * CONF.rate"""
MODE = """\
import os
MODE = os.environ.get("PIPELINE_MODE", "one")

def use(x):
    return x + len(MODE)"""
STEP = """\
STEP = 1

def step(x):
    global STEP
    return x + STEP"""
TYPED = """\
import typing
def typed(x: int):
    return x + len(str(typing.get_type_hints(typed)))"""
KIND = """\
def kind(x):
    match x:
        case 0.0:
            return 1
        case _:
            return 2"""
KINDS = """\
KINDS = {"a", "b", "c"}

def pick(x):
    return x if "a" in KINDS else 0"""
LOG = """\
import logging
LOG = logging.getLogger("one")

def talk(x):
    LOG.info("x")
    return x * 2"""

FREE: dict[str, Row] = {
    "2 comment": free(("deep.py", "    return x * FACTOR", "    # by the factor\n    return x * FACTOR  # so")),
    "2 formatting": free(("pipeline.py", CLEAN, "return [\n        norm( value )\n        for value in values\n    ]")),
    "2 parentheses": free(("deep.py", "return x * FACTOR", "return (x * (FACTOR))")),
    "2 docstring": free(("deep.py", "def scale(x):", 'def scale(x):\n    """By the factor."""')),
    "2 docstring of a task": free(("pipeline.py", "def clean(values):", 'def clean(values):\n    """Clean."""')),
    "2 module docstring": free(("deep.py", "FACTOR = 3", '"""Deep things."""\n\nFACTOR = 3')),
    "2 annotation": free(("deep.py", "def scale(x):", "def scale(x: float) -> float:")),
    "2 annotation of a task": free(("pipeline.py", "def clean(values):", "def clean(values: list) -> list:")),
    "2 annotation of a local": free(
        ("deep.py", "    y = x", "    y: float = x"),
        setup=(("deep.py", "return x * FACTOR", "y = x * FACTOR\n    return y"),),
    ),
    "2 pass": free(("deep.py", "def scale(x):", "def scale(x):\n    pass")),
    "2 other quotes": free(("pipeline.py", '"weight " + str(model["weight"])', "'weight ' + str(model['weight'])")),
    "2 number written otherwise": free(("deep.py", "FACTOR = 3", "FACTOR = 0x3")),
    "2 future annotations": free(("deep.py", "FACTOR = 3", "from __future__ import annotations\n\nFACTOR = 3")),
    "4 forty lines above": free(
        ("deep.py", "FACTOR = 3", "# a line\n" * 40 + "FACTOR = 3"),
        ("pipeline.py", "DEFAULT = 4", "\n" * 40 + "DEFAULT = 4"),
    ),
    "4 moved to another file": free(
        ("elsewhere.py", "", "import deep\n\ndef norm(x):\n    return deep.scale(x) / 2\n"),
        ("helpers.py", "def norm(x):\n    return scale(x) / 2\n", "from elsewhere import norm\n"),
    ),
    "4 module becomes a package": free(
        ("deep/__init__.py", "", "from deep.scaling import scale\n"),
        ("deep/scaling.py", "", "FACTOR = 3\n\ndef scale(x):\n    return x * FACTOR\n"),
    ),
    "4 relative import": free(
        ("kit/__init__.py", "", ""),
        ("kit/deep.py", "", "FACTOR = 3\n\ndef scale(x):\n    return x * FACTOR\n"),
        ("kit/names.py", "", "from .deep import scale\n"),
        ("helpers.py", "from deep import scale", "from kit.names import scale"),
    ),
    "6 unrelated function": free(
        ("helpers.py", "def unrelated(x):\n    return x", "def unrelated(x):\n    return x + 1")
    ),
    "6 unrelated function removed": free(("helpers.py", "def unrelated(x):\n    return x\n", "")),
    "6 unrelated function added": free(
        ("helpers.py", "def unrelated(x):", "def more(x):\n    return scale\n\ndef unrelated(x):")
    ),
    "6 unrelated constant": free(("helpers.py", "LIMIT = 10", "LIMIT = 11")),
    "6 unrelated import": free(("helpers.py", "LIMIT = 10", "import json\nimport math as m\nLIMIT = 10")),
    "6 unrelated module": free(("new.py", "", "raise RuntimeError('never imported')\n")),
    "6 functions in another order": free(
        (
            "helpers.py",
            "def norm(x):\n    return scale(x) / 2\n\ndef unrelated(x):\n    return x\n",
            "def unrelated(x):\n    return x\n\ndef norm(x):\n    return scale(x) / 2\n",
        ),
    ),
    "7 from import becomes attribute": free(clean("return [helpers.norm(value) for value in values]")),
    "7 import under another name": free(
        ("helpers.py", "from deep import scale", "from deep import scale as by"),
        ("helpers.py", "scale(x) / 2", "by(x) / 2"),
    ),
    "8 import moves into the body": free(clean("from helpers import norm\nreturn [norm(value) for value in values]")),
    "constant spelled otherwise": free(("deep.py", "FACTOR = 3", "FACTOR = 2 + 1")),
    "constant moved to another module": free(
        ("deep.py", "FACTOR = 3", "from constants import FACTOR"), ("constants.py", "", "FACTOR = 3\n")
    ),
    "helper's name imported by star": free(("pipeline.py", "from helpers import norm", "from helpers import *")),
    "type checking import": free(
        ("helpers.py", "LIMIT = 10", "import typing\nif typing.TYPE_CHECKING:\n    from nowhere import X\nLIMIT = 10")
    ),
    "task's place to run": free(
        ("pipeline.py", "@gpc.task\ndef clean", "@gpc.task(retries=3, memory='1GiB')\ndef clean")
    ),
    "flow's own lines": free(("pipeline.py", "    return report(", "    print('starting')\n    return report(")),
    "keyword instead of position": free(
        ("pipeline.py", "train(embed(clean(load(n))), lr)", "train(lr=lr, values=embed(clean(values=load(n=n))))")
    ),
    "10 default spelled out": free(("pipeline.py", "embed(clean(load(n)))", "embed(clean(load(n)), width=4)")),
    "10 constant changed, old value passed": free(
        ("pipeline.py", "DEFAULT = 4", "DEFAULT = 5"),
        setup=(("pipeline.py", "embed(clean(load(n)))", "embed(clean(load(n)), 4)"),),
    ),
    "set written in another order": Row(
        (("helpers.py", '{"a", "b", "c"}', '{"c", "b", "a"}'),), setup=helper(KINDS, "helpers.pick(value)")
    ),
    "logger renamed": free(
        ("helpers.py", 'getLogger("one")', 'getLogger("two")'),
        setup=helper(LOG, "helpers.talk(value)"),
    ),
}
CODE: dict[str, Row] = {
    "1 constant in a body": Row(
        inside("range(n + 1)", "range(n + 2)", "pipeline.py"), "load", ("pipeline.py:8 load changed",)
    ),
    "1 last task": Row(inside('"weight "', '"w "', "pipeline.py"), "report", ("pipeline.py:24 report changed",)),
    "1 two tasks at once": Row(
        (("pipeline.py", '"weight "', '"w "'), ("pipeline.py", "value * width", "value + width")),
        "embed",
        ("embed changed",),
    ),
    "5 helper of a helper": norms(),
    "5 constant of a helper": Row(
        inside("FACTOR = 3", "FACTOR = 4", "deep.py"), "clean", ("constant deep.FACTOR 3 -> 4",)
    ),
    "5 constant of another type": Row(
        inside("FACTOR = 3", "FACTOR = 3.0", "deep.py"), "clean", ("constant deep.FACTOR 3 -> 3.0",), same=True
    ),
    "7 attribute, then edited": norms(clean("return [helpers.norm(value) for value in values]")),
    "8 import in the body, then edited": norms(
        clean("from helpers import norm\nreturn [norm(value) for value in values]")
    ),
    "8 import in the body of a helper": norms(
        ("helpers.py", "from deep import scale\n", ""),
        ("helpers.py", "return scale(x)", "from deep import scale\n    return scale(x)"),
    ),
    "8 chain through modules": norms(
        ("pipeline.py", "import helpers\n", "import helpers\nimport deep\nhelpers.deep = deep\n"),
        clean("return [helpers.deep.scale(value) for value in values]"),
    ),
    "9 getattr with a text": norms(clean('return [getattr(helpers, "norm")(value) for value in values]')),
    "9 getattr with a name": norms(clean('return [getattr(helpers, "no" + "rm")(value) for value in values]')),
    "9 globals()": norms(clean("return [globals()['norm'](value) for value in values]")),
    "9 vars()": norms(clean("return [vars(helpers)['norm'](value) for value in values]")),
    "9 eval": norms(clean("return [eval('norm')(value) for value in values]")),
    "9 import by a computed name": norms(
        clean('import importlib\nreturn [importlib.import_module("help" + "ers").norm(value) for value in values]'),
        says="deep",
    ),
    "9 sys.modules": norms(
        clean("import sys\nreturn [sys.modules['helpers'].norm(value) for value in values]"), says="deep"
    ),
    "9 star import": norms(("pipeline.py", "from helpers import norm", "from helpers import *")),
    "9 map and operator": norms(
        clean("import operator\nreturn list(map(operator.attrgetter('norm')(helpers), values))")
    ),
    "10 constant as a default": Row(
        inside("DEFAULT = 4", "DEFAULT = 5", "pipeline.py"), "embed", ("argument width 4 -> 5",)
    ),
    "11 helper's default": of_helper(
        "def limited(x, limit=LIMIT):\n    return min(x, limit)",
        "helpers.limited(value)",
        "LIMIT = 10",
        "LIMIT = 1",
        "limited",
    ),
    "11 helper's keyword default": of_helper(
        "def limited(x, *, limit=LIMIT):\n    return min(x, limit)",
        "helpers.limited(value)",
        "LIMIT = 10",
        "LIMIT = 1",
        "limited",
    ),
    "12 closure's variable": of_helper(MAKE, "helpers.add(value)", "make(1)", "make(2)", "1 -> 2"),
    "12 closure's factory": of_helper(MAKE, "helpers.add(value)", "return x + n", "return x - n", "add changed"),
    "13 partial's keyword": of_helper(PARTIAL, "helpers.part(value)", "limit=3", "limit=1", "3 -> 1"),
    "13 partial's function": of_helper(
        PARTIAL, "helpers.part(value)", "min(x, limit)", "max(x, limit)", "limited changed"
    ),
    "14 lambda in a table": of_helper(
        'TABLE = {"one": lambda x: x + 1, "two": lambda x: x + 2}',
        "helpers.TABLE['one'](value)",
        "x + 1",
        "x + 3",
        "<lambda> changed",
    ),
    "14 another lambda in the table": of_helper(
        'TABLE = {"one": lambda x: x + 1, "two": lambda x: x + 2}',
        "helpers.TABLE['one'](value)",
        "x + 2",
        "x + 3",
        "<lambda> changed",
        same=True,
    ),
    "17 decorator's body": of_helper(SCALED, "helpers.plus(value)", "fn(x) * by", "fn(x) - by", "wrapper changed"),
    "17 decorator's argument": of_helper(SCALED, "helpers.plus(value)", "@scaled(2)", "@scaled(3)", "2 -> 3"),
    "17 what a decorator wraps": of_helper(
        SCALED, "helpers.plus(value)", "return x + 1", "return x + 2", "plus changed"
    ),
    "17 decorator taken away": of_helper(TWICE, "helpers.plus(value)", "@twice\ndef plus", "def plus", "plus"),
    "18 enum's value": of_helper(PICK, "helpers.pick(value)", "RED = 1", "RED = 7", "Color"),
    "19 identical output": Row(
        inside("x * FACTOR", "FACTOR * x", "deep.py"), "clean", ("deep.py:3 scale changed",), same=True
    ),
    "19 loop instead of comprehension": Row(
        (clean("out = []\nfor value in values:\n    out.append(norm(value))\nreturn out"),),
        "clean",
        ("clean changed",),
        same=True,
    ),
    "nested function": of_helper(OUTER, "helpers.outer(value)", "y + 1", "y + 2", "outer changed"),
    "lru_cache put on": Row(
        (("helpers.py", "def norm(x):", "import functools\n@functools.lru_cache\ndef norm(x):"),), "clean", same=True
    ),
    "inside lru_cache": of_helper(CACHED, "helpers.slow(value)", "x + 1", "x + 2", "slow changed"),
    "inside contextmanager": of_helper(HELD, "helpers.use(value)", "x + 1", "x + 2", "held changed"),
    "inside singledispatch": of_helper(DISPATCHED, "helpers.kind(value)", "x + 1", "x + 2", "helpers.py"),
    "in a registry": of_helper(REGISTRY, "helpers.REGISTRY['one'](value)", "x + 1", "x + 2", "one changed"),
    "one more in a registry": of_helper(
        REGISTRY,
        "sum(f(value) for f in helpers.REGISTRY.values())",
        "def unrelated(x):",
        "@register\ndef unrelated(x):",
        "REGISTRY",
    ),
    "default factory of a helper": of_helper(ADD, "helpers.add(value)", "return 1", "return 2", "base changed"),
    "lambda as a key": of_helper(KEY, "helpers.order(value)", "lambda x: -x", "lambda x: x", "<lambda> changed"),
    "recursion": of_helper(
        "def down(n):\n    return 0 if n <= 0 else 1 + down(n - 1)",
        "helpers.down(value)",
        "1 + down",
        "2 + down",
        "down changed",
    ),
    "mutual recursion": of_helper(EVEN_AND_ODD, "helpers.even(value)", "n > 0 and", "n > 1 and", "odd changed"),
    "monkeypatched constant": Row(
        inside("import helpers\n", "import helpers\nimport deep\ndeep.FACTOR = 9\n", "pipeline.py"),
        "clean",
        ("constant deep.FACTOR 3 -> 9",),
    ),
    "monkeypatched function": Row(
        inside("import helpers\n", "import helpers\nimport deep\nhelpers.scale = lambda x: x - 1\n", "pipeline.py"),
        "clean",
    ),
    "mixed-in list": of_helper(
        WEIGHTS, "helpers.weigh(value)", "[1, 2, 3]", "[1, 2, 4]", "constant helpers.WEIGHTS [1, 2, 3] -> [1, 2, 4]"
    ),
    "deep in a dict": of_helper(CONFIG, "helpers.conf(value)", '"d": 2', '"d": 3', "helpers.CONFIG"),
    "order of a dict": of_helper(
        ORDERED, "helpers.conf(value)", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "helpers.CONFIG"
    ),
    "a pattern": of_helper(PATTERN, "helpers.found(value)", 're.compile("a")', 're.compile("c")', "helpers.PATTERN"),
    "an array": of_helper(TABLE, "helpers.take(value)", "TABLE[500] = 1", "TABLE[500] = 2", "helpers.TABLE"),
    "an instance": of_helper(CONF, "helpers.use(value)", "Conf(1)", "Conf(2)", "helpers.CONF"),
    "an environment's constant": of_helper(
        MODE, "helpers.use(value)", '"one"', '"three"', "constant helpers.MODE 'one' -> 'three'"
    ),
    "a library's function": of_helper(
        "import math\ndef round_(x):\n    return math.floor(x + 0.5)",
        "helpers.round_(value)",
        "math.floor",
        "math.ceil",
        "round_ changed",
    ),
    "a helper with one parameter more": Row(
        (("deep.py", "def scale(x):", "def scale(x, plus=0):"),), "clean", ("scale changed",), same=True
    ),
    "a task with one parameter more": Row(
        (("pipeline.py", "def embed(values, width=DEFAULT):", "def embed(values, width=DEFAULT, bias=0):"),),
        "embed",
        same=True,
    ),
    "a print": Row(
        (("deep.py", "    return x * FACTOR", "    print(x)\n    return x * FACTOR"),),
        "clean",
        ("scale changed",),
        same=True,
    ),
    "an assert": Row(
        (("deep.py", "    return x * FACTOR", "    assert x >= 0\n    return x * FACTOR"),),
        "clean",
        ("scale changed",),
        same=True,
    ),
    "a global statement": of_helper(
        STEP, "helpers.step(value)", "STEP = 1", "STEP = 2", "constant helpers.STEP 1 -> 2"
    ),
    "a docstring that is read": of_helper(
        'def told(x):\n    """one"""\n    return x + len(told.__doc__)',
        "helpers.told(value)",
        '"""one"""',
        '"""three"""',
        "told changed",
    ),
    "annotations that are read": of_helper(TYPED, "helpers.typed(value)", "x: int", "x: complex", "typed changed"),
    "a match": of_helper(KIND, "helpers.kind(value)", "return 1", "return 3", "kind changed"),
    "an operator": Row(inside("scale(x) / 2", "scale(x) // 2"), "clean", ("norm changed",)),
    "a helper renamed together with what it does": Row(
        (
            ("helpers.py", "def norm(x):\n    return scale(x) / 2", "def half(x):\n    return scale(x) / 4"),
            ("pipeline.py", "from helpers import norm", "from helpers import half as norm"),
        ),
        "clean",
    ),
    "a version": Row(
        inside("@gpc.task\ndef clean", "@gpc.task(version='2')\ndef clean", "pipeline.py"),
        "clean",
        ("version 2",),
        same=True,
    ),
    "another version": Row(
        inside("version='1'", "version='2'", "pipeline.py"),
        "clean",
        ("version 1 -> 2",),
        same=True,
        setup=inside("@gpc.task\ndef clean", "@gpc.task(version='1')\ndef clean", "pipeline.py"),
    ),
    "helper renamed": Row(
        (
            ("helpers.py", "def norm(x):", "def normal(x):"),
            ("pipeline.py", "from helpers import norm", "from helpers import normal as norm"),
        ),
        "clean",
        same=True,
    ),  # its __name__ is seen by pandas, say
    "conditional import": norms(
        (
            "helpers.py",
            "from deep import scale",
            "try:\n    from deep import scale\nexcept ImportError:\n    scale = None",
        )
    ),
    "a fallback that is taken": Row(
        (("fast.py", "", "def scale(x):\n    return x * 4\n"),),
        "clean",
        setup=(
            (
                "helpers.py",
                "from deep import scale",
                "try:\n    from fast import scale\nexcept ImportError:\n    from deep import scale",
            ),
        ),
    ),
    "a fallback in a body": Row(
        (("fast.py", "", "def scale(x):\n    return x * 4\n"),),
        "clean",
        setup=(
            (
                "helpers.py",
                "return scale(x) / 2",
                "try:\n        from fast import scale as by\n    except ImportError:\n        by = scale\n    return by(x) / 2",
            ),
        ),
    ),
    "argument": Row((), "train", ("argument lr 0.001 -> 0.0003",), after={"lr": 0.0003}),
    "argument above": Row((), "load", ("argument n 3 -> 4",), after={"n": 4}),
    "default of the flow": Row(inside("LR = 0.001", "LR = 0.1", "pipeline.py"), "train", ("argument lr 0.001 -> 0.1",)),
    "argument of another type": Row(
        (), "load", ("argument n 1 -> True",), same=True, before={"n": 1}, after={"n": True}
    ),
    "a step taken out": Row(
        inside("embed(clean(load(n)))", "embed(load(n))", "pipeline.py"), "embed", ("argument values",)
    ),
    "a step put in": Row(
        inside("embed(clean(load(n)))", "embed(clean(clean(load(n))))", "pipeline.py"), "clean", ("argument values",)
    ),
}


@pytest.mark.parametrize("name", FREE)
def test_edits_that_change_nothing(world: World, name: str) -> None:
    """Nothing runs, and the plan says so."""
    hold(world, FREE[name])


@pytest.mark.parametrize("name", CODE)
def test_edits_of_code_and_arguments(world: World, name: str) -> None:
    """Exactly what the edit concerns runs; the plan says so and why, and so does the record."""
    hold(world, CODE[name])
