"""The pipeline load -> clean -> embed -> train -> report in real files, edited and run in real processes on one store."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gpucache

REPOSITORY = Path(gpucache.__file__).resolve().parents[1]
SERVER = Path(__file__).with_name("pipeline_server.py")
TASKS = ("load", "clean", "embed", "train", "report")

PIPELINE = {
    "deep.py": """
        FACTOR = 3

        def scale(x):
            return x * FACTOR
        """,
    "helpers.py": """
        from deep import scale

        LIMIT = 10

        def norm(x):
            return scale(x) / 2

        def unrelated(x):
            return x
        """,
    "pipeline.py": """
        import gpucache as gpc
        import helpers
        from helpers import norm

        DEFAULT = 4
        LR = 0.001

        @gpc.task
        def load(n):
            return [float(i) for i in range(n + 1)]

        @gpc.task
        def clean(values):
            return [norm(value) for value in values]

        @gpc.task
        def embed(values, width=DEFAULT):
            return [value * width for value in values]

        @gpc.task
        def train(values, lr):
            return {"weight": sum(values) * lr}

        @gpc.task
        def report(model):
            return "weight " + str(model["weight"])

        @gpc.flow
        def pipeline(n=3, lr=LR):
            return report(train(embed(clean(load(n))), lr))
        """,
}

Edit = tuple[str, str, str]
"""(file, old text, new text); the old text is there exactly once. An empty old text: the file is made, in place of one there."""

_numbers = itertools.count()


class Project:
    """A directory of source files. Each edit is made in a copy at another place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, base: Path, files: Mapping[str, str] = PIPELINE) -> Project:
        """The files under a new directory."""
        made = cls(base / f"project{next(_numbers)}")
        for name, text in files.items():
            made.write(name, text)
        return made

    def write(self, name: str, text: str) -> Project:
        """Write a file, its text dedented."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return self

    def edited(self, *edits: Edit) -> Project:
        """A copy elsewhere with these edits."""
        there = Project(self.root.with_name(f"project{next(_numbers)}"))
        shutil.copytree(self.root, there.root, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        for file, old, new in edits:
            if not old:
                there.write(file, new)
                continue
            path = there.root / file
            text = path.read_text()
            assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}:\n{text}"
            path.write_text(text.replace(old, new))
        return there


@dataclasses.dataclass(frozen=True)
class Told:
    """What a process told: of the plan that it made first, and of the run that followed."""

    raw: Mapping[str, Any]

    @property
    def ran(self) -> list[str]:
        """Bodies that ran, in order, as the interpreter saw it."""
        return list(self.raw["ran"])

    @property
    def roots(self) -> list[str]:
        """Tasks that the plan said would run of themselves."""
        return list(dict.fromkeys(task for task, verdict, _ in self.raw["plan"] if verdict == "runs"))

    @property
    def may_run(self) -> list[str]:
        """Tasks that the plan said may run, because of others."""
        return list(dict.fromkeys(task for task, verdict, _ in self.raw["plan"] if verdict == "may run"))

    def why(self, task: str) -> list[str]:
        """The plan's reasons for this task."""
        return [reason for name, _, reasons in self.raw["plan"] if name == task for reason in reasons]

    def recorded(self, task: str) -> list[str]:
        """The run's reasons for this task."""
        return [reason for name, _, reasons in self.raw["calls"] if name == task for reason in reasons]

    @property
    def states(self) -> list[tuple[str, str]]:
        """(task, state) of each call of the run."""
        return [(task, state) for task, state, _ in self.raw["calls"]]

    @property
    def value(self) -> str:
        """The flow's value, as text."""
        assert "error" not in self.raw, self.raw["error"]
        return str(self.raw["value"])

    @property
    def error(self) -> str:
        """What the flow raised, as text."""
        return str(self.raw["error"])


class Server:
    """Starts processes with one hash seed."""

    def __init__(self, seed: str) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GPUCACHE_")},
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def run(self, jobs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What each job told; they run at the same time."""
        statuses = self.statuses(jobs)
        told = [Path(job["out"]).read_text() for job in jobs]
        assert not any(statuses), "\n".join(told)
        return [json.loads(text) for text in told]

    def statuses(self, jobs: Sequence[Mapping[str, Any]]) -> list[int]:
        """How each job ended, as os.waitpid() says it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(jobs)) + "\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the server."""
        self._process.communicate()


class World:
    """One store, and servers of two hash seeds; each job runs under the other seed than the one before."""

    def __init__(self, base: Path, servers: tuple[Server, Server]) -> None:
        self.base = base
        self.store = str(base / "store")
        self._servers = itertools.cycle(servers)

    def project(self, *setup: Edit) -> Project:
        """The pipeline, with these edits made before anything runs."""
        made = Project.make(self.base)
        return made.edited(*setup) if setup else made

    def job(self, project: Project, **more: Any) -> dict[str, Any]:
        """A job that plans and runs the flow of this project, or runs `script`."""
        out = self.base / f"told{next(_numbers)}.json"
        return {"root": str(project.root), "store": self.store, "out": str(out), **more}

    def run(self, project: Project, **more: Any) -> Told:
        """Plan and run the flow in a new process."""
        return Told(next(self._servers).run([self.job(project, **more)])[0])

    def script(self, project: Project, text: str, **more: Any) -> Any:
        """Run a text in a new process; what it put into `out`."""
        return next(self._servers).run([self.job(project, script=textwrap.dedent(text), **more)])[0]

    def together(self, jobs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What jobs that run at the same time told."""
        return next(self._servers).run(jobs)

    def statuses(self, jobs: Sequence[Mapping[str, Any]]) -> list[int]:
        """How jobs that run at the same time ended."""
        return next(self._servers).statuses(jobs)
