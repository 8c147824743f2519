"""What files of pipelines look like: imports of every style, tools that rewrite text, globals of libraries. Most edits change nothing.

Three processes a row, as in test_list_functions.py.
"""

from __future__ import annotations

import pytest
from edit_rows import Row, free, helper, hold, of_helper
from pipeline_support import World

pytestmark = pytest.mark.slow

BY_PATH = "import scipy.special\ndef use(x):\n    return x + float(scipy.special.expit(x))"

HABITS: dict[str, Row] = {
    "from random": free(
        ("o.txt", "", "x"),
        setup=helper(
            """\
from random import shuffle, randint, random, seed
def use(x):
    if x < 0:
        shuffle([1]); randint(1, 2); random()
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "from numpy.random": free(
        ("o.txt", "", "x"),
        setup=helper(
            """\
from numpy.random import rand, randint, seed
def use(x):
    if x < 0:
        rand(); randint(1, 2)
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "Struct": of_helper(
        """\
import struct
S = struct.Struct('<d')
def use(x):
    return x + S.size""",
        "helpers.use(value)",
        "'<d'",
        "'<dd'",
        "helpers.S",
    ),
    "rng global": of_helper(
        """\
import numpy as np
RNG = np.random.default_rng(3)
def use(x):
    return x + RNG.bit_generator.state['state']['inc'] % 7 * 0 + 1""",
        "helpers.use(value)",
        "default_rng(3)",
        "default_rng(4)",
        "helpers.RNG",
        same=True,
    ),
    "dist": free(
        ("o.txt", "", "x"),
        setup=helper(
            """\
from scipy.stats import norm as N
import scipy.special as sp
from scipy.special import erf
def use(x):
    return x + float(N.cdf(0.3)) + float(erf(0.1)) + float(sp.gamma(2))""",
            "helpers.use(value)",
        ),
    ),
    "os.path funcs": free(
        ("o.txt", "", "x"),
        setup=helper(
            """\
from os.path import join, exists
from pathlib import Path
from time import perf_counter, time
from itertools import chain
from functools import reduce
from operator import itemgetter
G = itemgetter(0)
from collections import defaultdict, Counter
from math import pi, inf, nan
from datetime import datetime as DT, UTC
from logging import getLogger
log = getLogger(__name__)
from sys import stdout, stderr, maxsize, platform
from threading import Thread
import numpy.typing as npt
from typing import TypeVar, Any, NewType
T = TypeVar('T')
Uid = NewType('Uid', int)
NAN = float('nan')
def use(x):
    if x < 0:
        join('a'); exists('b'); time(); stdout.write('x'); stderr.write('y'); print(platform, maxsize, T, Uid(3))
        DT.now(UTC); log.info('x'); Thread(); chain(); reduce(G, []); perf_counter(); Counter(); defaultdict()
    return x + 1 + (pi if NAN == NAN else 0) + (nan == inf)""",
            "helpers.use(value)",
        ),
    ),
    "ufunc by path": free(
        ("helpers.py", "from scipy.special import expit\ndef use(x):\n    return x + float(expit(x))", BY_PATH),
        setup=helper(
            "from scipy.special import expit\ndef use(x):\n    return x + float(expit(x))", "helpers.use(value)"
        ),
    ),
    "warnings filter": free(
        ("o.txt", "", "x"),
        setup=helper(
            """\
import warnings
warnings.filterwarnings('ignore')
import pandas as pd
pd.set_option('display.width', 100)
def use(x):
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "tqdm-like": free(
        ("o.txt", "", "x"),
        setup=helper(
            """\
import time
START = time.time()
def use(x):
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "dunder main guard": free(
        ("helpers.py", "if __name__ == '__main__':\n    print(1)", "if __name__ == '__main__':\n    print(2)"),
        setup=helper(
            """\
def use(x):
    return x + 1
if __name__ == '__main__':
    print(1)""",
            "helpers.use(value)",
        ),
    ),
    "__all__": free(
        ("helpers.py", "__all__ = ['use']", "__all__ = ['use', 'norm']"),
        setup=helper(
            """\
__all__ = ['use']
def use(x):
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "version constant unread": free(
        ("helpers.py", "__version__ = '1'", "__version__ = '2'"),
        setup=helper(
            """\
__version__ = '1'
def use(x):
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "type params": free(
        ("helpers.py", "def use(x: 'int')", "def use(x: 'float')"),
        setup=helper("def use(x: 'int'):\n    return x + 1", "helpers.use(value)"),
    ),
    "isort": free(
        ("helpers.py", "import os\nimport json\n", "import json\nimport os\n"),
        setup=helper(
            """\
import os
import json
def use(x):
    return x + 1 + len(os.sep) + len(json.dumps(1))""",
            "helpers.use(value)",
        ),
    ),
    "import style lib": free(
        ("helpers.py", "from json import dumps\n", "import json\n"),
        ("helpers.py", "len(dumps(1))", "len(json.dumps(1))"),
        setup=helper(
            """\
from json import dumps
def use(x):
    return x + len(dumps(1))""",
            "helpers.use(value)",
        ),
    ),
    "np alias": free(
        ("helpers.py", "import numpy as np\n", "import numpy\n"),
        ("helpers.py", "np.float64(x)", "numpy.float64(x)"),
        setup=helper(
            """\
import numpy as np
def use(x):
    return float(np.float64(x)) + 1""",
            "helpers.use(value)",
        ),
    ),
    "parameter hint from __future__": free(
        (
            "helpers.py",
            "from deep import scale",
            """\
from __future__ import annotations
from deep import scale""",
        ),
        setup=helper(
            """\
def use(x: int) -> float:
    return x + 1""",
            "helpers.use(value)",
        ),
    ),
    "line continuation": free(
        (
            "helpers.py",
            "return x + 1 + 2",
            """\
return (
        x
        + 1
        + 2
    )""",
        ),
        setup=helper("def use(x):\n    return x + 1 + 2", "helpers.use(value)"),
    ),
    "implicit string concat": free(
        ("helpers.py", "'abcd'", "'ab' 'cd'"),
        setup=helper("def use(x):\n    return x + len('abcd')", "helpers.use(value)"),
    ),
    "trailing comma call": free(
        ("helpers.py", "max(x, 1)", "max(\n        x,\n        1,\n    )"),
        setup=helper("def use(x):\n    return max(x, 1)", "helpers.use(value)"),
    ),
    "noqa": free(
        ("helpers.py", "return x + 1", "return x + 1  # noqa: E501  # type: ignore"),
        setup=helper("def use(x):\n    return x + 1", "helpers.use(value)"),
    ),
    "tabs": free(
        ("helpers.py", "def use(x):\n    return x + 1", "def use(x):\n\treturn x + 1"),
        setup=helper("def use(x):\n    return x + 1", "helpers.use(value)"),
    ),
    "crlf": free(
        ("helpers.py", "LIMIT = 10\n", "LIMIT = 10\r\n"),
        setup=helper("def use(x):\n    return x + 1", "helpers.use(value)"),
    ),
    "encoding cookie": free(
        (
            "helpers.py",
            "from deep import scale",
            """\
# -*- coding: utf-8 -*-
from deep import scale""",
        ),
        setup=helper("def use(x):\n    return x + len('é')", "helpers.use(value)"),
    ),
    "bom": free(
        ("helpers.py", "from deep import scale", "\ufefffrom deep import scale"),
        setup=helper("def use(x):\n    return x + 1", "helpers.use(value)"),
    ),
}


@pytest.mark.parametrize("name", HABITS)
def test_a_habit(world: World, name: str) -> None:
    """Exactly what the edit concerns runs; the plan says so and why, and so does the record."""
    hold(world, HABITS[name])
