"""Edits of real files in real processes: which functions are another function afterwards, and what names the edit.

The pipeline load -> clean -> embed -> train -> report of IDENTITY.md's list; `clean` calls helpers.norm, which calls
deep.scale. Each edit is made in a copy of the project at another place and looked at by a process of its own, so every test
is one of a moved directory, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import gpucache

pytestmark = pytest.mark.slow

TASKS = ("load", "clean", "embed", "train", "report")
REPOSITORY = Path(gpucache.__file__).resolve().parents[1]

PROJECT = {
    "deep.py": """
        FACTOR = 3

        def scale(x):
            return x * FACTOR
        """,
    "helpers.py": """
        import dataclasses
        import enum
        import functools

        from deep import scale

        LIMIT = 10

        @dataclasses.dataclass
        class Settings:
            rate: float = 0.1
            steps: int = 5

        class Color(enum.Enum):
            RED = 1
            BLUE = 2

        class Base:
            def start(self):
                return 1

        class Vector(Base):
            def __init__(self, x):
                self.x = x

            @property
            def size(self):
                return self.x

            def __add__(self, other):
                return Vector(self.x + other.x)

        def scaled(by):
            def decorate(fn):
                @functools.wraps(fn)
                def wrapper(x):
                    return fn(x) * by
                return wrapper
            return decorate

        def norm(x):
            return scale(x) / 2

        def unrelated(x):
            return x

        @scaled(2)
        def decorated(x):
            return x + 1

        def limited(x, limit=LIMIT):
            return min(x, limit)

        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - 1)

        TABLE = {"one": lambda x: x + 1, "two": lambda x: x + 2}
        """,
    "pipeline.py": """
        import functools

        import gpucache as gpc
        import helpers
        from helpers import norm

        DEFAULT = 4

        @gpc.task
        def load(n):
            return list(range(n + 1))

        @gpc.task
        def clean(values):
            return [norm(value) for value in values]

        @gpc.task
        def embed(values, width=DEFAULT):
            return [value * width for value in values]

        @gpc.task
        def train(values, settings):
            model = helpers.Settings()
            return model.rate * sum(values) + settings.rate

        @gpc.task
        def report(model):
            return str(model)
        """,
}

PROBE = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
from gpucache.fingerprint import Fingerprints
module = importlib.import_module(sys.argv[2])
prints = Fingerprints()
found = {}
for name in sys.argv[3:]:
    made = prints.of(getattr(module, name))
    found[name] = [made.digest.hex(), {part: digest.hex() for part, (digest, _) in made.parts.items()}, made.notes]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Seen:
    """What a process saw: per function its digest, its components and its notes."""

    functions: Mapping[str, tuple[str, Mapping[str, str], list[str]]]

    def changed_since(self, before: Seen) -> set[str]:
        return {name for name, seen in self.functions.items() if seen[0] != before.functions[name][0]}

    def named_since(self, before: Seen, function: str) -> set[str]:
        now, was = self.functions[function][1], before.functions[function][1]
        return {part for part in {*now, *was} if now.get(part) != was.get(part)}

    def notes(self, function: str) -> list[str]:
        return list(self.functions[function][2])


class Project:
    """A copy of the project that can be edited and looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, files: Mapping[str, str]) -> Project:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return self

    def edited(self, file: str, old: str, new: str) -> Project:
        """A copy elsewhere, in which one text was replaced."""
        there = self.root.parent / f"{self.root.name}_"
        shutil.copytree(self.root, there, ignore=shutil.ignore_patterns("__pycache__"))
        text = (there / file).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        (there / file).write_text(text.replace(old, new))
        return Project(there)

    def seen(self, *functions: str, module: str = "pipeline", probe: str = PROBE, path: str = "") -> Seen:
        output = run([sys.executable, "-c", probe, str(self.root), module, *(functions or TASKS)], path=path)
        return Seen({name: tuple(seen) for name, seen in json.loads(output).items()})


def run(command: list[str], path: str = "", cwd: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), path)))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project").write(PROJECT)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What the project is before any edit."""
    return Project(tmp_path_factory.mktemp("before") / "project").write(PROJECT).seen()


def with_clean(project: Project, body: str, imports: str = "") -> Project:
    """The project with another body of `clean`."""
    text = (project.root / "pipeline.py").read_text()
    old = "    return [norm(value) for value in values]\n"
    text = text.replace(old, textwrap.indent(textwrap.dedent(body), "    ")).replace(
        "import helpers\n", f"import helpers\n{imports}"
    )
    (project.root / "pipeline.py").write_text(text)
    return project


