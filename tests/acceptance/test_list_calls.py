"""The list that must hold: arguments, installed versions, one key asked for by many, and what is refused by name."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from pipeline_support import Project, World

pytestmark = pytest.mark.slow

CALLS = {
    "calls.py": """
        import dataclasses, decimal, enum
        import numpy as np
        import gpucache as gpc

        @dataclasses.dataclass
        class Point:
            x: object = 1
            y: object = 2

        class Other(Point):
            pass

        class Color(enum.Enum):
            RED = 1
            CRIMSON = 2

        def deep(leaf, levels=8):
            for _ in range(levels):
                leaf = {"in": [leaf]}
            return leaf

        @gpc.task
        def same(name, x=None, y=2, *more, flag=False, **options):
            return 1

        BASE = np.arange(1_000_000.0)
        ONE_CHANGED = BASE.copy()
        ONE_CHANGED[567_890] += 1e-9
        """
}
DIFFERENT: dict[str, tuple[str, str]] = {
    "1 / True": ("1", "True"),
    "1 / 1.0": ("1", "1.0"),
    "1 / text": ("1", "'1'"),
    "True / 1.0": ("True", "1.0"),
    "0.0 / -0.0": ("0.0", "-0.0"),
    "None / text": ("None", "'None'"),
    "empty text / None": ("''", "None"),
    "list / tuple": ("[1, 2]", "(1, 2)"),
    "set / frozenset": ("{1, 2}", "frozenset({1, 2})"),
    "keys of another type": ("{1: 2}", "{'1': 2}"),
    "order of a dict": ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
    "nested otherwise": ("[[1], [2]]", "[[1, 2]]"),
    "texts joined": ("['ab', 'c']", "['a', 'bc']"),
    "text / bytes": ("'a'", "b'a'"),
    "eight levels deep": ("deep(1)", "deep(2)"),
    "forty levels deep": ("deep(1, 40)", "deep(2, 40)"),
    "number of levels": ("deep(1, 40)", "deep(1, 41)"),
    "class": ("Point(1, 2)", "Other(1, 2)"),
    "field": ("Point(1, 2)", "Point(1, 3)"),
    "enum": ("Color.RED", "Color.CRIMSON"),
    "enum / its value": ("Color.RED", "1"),
    "decimals": ("decimal.Decimal('1.0')", "decimal.Decimal('1.00')"),
    "last of a long text": ("'x' * 100_000 + 'a'", "'x' * 100_000 + 'b'"),
    "one element of a million": ("BASE", "ONE_CHANGED"),
    "views of one base": ("BASE[:10]", "BASE[10:20]"),
    "another shape": ("BASE.reshape(1000, 1000)", "BASE"),
    "another dtype of the same bytes": ("BASE.view('i8')", "BASE"),
    "another dtype": ("BASE.astype('f4')", "BASE"),
    "array / list": ("np.array([1, 2])", "[1, 2]"),
    "array / scalar": ("np.array(1)", "np.int64(1)"),
    "scalar / int": ("np.int64(1)", "1"),
    "transposed": ("BASE[:4].reshape(2, 2)", "BASE[:4].reshape(2, 2).T"),
    "renamed field": ("np.zeros(2, [('a', 'i4')])", "np.zeros(2, [('b', 'i4')])"),
}
PANDAS = {
    "renamed column": ("pd.DataFrame({'a': [1]})", "pd.DataFrame({'b': [1]})"),
    "another index": ("pd.DataFrame({'a': [1]})", "pd.DataFrame({'a': [1]}, index=[1])"),
    "order of rows": ("pd.DataFrame({'a': [1, 2]})", "pd.DataFrame({'a': [2, 1]})"),
}
SAME: dict[str, tuple[str, str]] = {
    "keyword / positional": ("'t', 5", "'t', x=5"),
    "order of keywords": ("'t', x=5, y=6", "'t', y=6, x=5"),
    "default spelled out": ("'t', 5", "'t', 5, 2"),
    "default by keyword": ("'t', 5", "'t', 5, flag=False, y=2"),
    "order of **options": ("'t', a=1, b=2", "'t', b=2, a=1"),
    "C / Fortran order": ("'t', BASE.reshape(1000, 1000)", "'t', np.asfortranarray(BASE.reshape(1000, 1000))"),
    "a copy that is not contiguous": ("'t', BASE[::2]", "'t', BASE[::2].copy()"),
    "read-only": ("'t', BASE", "'t', np.frombuffer(BASE.tobytes())"),
    "mapped": (
        "'t', np.arange(8.0)",
        "'t', np.memmap('m.bin', mode='w+', shape=8, dtype=float).__iadd__(np.arange(8.0))",
    ),
    "equal texts made apart": ("'t', 'a' * 50", "'t', ''.join(['a'] * 50)"),
    "one text twice": ("'t', ['ab', 'ab']", "'t', ['ab', ''.join(['a', 'b'])]"),
    "order of a set": ("'t', {'a', 'b', 'c', 'd'}", "'t', {'d', 'c', 'b', 'a'}"),
    "attributes in another order": ("'t', Point(1, 2)", "'t', Point(y=2, x=1)"),
    "one object twice": ("'t', [[1], [1]]", "'t', [inner := [1], inner]"),
}
SCRIPT = """
import calls, json
from calls import *
try:
    import pandas as pd
