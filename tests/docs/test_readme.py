"""README runs: its example, its two commands' form, and its links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _run_example(folder: Path) -> str:
    env = {**os.environ, "GPUCACHE_STORE": str(folder / "store"), "GPUCACHE_RUNTIME": "local"}
    done = subprocess.run(
        [sys.executable, "pipeline.py"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_example_runs_and_then_hits(tmp_path: Path) -> None:
    """As README says: everything runs the first time, everything hits the second, an edit reruns what it changed."""
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    (tmp_path / "pipeline.py").write_text(example)

    first, second = _run_example(tmp_path), _run_example(tmp_path)
    (tmp_path / "pipeline.py").write_text(example.replace("/ table.std(axis=0)", "/ table.std(axis=0) * 2"))
    edited = _run_example(tmp_path)

    assert "[('load', 'ran'), ('normed', 'ran'), ('spread', 'ran')]" in first
    assert "[('load', 'hit'), ('normed', 'hit'), ('spread', 'hit')]" in second
    assert "[('load', 'hit'), ('normed', 'ran'), ('spread', 'ran')]" in edited


@pytest.mark.parametrize("command", ["demo", "tests"])
def test_each_command_is_one_line(command: str) -> None:
    """.ci/run finds both commands, and each of their extras exists."""
    block = re.search(rf"<!-- command: {command} -->\n```sh\n(.*?)```", README, re.DOTALL).group(1)
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])

    assert block.count("\n") == 1
    assert set(re.findall(r"\[(\w+)\]", block)) <= extras


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every file and every test that a page names exists."""
    text = page.read_text()
    links = [page.parent / name for name in re.findall(r"\]\(([^)#:]+)\)", text)]
    files = [ROOT / name for name in re.findall(r"`((?:tests|benchmarks|csrc)/[\w/]+\.\w+)", text)]

    assert [path for path in links + files if not path.exists()] == []


def test_every_invariant_names_the_test_that_guards_it() -> None:
    """Each numbered invariant of ARCHITECTURE.md names at least one test, and each named test is there."""
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## Invariants")[2].partition("\n## ")[0]
    invariants = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    guards = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", invariant) for invariant in invariants]

    assert len(invariants) >= 10
    assert [invariant for invariant, named in zip(invariants, guards, strict=True) if not named] == []
    assert [
        f"{file}::{name}"
        for named in guards
        for file, name in named
        if not re.search(rf"def {name}\(", (ROOT / file).read_text())
    ] == []


def test_readme_is_short() -> None:
    """Under 120 lines, so that it is read."""
    assert len(README.splitlines()) < 120
