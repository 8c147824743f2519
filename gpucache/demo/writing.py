"""Write a demo's files where they disturb nothing, and run `gpucache` on them in processes of their own, as a user would."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gpucache.errors import Bug, DemoNotPossible


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a demo lies.

    Attributes:
        folder: Holds the files that were written; absolute.
        store: The store that its runs use; absolute.
    """

    folder: Path
    store: Path

    def run(self, *arguments: str) -> Shown:
        """`gpucache run pipeline.py` in a new process; what it says on stderr goes to ours."""
        return self._shown("run", "pipeline.py", *arguments)

    def ask(self, verb: str, *arguments: str) -> dict[str, Any]:
        """The document that another verb gives."""
        return self._shown(verb, *arguments).document

    def call(self, command: Sequence[str]) -> tuple[str, float]:
        """Any command in the folder; its stdout, and the time that the whole process took, s.

        Raises:
            SystemExit: It failed; the demo ends as it did, for it has said why.
        """
        started = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=self.folder)
        if done.returncode != 0:
            raise SystemExit(done.returncode if done.returncode > 0 else 128 - done.returncode)
        return done.stdout, time.perf_counter() - started

    def edit(self, before: str, after: str) -> None:
        """Replace one piece of the pipeline's text, which must be there once."""
        file = self.folder / "pipeline.py"
        text = file.read_text(encoding="utf-8")
        if text.count(before) != 1:
            raise Bug(f"{before!r} should stand once in {file}")
        file.write_text(text.replace(before, after), encoding="utf-8")

    def _shown(self, verb: str, *arguments: str) -> Shown:
        command = [sys.executable, "-m", "gpucache", verb, *arguments, "--json", "--store", str(self.store)]
        text, seconds = self.call(command)
        return Shown(json.loads(text), seconds)


@dataclass(frozen=True, slots=True)
class Shown:
    """What one process of a demo said, and what the whole process took, s."""

    document: dict[str, Any]
    process_seconds: float

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of the run, in order."""
        calls: list[dict[str, Any]] = self.document["calls"]
        return calls

    def as_json(self) -> dict[str, Any]:
        """For the demo's own document."""
        return {"process_seconds": self.process_seconds, **self.document}


def need(demo: str, extra: str, *modules: str) -> None:
    """Refuse if a module is not installed.

    Raises:
        DemoNotPossible: The message names the extra that brings it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise DemoNotPossible(demo, f"{', '.join(missing)} not installed", f"pip install 'gpucache[{extra}]'")


def prepare(demo: str, folder: Path | None, store: Path | None, files: Sequence[str]) -> Workplace:
    """Write the demo's files into a new or empty folder.

    Args:
        folder: None: gpucache-demo-NAME in the current directory, or the next of its name that is free.
        store: None: a new one in the folder.

    Raises:
        DemoNotPossible: The folder has something in it, which is left alone, or can't be written.
    """
    chosen = (_free(demo) if folder is None else folder).absolute()
    try:
        if chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir())):
            why = "a demo writes into a new or an empty folder, so that nothing of yours is overwritten"
            raise DemoNotPossible(demo, f"{chosen} is not empty", f"name another with --dir: {why}")
        chosen.mkdir(parents=True, exist_ok=True)
        for name in files:
            text = resources.files(f"gpucache.demo.{demo}").joinpath(name).read_text(encoding="utf-8")
            (chosen / name).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise DemoNotPossible(
            demo, f"{chosen} can't be written ({problem.strerror})", "name another with --dir"
        ) from problem
    return Workplace(chosen, (chosen / "store" if store is None else store).absolute())


def _free(demo: str) -> Path:
    names = itertools.chain([f"gpucache-demo-{demo}"], (f"gpucache-demo-{demo}-{n}" for n in itertools.count(2)))
    return next(Path(name) for name in names if not Path(name).exists())