except ImportError:
    pd = None
for name, text in job["calls"].items():
    given = text.replace("'t'", repr(name), 1)
    call = lambda ask: eval(f"calls.same.{ask}({given})", {**vars(calls), "pd": pd, "calls": calls})
    out[name] = call("explain").hit
    call("__call__")
"""


def asked(world: World, project: Project, calls: dict[str, str]) -> dict[str, bool]:
    """Which of these calls would have hit, each before it was made."""
    return dict(world.script(project, SCRIPT, calls=calls))


def test_21_arguments(world: World) -> None:
    """What differs in type, structure or any bit is another call; what is written or laid out otherwise is not."""
    project = Project.make(world.base, CALLS)
    different = DIFFERENT | PANDAS
    first = {name: f"'t', {before}" for name, (before, _) in different.items()} | {
        name: call for name, (call, _) in SAME.items()
    }
    second = {name: f"'t', {after}" for name, (_, after) in different.items()} | {
        name: call for name, (_, call) in SAME.items()
    }

    assert set(asked(world, project, first).values()) == {False}
    again = asked(world, project, second)

    assert {name for name, hit in again.items() if hit} == set(SAME)


def test_12_two_closures_of_one_factory(world: World) -> None:
    """Two records, and each finds its own."""
    project = Project.make(
        world.base,
        {
            "calls.py": """
                import gpucache as gpc
                def make(n):
                    @gpc.task
                    def add(x):
                        return x + n
                    return add
                one, two = make(1), make(2)
                """
        },
    )
    script = """
        from calls import one, two
        out['values'] = [one(1), two(1)]
        out['hits'] = [one.explain(1).hit, two.explain(1).hit]
        """

    for _ in range(2):
        assert world.script(project, script) == {"values": [2, 3], "hits": [True, True]}


def package(place: Path, name: str, version: str, text: str, digest: str) -> None:
    (place / name).mkdir(parents=True, exist_ok=True)
    (place / name / "__init__.py").write_text(text)
    for old in place.glob(f"{name}-*.dist-info"):
        shutil.rmtree(old)
    info = place / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(f"{name}/__init__.py,sha256={digest},3\n")


def test_23_installed_versions(world: World) -> None:
    """A reached distribution's version or build reruns its users and is named; an unreached one does nothing."""
    site = world.base / "site-packages"
    package(site, "reached", "1.0", "def f(x):\n    return x\n", "abc")
    package(site, "other", "1.0", "", "abc")
    project = world.project(
        ("pipeline.py", "import helpers\n", "import helpers\nimport reached\nimport other\n"),
        ("pipeline.py", "[norm(value) for", "[reached.f(value) for"),
    )
    path = {"path": [str(site)]}
    world.run(project, **path)

    package(site, "other", "2.0", "", "abc")
    assert world.run(project, **path).ran == []
    package(site, "reached", "1.1", "def f(x):\n    return x\n", "abc")
    after = world.run(project, **path)
    assert after.ran == after.roots == ["clean"]
    assert after.why("clean") == after.recorded("clean") == ["reached 1.0 -> 1.1"]
    package(site, "reached", "1.1", "def f(x):\n    return x + 1\n", "def")
    rebuilt = world.run(project, **path)
    assert rebuilt.why("clean") == ["reached 1.1: another build"]
    package(site, "reached", "1.0", "def f(x):\n    return x\n", "abc")
    assert world.run(project, **path).ran == []