def check(
    project: Project, edits: Mapping[tuple[str, str, str], set[str]], *functions: str, module: str = "pipeline"
) -> None:
    """Each edit alone changes exactly those functions."""
    start = project.seen(*functions, module=module)
    for (file, old, new), expected in edits.items():
        edited = project.edited(file, old, new)
        assert edited.seen(*functions, module=module).changed_since(start) == expected, f"{old!r} -> {new!r}"
        shutil.rmtree(edited.root)


def test_comments_formatting_docstrings_annotations(project: Project, before: Seen) -> None:
    """2. Comments, formatting, docstrings and annotations in every function change nothing."""
    for name in PROJECT:
        path = project.root / name
        lines = []
        for line in path.read_text().splitlines():
            indent = line[: len(line) - len(line.lstrip())]
            if line.strip().startswith("def ") and "self" not in line:
                line = line.replace("(x)", "(x: 'float') -> 'float'").replace("(n)", "( n : int,  )->  int")
                lines += [
                    f"{indent}# about this",
                    line,
                    f'{indent}    """What it is: {len(lines)}."""',
                    f"{indent}    pass",
                ]
            else:
                lines += [line + ("  # a comment" if line.strip() else "")]
        path.write_text("\n".join(lines) + "\n")

    assert project.seen().changed_since(before) == set()


def test_lines_inserted_above(project: Project, before: Seen) -> None:
    """4. Forty lines above change nothing."""
    for name in PROJECT:
        path = project.root / name
        path.write_text("\n# a line" * 40 + "\n" + path.read_text())

    assert project.seen().changed_since(before) == set()


def test_function_moved_to_another_file(project: Project, before: Seen) -> None:
    """4. A function moved to another file and imported from there changes nothing."""
    text = (project.root / "helpers.py").read_text()
    moved = "def norm(x):\n    return scale(x) / 2\n"
    assert moved in text
    (project.root / "elsewhere.py").write_text("import deep\n\n" + moved.replace("scale(", "deep.scale("))
    (project.root / "helpers.py").write_text(text.replace(moved, "from elsewhere import norm\n"))

    assert project.seen().changed_since(before) == set()


def test_blind_code_is_said_and_refused_when_strict(project: Project) -> None:
    """9. exec, eval and computed imports are said in the notes; strict mode refuses them by name."""
    with_clean(project, "return [eval('norm')(value) for value in values]\n")

    notes = project.seen().notes("clean")
    assert any("eval" in note for note in notes)
    strict = PROBE.replace("Fingerprints()", "Fingerprints(strict=True)").replace(
        "    made = ",
        "    try: prints.of(getattr(module, name))\n    except Exception as e: print(repr(e)); sys.exit()\n    made = ",
    )
    refused = run([sys.executable, "-c", strict, str(project.root), "pipeline", "clean"])
    assert "NotIdentifiable" in refused
    assert "eval" in refused


def test_default_of_another_task(project: Project) -> None:
    """11. A task called from another task's body is its function, defaults included."""
    with_clean(project, "return embed(values)\n")

    check(
        project,
        {
            ("pipeline.py", "DEFAULT = 4", "DEFAULT = 5"): {"clean"},
            ("pipeline.py", "value * width", "value + width"): {"clean", "embed"},
        },
    )


def test_closures_of_one_factory(project: Project) -> None:
    """12. Two closures of one factory are two functions; of equal values, one."""
    project.write(
        {
            "factory.py": """
                def make(n):
                    def add(x):
                        return x + n
                    return add

                one, two, again = make(1), make(2), make(1)
                """
        }
    )

    seen = project.seen("one", "two", "again", module="factory").functions

    assert seen["one"][0] == seen["again"][0] != seen["two"][0]


def test_class_of_an_argument(project: Project) -> None:
    """16. The class of an argument counts even if its state is equal."""
    probe = PROBE.replace(
        "    made = prints.of(getattr(module, name))\n",
        "    from gpucache.digests import value_digest\n"
        "    class made: digest = value_digest(module.Vector(3), symbols=prints); parts = {}; notes = []\n",
    )
    start = project.seen("v", module="helpers", probe=probe)

    edited = project.edited("helpers.py", "self.x + other.x", "self.x - other.x")

    assert edited.seen("v", module="helpers", probe=probe).changed_since(start) == {"v"}
    shutil.rmtree(edited.root)
    unrelated = project.edited("helpers.py", "scale(x) / 2", "scale(x) / 3")
    assert unrelated.seen("v", module="helpers", probe=probe).changed_since(start) == set()


