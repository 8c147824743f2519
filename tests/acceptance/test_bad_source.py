"""Source that is missing, broken or not what was imported: the right key, or an error that names it; never another's text."""

from __future__ import annotations

import zipfile
from typing import Any

import pytest
from pipeline_support import Project, World

pytestmark = pytest.mark.slow

LOOK = """
from gpucache.fingerprint import Fingerprints
def look(function):
    made = Fingerprints().of(function)
    return [made.digest.hex(), list(made.notes)]
"""


def look(world: World, project: Project, script: str) -> dict[str, Any]:
    return dict(world.script(project, LOOK + script))


def test_no_text_at_hand(world: World) -> None:
    """A function of a REPL, of exec: it counts by its bytecode, which is said; an edit of it counts."""
    script = """
for name, text in {"a": "x + 1", "same": "x + 1", "other": "x + 2"}.items():
    space = {"__name__": "__main__"}
    exec(f"def f(x):\\n    return {text}", space)
    out[name] = look(space["f"])
"""
    told = look(world, world.project(), script)

    assert told["a"] == told["same"]
    assert told["a"][0] != told["other"][0]
    assert all("bytecode" in note for digest, notes in told.values() for note in notes)
    assert told["a"][1]


def test_source_that_no_longer_parses(world: World) -> None:
    """Broken after the import, before the first look: the old code, by its text if that was kept, else by its bytecode."""
    script = """
import pathlib, pipeline, deep
path = pathlib.Path(deep.__file__)
text = path.read_text()
path.write_text("def scale(x:\\n")
out["broken"] = look(pipeline.clean.fn)
path.write_text(text.replace("x * FACTOR", "x + FACTOR"))
out["edited"] = look(pipeline.clean.fn)
path.unlink()
out["gone"] = look(pipeline.clean.fn)
"""
    fresh = look(world, world.project(), "import pipeline\nout['fresh'] = look(pipeline.clean.fn)\n")["fresh"]
    told = look(world, world.project(), script)
    new = look(
        world,
        world.project(("deep.py", "x * FACTOR", "x + FACTOR")),
        "import pipeline\nout['new'] = look(pipeline.clean.fn)\n",
    )

    assert {told["broken"][0], told["edited"][0], told["gone"][0]} & {new["new"][0]} == set()
    assert told["broken"][0] == told["edited"][0] == told["gone"][0]
    assert fresh[1] == []
    assert all("bytecode" in note for _, notes in told.values() for note in notes)


def test_a_zipped_project_is_the_same_project(world: World) -> None:
    """Text comes from the loader where there is no file."""
    project = world.project()
    zipped = world.base / "project.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in project.root.glob("*.py"):
            archive.write(path, path.name)
    import_it = (
        "import sys; sys.path[:] = [p for p in sys.path if 'project' not in p]; sys.path.insert(0, job['zip'])\n"
    )
    plain = "import pipeline\nout['x'] = look(pipeline.clean.fn)\n"

    assert look(world, project, plain) == dict(world.script(project, LOOK + import_it + plain, zip=str(zipped)))


def test_a_module_that_fails_in_a_body(world: World) -> None:
    """A broken module that only a body imports is that body's problem: the call runs and raises what Python raises."""
    project = world.project(
        ("broken.py", "", "def f(x:\n"),
        ("pipeline.py", "return [norm(value) for", "import broken\n    return [broken.f(value) for"),
    )

    assert world.run(project).error.startswith("SyntaxError")


def test_ten_thousand_functions_deep(world: World) -> None:
    """A chain of helpers longer than Python's stack, and an expression deeper than it."""
    chain = "".join(f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(3000)) + "def f3000(x):\n    return x\n"
    deep = "def wide(x):\n    return " + " + ".join(["x"] * 2500) + "\n"
    script = """
import chain, wide
out["chain"] = look(chain.f0)
out["wide"] = look(wide.wide)
"""
    before = look(world, world.project(("chain.py", "", chain), ("wide.py", "", deep)), script)
    edited = chain.replace("def f3000(x):\n    return x\n", "def f3000(x):\n    return x + 1\n")
    after = look(world, world.project(("chain.py", "", edited), ("wide.py", "", deep[:-2] + "1\n")), script)

    assert before["chain"] != after["chain"]
    assert before["wide"] != after["wide"]


def test_a_deep_argument_and_a_deep_global(world: World) -> None:
    """10^5 levels: refused by name, beginning and end of the way, and what to do; the process lives."""
    script = """
import pipeline, deep, gpucache as gpc
nested = []
for _ in range(100_000):
    nested = [nested]
for name, argument in {"argument": nested, "global": [1]}.items():
    try:
        deep.FACTOR = nested if name == "global" else 3
        pipeline.clean(argument)
    except gpc.errors.NotIdentifiable as refusal:
        out[name] = str(refusal)
"""
    told = look(world, world.project(), script)

    assert told["argument"].startswith("values[0][0]")
    assert told["global"].startswith("deep.FACTOR[0]")
    assert all("; " in text and len(text) < 500 for text in told.values())
