"""The ways out, each an option of a task: what counts as the project, what does not count, a version, another run."""

from __future__ import annotations

import pytest
from edit_rows import Row, free, hold, inside
from pipeline_support import Edit, Project, World

pytestmark = pytest.mark.slow


def with_option(option: str, *more: Edit) -> tuple[Edit, ...]:
    """`clean` with an option."""
    return (("pipeline.py", "@gpc.task\ndef clean", f"@gpc.task({option})\ndef clean"), *more)


HATCHES = {
    "follow a function alone: its helper": free(
        *inside("x * FACTOR", "x ** FACTOR", "deep.py"), setup=with_option("follow='function'")
    ),
    "follow a function alone: itself": Row(
        (("pipeline.py", "[norm(value) for value in values]", "[norm(value + 1) for value in values]"),),
        "clean",
        ("pipeline.py:12 clean changed",),
        setup=with_option("follow='function'"),
    ),
    "follow a function alone: its constant": Row(
        (("pipeline.py", "STEP = 1", "STEP = 2"),),
        "clean",
        ("constant pipeline.STEP 1 -> 2",),
        setup=with_option(
            "follow='function'",
            ("pipeline.py", "LR = 0.001", "LR = 0.001\nSTEP = 1"),
            ("pipeline.py", "[norm(value) for", "[norm(value) + STEP for"),
        ),
    ),
    "ignored argument": free(
        ("pipeline.py", "clean(load(n), 1)", "clean(load(n), 2)"),
        setup=with_option(
            "ignore=('verbose',)",
            ("pipeline.py", "def clean(values):", "def clean(values, verbose=0):"),
            ("pipeline.py", "clean(load(n))", "clean(load(n), 1)"),
        ),
    ),
    "an argument that is not ignored": Row(
        (("pipeline.py", "clean(load(n), 1)", "clean(load(n), 2)"),),
        "clean",
        ("argument verbose 1 -> 2",),
        setup=(
            ("pipeline.py", "def clean(values):", "def clean(values, verbose=0):"),
            ("pipeline.py", "clean(load(n))", "clean(load(n), 1)"),
        ),
        same=True,
    ),
    "a task renamed keeps its name": free(
        ("pipeline.py", "name='clean'", 'name="clean"'), setup=with_option("name='clean'")
    ),
}


@pytest.mark.parametrize("name", HATCHES)
def test_hatches(world: World, name: str) -> None:
    """Exactly what the option leaves counts."""
    hold(world, HATCHES[name])


def test_follow_an_installed_package(world: World) -> None:
    """Its code counts as the project's: an edit of what is reached reruns, an edit beside it does not."""
    site = world.base / "site-packages" / "vendored"
    site.mkdir(parents=True)
    text = "LIMIT = 1\ndef f(x):\n    return x + LIMIT\ndef g(x):\n    return x\n"
    (site / "__init__.py").write_text(text)
    path = {"path": [str(site.parent)]}
    edits = (
        ("pipeline.py", "import helpers\n", "import helpers\nimport vendored\n"),
        ("pipeline.py", "[norm(value) for", "[vendored.f(value) for"),
    )
    followed = world.project(*with_option("follow=['project', 'vendored']", *edits))
    world.run(followed, **path)

    (site / "__init__.py").write_text(text.replace("return x\n", "return -x\n"))
    assert world.run(followed, **path).ran == []
    (site / "__init__.py").write_text(text.replace("LIMIT = 1", "LIMIT = 2"))
    after = world.run(followed, **path)
    assert after.roots == ["clean"]
    assert after.why("clean") == ["constant vendored.LIMIT 1 -> 2"]


def test_force_and_not_cached(world: World) -> None:
    """A forced call runs and stores anew; a task that is never cached runs always, and what is below it hits by its output."""
    project = world.project(("pipeline.py", "@gpc.task\ndef embed", "@gpc.task(cache=False)\ndef embed"))
    assert world.run(project).ran == ["load", "clean", "embed", "train", "report"]

    again = world.run(project)

    assert again.ran == ["embed"]
    assert again.why("embed") == ["it is marked cache=False"]
    script = (
        "import pipeline; out['forced'] = pipeline.load.with_(force=True)(3); out['hit'] = pipeline.load.explain(3).hit"
    )
    assert world.script(project, script) == {"forced": [0.0, 1.0, 2.0, 3.0], "hit": True}


def test_two_tasks_of_one_body(world: World) -> None:
    """A task's name is in its key, so equal bodies have records of their own; renamed, it runs."""
    project = Project.make(
        world.base,
        {
            "calls.py": "import gpucache as gpc\n@gpc.task\ndef one(x):\n    return x\n@gpc.task\ndef two(x):\n    return x\n"
        },
    )

    told = world.script(
        project, "import calls; calls.one(1); out['hits'] = [calls.one.explain(1).hit, calls.two.explain(1).hit]"
    )

    assert told == {"hits": [True, False]}