def test_23_rebuilt_extension_of_the_project(world: World) -> None:
    """A compiled module of the project counts by its bytes, and is named."""
    import _bisect

    if not getattr(_bisect, "__file__", None):
        pytest.skip("this Python has its extension modules built in, so there is none to copy")
    project = world.project(
        ("pipeline.py", "import helpers\n", "import helpers\nimport fast._bisect\n"),
        ("pipeline.py", "[norm(value) for", "[fast._bisect.bisect_right([1], value) for"),
        ("fast/__init__.py", "", "\n"),
    )
    target = project.root / "fast" / Path(_bisect.__file__).name
    shutil.copy(_bisect.__file__, target)
    first = world.run(project)
    assert "clean" in first.ran
    with target.open("ab") as file:
        file.write(b"rebuilt")

    after = world.run(project)

    assert after.ran == ["clean"]
    assert any("_bisect" in reason for reason in after.why("clean")), after.why("clean")


def test_24_runner_killed_while_seven_wait(world: World) -> None:
    """Eight processes, one missing key, the runner killed: the body starts exactly twice, and seven get the value."""
    project = Project.make(
        world.base,
        {
            "calls.py": """
                import os, signal, time
                import gpucache as gpc
                @gpc.task
                def once(x):
                    with open("started", "a") as file:
                        file.write("once\\n")
                    try:
                        os.close(os.open("first", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                    except FileExistsError:
                        return x * 2
                    while len(os.listdir("here")) < 8:
                        time.sleep(0.001)
                    os.kill(os.getpid(), signal.SIGKILL)
                """
        },
    )
    (project.root / "here").mkdir()
    script = "import calls, os; open(f'here/{os.getpid()}', 'w').close(); out['value'] = calls.once(21)"
    jobs = [world.job(project, script=script) for _ in range(8)]

    statuses = world.statuses(jobs)

    assert sorted(statuses) == [0] * 7 + [signal.SIGKILL]
    assert (project.root / "started").read_text() == "once\n" * 2
    told = [Path(job["out"]).read_text() for job, status in zip(jobs, statuses, strict=True) if status == 0]
    assert told == ['{"value": 42}'] * 7


