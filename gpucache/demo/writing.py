"""Write a demo's files where they disturb nothing, and run `gpucache` on them in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gpucache.errors import BadSetting


class DemoNotPossible(BadSetting):
    """Something that a demo needs is missing, or is in its way. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One run of a demo: what `gpucache run --json` said, and what the whole process took, s."""

    document: dict[str, Any]
    process_seconds: float

    def states(self) -> dict[str, str]:
        """How the calls ended, by task."""
        return {call["task"]: call["state"] for call in self.document["calls"]}


def speaker(*, silent: bool) -> Callable[[str], None]:
    """What says things on stdout, or nothing at all where a program reads it."""
    import click

    def say(text: str) -> None:
        if not silent:
            click.echo(text)

    return say


def need(extra: str, *modules: str) -> None:
    """Refuse if a module is not installed.

    Raises:
        DemoNotPossible: The message names the extra that brings it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise DemoNotPossible("demo", ", ".join(missing), f"these to be installed: pip install 'gpucache[{extra}]'")


def write_pipeline(demo: str, folder: Path) -> Path:
    """Write the demo's pipeline.py into a folder that is new, or holds nothing but an unchanged one and its store.

    Raises:
        DemoNotPossible: The folder has something else in it, which is left alone.
    """
    text = resources.files(f"gpucache.demo.{demo}").joinpath("pipeline.py").read_text(encoding="utf-8")
    file = folder / "pipeline.py"
    if folder.exists() and any(folder.iterdir()):
        raise DemoNotPossible(
            "--dir", str(folder), "a folder that is new or empty, so that nothing of yours is overwritten"
        )
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file.resolve()


def edit(file: Path, before: str, after: str) -> None:
    """Replace one piece of text, which must be there once."""
    text = file.read_text(encoding="utf-8")
    if text.count(before) != 1:
        raise AssertionError(f"{before!r} should stand once in {file}")
    file.write_text(text.replace(before, after), encoding="utf-8")


def run(file: Path, *arguments: str) -> Shown:
    """`gpucache run` in a new process, as a user's shell would start it.

    Raises:
        subprocess.CalledProcessError: It failed; what it wrote to stderr has gone to ours.
    """
    command = [
        sys.executable,
        "-m",
        "gpucache",
        "run",
        str(file),
        "--json",
        "--store",
        str(file.parent / "store"),
        *arguments,
    ]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=file.parent)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
    return Shown(json.loads(done.stdout), seconds)
