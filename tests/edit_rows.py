"""Rows of the list that must hold: an edit, what runs because of it, and what is said. Builders for the commonest kinds."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from pipeline_support import TASKS, Edit, World


@dataclasses.dataclass(frozen=True)
class Row:
    """One edit.

    Attributes:
        edits: What is edited.
        runs: Tasks that the edit concerns, by name, with spaces between.
        says: Texts that the plan's reasons for the first of them hold, and the record's afterwards.
        setup: Edits made before anything runs.
        same: The output of what runs is the same as before, so nothing below runs.
        before, after: The flow's parameters.
    """

    edits: tuple[Edit, ...]
    runs: str = ""
    says: tuple[str, ...] = ()
    setup: tuple[Edit, ...] = ()
    same: bool = False
    before: dict[str, Any] = dataclasses.field(default_factory=dict)
    after: dict[str, Any] = dataclasses.field(default_factory=dict)


CLEAN = "return [norm(value) for value in values]"


def clean(body: str) -> Edit:
    """The body of `clean`, as one line (or several, joined by newlines and indented)."""
    return ("pipeline.py", CLEAN, body.replace("\n", "\n    "))


def helper(text: str, use: str, imports: str = "") -> tuple[Edit, Edit]:
    """A new text in helpers.py, and `clean` using it for each value."""
    return (
        ("helpers.py", "def unrelated(x):\n    return x\n", f"{text}\n\ndef unrelated(x):\n    return x\n"),
        clean(f"return [{use} for value in values]"),
    )


def inside(old: str, new: str, file: str = "helpers.py") -> tuple[Edit, ...]:
    return ((file, old, new),)


def norms(*edits: Edit, says: str = "deep.py:3 scale changed", **more: Any) -> Row:
    """deep.scale is edited after this setup: clean runs, and it is named."""
    return Row(inside("x * FACTOR", "x ** FACTOR", "deep.py"), "clean", (says,), setup=edits, **more)


def free(*edits: Edit, setup: tuple[Edit, ...] = ()) -> Row:
    """An edit that changes nothing."""
    return Row(edits, setup=setup)


def of_helper(text: str, use: str, old: str, new: str, says: str, **more: Any) -> Row:
    """`clean` uses a new helper, in which `old` then becomes `new`."""
    return Row(inside(old, new), "clean", (says,), setup=helper(text, use), **more)


def expected_bodies(row: Row) -> list[str]:
    """What runs: the tasks that the edit concerns, and all below the first unless its output is the same."""
    roots = row.runs.split()
    if row.same or not roots:
        return roots
    return list(TASKS[TASKS.index(roots[0]) :])


def load(body: str, *more: Edit) -> tuple[Edit, ...]:
    """`load` with another body, and a file that it may read."""
    lines = body.replace("\n", "\n    ")
    old = "    return [float(i) for i in range(n + 1)]"
    start = "import gpucache as gpc\n"
    imports = "import csv, glob, json, os, pathlib, subprocess, sys, threading\nfrom pathlib import Path\nimport numpy as np\n"
    return (
        ("pipeline.py", old, f"    {lines}"),
        ("pipeline.py", start, start + imports),
        ("data.txt", "", "1\n2\n"),
        ("data/a.txt", "", "1\n"),
        *more,
    )


def hold(world: World, row: Row) -> None:
    """Three processes: before, after (planned, then run), and back."""
    for _, _, text in row.setup:
        for needed in re.findall(r"^import (attrs|pydantic)$", text, re.MULTILINE):
            pytest.importorskip(needed)
    project = world.project(*row.setup)
    first = world.run(project, params=row.before)
    assert first.ran == list(TASKS), first.raw

    after = world.run(project.edited(*row.edits), params=row.after)

    assert after.raw["planned"] == []
    assert after.roots == row.runs.split(), after.raw
    assert after.ran == expected_bodies(row), after.raw
    for text in row.says:
        root = row.runs.split()[0]
        assert any(text in reason for reason in after.why(root)), after.why(root)
        assert after.recorded(root) == after.why(root)
    if row.runs:  # else the store is as it was
        assert world.run(project, params=row.before).ran == []