REFUSED: dict[str, tuple[str, str]] = {
    "argument mutated": ("def bad(x):\n    x.append(1)\n    return 1", "changed 'x'"),
    "argument mutated deep": ("def bad(x):\n    x[0].append(1)\n    return 1", "changed 'x'"),
    "generator": ("def bad(x):\n    yield 1", "is a generator"),
    "lock in a closure": (
        "import threading\ndef make():\n    lock = threading.Lock()\n    def bad(x): return lock\n    return bad\nbad = make()",
        "make.<locals>.bad.lock (_thread.lock) can't be identified",
    ),
    "lock in a global": (
        "import threading\nLOCK = threading.Lock()\ndef bad(x):\n    with LOCK:\n        return 1",
        "calls.LOCK (_thread.lock) can't be identified",
    ),
    "open file in a global": (
        "import os\nLOG = open(os.devnull)\ndef bad(x):\n    return LOG.read()",
        "calls.LOG (_io.TextIOWrapper) can't be identified",
    ),
    "lock deep in a global": (
        "import threading\nCONF = {'a': [1, {'lock': threading.Lock()}]}\ndef bad(x):\n    return CONF['a'][0]",
        "calls.CONF['a'][1]['lock'] (_thread.lock) can't be identified",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_25_refused_by_name_and_not_stored(world: World, name: str) -> None:
    """The error says which, and how to go on; nothing is stored, so the next process is refused as well."""
    text, says = REFUSED[name]
    project = Project.make(world.base, {})
    project.write("calls.py", f"import gpucache as gpc\n{text}\nbad = gpc.task(bad)\n")
    script = """
        import calls, gpucache as gpc
        from gpucache.flows.session import current_session
        try:
            out["value"] = calls.bad([[1]])
        except gpc.errors.GpuCacheError as refusal:
            out["error"] = str(refusal)
        out["records"] = len(list(current_session().store.records()))
        """

    for _ in range(2):
        told: dict[str, Any] = world.script(project, script)
        assert says in told.get("error", ""), told
        assert "; " in told["error"], "no remedy"
        assert told["records"] == 0


CHANGED_GLOBALS = {
    "SEEN": "SEEN = []\ndef bad(x):\n    SEEN.append(1)\n    return len(SEEN)",
    "COUNT": "COUNT = 0\ndef bad(x):\n    global COUNT\n    COUNT += 1\n    return COUNT",
    "MEMO": "MEMO = {}\ndef helper(x):\n    return MEMO.setdefault(x[0], 1)\ndef bad(x):\n    return helper((1,))",
}


@pytest.mark.parametrize("name", CHANGED_GLOBALS)
def test_25_a_changed_global_is_said_and_not_stored(world: World, name: str) -> None:
    """The work is not lost: its value is returned, with a warning that names the global. strict refuses."""
    project = Project.make(world.base, {})
    project.write("calls.py", f"import gpucache as gpc\n{CHANGED_GLOBALS[name]}\nbad = gpc.task(bad)\n")
    script = """
        import calls, warnings, gpucache as gpc
        from gpucache.flows.session import current_session
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            out["value"] = calls.bad([[1]])
        out["said"] = [str(warning.message) for warning in said]
        out["records"] = len(list(current_session().store.records()))
        gpc.init(strict=True)
        try:
            calls.bad([[1]])
        except gpc.errors.ArgumentMutated as refusal:
            out["error"] = str(refusal)
        """

    told = world.script(project, script)

    assert (told["value"], told["records"]) == (1, 0)
    assert f"changed 'calls.{name}'" in told["said"][0]
    assert name == "MEMO" or f"changed 'calls.{name}'" in told["error"]  # that one was filled by the first call


def test_25_exceptions_are_not_stored(world: World) -> None:
    """What failed runs again."""
    project = world.project(
        (
            "pipeline.py",
            "return [float(i)",
            "if not __import__('os').path.exists('ok'):\n        raise ValueError('no')\n    return [float(i)",
        )
    )
    assert world.run(project).error == "ValueError: no"
    (project.root / "ok").write_text("")

    assert world.run(project).states[0] == ("load", "ran")


def test_none_is_a_value(world: World) -> None:
    """A stored None is a hit."""
    project = world.project(
        ("pipeline.py", "return [float(i) for i in range(n + 1)]", "return None"),
        ("pipeline.py", "[norm(value) for value in values]", "[norm(value) for value in values or []]"),
    )
    world.run(project)

    assert world.run(project).ran == []


def test_random_state_is_noticed(world: World) -> None:
    """Use of a global random generator is said of the record, and refused in strict mode; a generator of one's own is not."""
    project = Project.make(
        world.base,
        {
            "calls.py": """
                import random
                import numpy as np
                import gpucache as gpc
                @gpc.task
                def one(x):
                    return random.random()
                @gpc.task
                def two(x):
                    return float(np.random.rand())
                @gpc.task
                def own(x):
                    return float(np.random.default_rng(x).random())
                """
        },
    )
    script = """
        import calls, gpucache as gpc
        for name in ("one", "two", "own"):
            task = getattr(calls, name)
            try:
                task(1)
                out[name] = [note for note in task.explain(1).notes]
            except gpc.errors.NotCacheable as refusal:
                out[name] = str(refusal)
        """

    told = world.script(project, script)
    strict = world.script(project, script, env={"GPUCACHE_STRICT": "1"}, store=world.store + "2")

    assert told == {
        "one": ["it uses the global random state of random"],
        "two": ["it uses the global random state of numpy.random"],
        "own": [],
    }
    assert "global random state of random; make a generator" in strict["one"]
    assert "numpy.random" in strict["two"]
    assert strict["own"] == []


def test_strict_refuses_code_that_can_reach_anything(world: World) -> None:
    """eval in a task: said in the explanation, and refused where strict is set, by place and name."""
    project = world.project(("pipeline.py", "[norm(value) for", "[eval('norm')(value) for"))
    script = """
        import pipeline, gpucache as gpc
        try:
            out["notes"] = list(pipeline.clean.explain([1.0]).notes)
        except gpc.errors.NotIdentifiable as refusal:
            out["error"] = str(refusal)
        """

    assert any("eval" in note for note in world.script(project, script)["notes"])
    refused = world.script(project, script, env={"GPUCACHE_STRICT": "1"})["error"]
    assert "clean" in refused
    assert "builtins.eval" in refused
    assert os.sep not in refused.split("(")[0]


def test_20_there_and_back_finds_the_first_result(world: World) -> None:
    """A -> B -> A: the first value again, not the last one."""
    project = world.project()
    edited = project.edited(("deep.py", "x * FACTOR", "x ** FACTOR"))

    values = [world.run(place).value for place in (project, edited, project, edited)]

    assert values[0] == values[2] != values[1] == values[3]