def test_version_of_a_distribution(project: Project) -> None:
    """23. A reached distribution's version or build changes its users, through an import in a body as well; an unreached one nothing.

    The distribution is not imported to be looked at.
    """
    site = project.root.parent / "site-packages"
    packages = Project(site).write(
        {
            "reached/__init__.py": "raise RuntimeError('imported')\n",
            "reached-1.0.dist-info/RECORD": "reached/__init__.py,sha256=abc,3\n",
            "other/__init__.py": "",
            "other-1.0.dist-info/RECORD": "other/__init__.py,sha256=abc,3\n",
        }
    )
    with_clean(project, "import reached.inner\nreturn reached.inner.f(values)\n")
    path = str(site)
    start = project.seen(path=path)
    assert "package:reached" in start.functions["clean"][1]

    (site / "other-1.0.dist-info").rename(site / "other-2.0.dist-info")
    assert project.seen(path=path).changed_since(start) == set()

    (site / "reached-1.0.dist-info").rename(site / "reached-1.1.dist-info")
    after = project.seen(path=path)
    assert after.changed_since(start) == {"clean"}
    assert after.named_since(start, "clean") == {"package:reached"}

    packages.write({"reached-1.1.dist-info/RECORD": "reached/__init__.py,sha256=def,3\n"})
    assert project.seen(path=path).changed_since(after) == {"clean"}


MAIN = """
import json
def show():
    from gpucache.fingerprint import Fingerprints
    prints = Fingerprints()
    print(json.dumps([prints.of(task).digest.hex() for task in (load, clean, embed, train, report)]))
    assert not any("__main__" in part for task in (load, clean, train) for part in prints.of(task).parts)
"""


def test_script_module_and_import_are_one(project: Project, before: Seen) -> None:
    """Run as a script, with -m, from another directory, or imported: the same functions."""
    path = project.root / "pipeline.py"
    path.write_text(path.read_text() + textwrap.dedent(MAIN) + 'if __name__ == "__main__":\n    show()\n')

    script = run([sys.executable, "pipeline.py"], cwd=project.root)
    elsewhere = run([sys.executable, str(path)], cwd=project.root.parent)
    module = run([sys.executable, "-m", "pipeline"], cwd=project.root)
    imported = run([sys.executable, "-c", "import pipeline; pipeline.show()"], cwd=project.root)

    assert json.loads(script) == [before.functions[name][0] for name in TASKS]
    assert script == elsewhere == module == imported


def test_notebook_cells_are_the_same_functions(project: Project, before: Seen) -> None:
    """The same text run as notebook cells gives the same functions; a cell run again unchanged changes nothing."""
    cells = textwrap.dedent(PROJECT["pipeline.py"]).split("\n\n\n")
    notebook = f"""
import json, linecache, sys
sys.path.insert(0, {str(project.root)!r})
def run_cell(number, text):
    name = f"<ipython-input-{{number}}-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), globals())
for number, cell in enumerate({cells!r}):
    run_cell(number, cell)
from gpucache.fingerprint import Fingerprints
prints = Fingerprints()
def digests():
    return [prints.of(task).digest.hex() for task in (load, clean, embed, train, report)]
first = digests()
run_cell(99, {cells[-1]!r})
assert digests() == first, "a cell run again"
print(json.dumps(first))
"""

    assert json.loads(run([sys.executable, "-c", notebook])) == [before.functions[name][0] for name in TASKS]


def test_file_edited_while_the_process_runs(project: Project, before: Seen) -> None:
    """Old code never gets the new text: not before it was first looked at, not after; a reload gets it."""
    script = f"""
import importlib, json, os, pathlib, sys
sys.path.insert(0, {str(project.root)!r})
import pipeline, deep, helpers
from gpucache.fingerprint import Fingerprints
path = pathlib.Path(deep.__file__)
old = path.read_text()
late, early = Fingerprints(), Fingerprints()
first = early.of(pipeline.clean).digest.hex()
path.write_text(old.replace("x * FACTOR", "x + FACTOR"))
unseen = late.of(pipeline.clean)
kept = early.of(pipeline.clean).digest.hex()
importlib.reload(deep); importlib.reload(helpers); importlib.reload(pipeline)
reloaded = early.of(pipeline.clean).digest.hex()
print(json.dumps([first, kept, reloaded, unseen.digest.hex(), unseen.notes]))
"""
    new = project.edited("deep.py", "x * FACTOR", "x + FACTOR").seen().functions["clean"][0]

    first, kept, reloaded, unseen, notes = json.loads(run([sys.executable, "-B", "-c", script]))

    assert first == kept == before.functions["clean"][0]
    assert reloaded == new != first
    assert unseen != new
    assert any("deep.scale" in note and "bytecode" in note for note in notes)


def test_another_hash_seed(project: Project, before: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets and names in another order: the same functions."""
    with_clean(
        project,
        "return [value for value in values if type(value) in KINDS]\n",
        "KINDS = {helpers.Base, helpers.Vector, int, str}\n",
    )
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    one = project.seen()
    monkeypatch.setenv("PYTHONHASHSEED", "2")

    assert project.seen().changed_since(one) == set()
    assert one.changed_since(before) == {"clean"}
