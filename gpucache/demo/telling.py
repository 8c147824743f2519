"""What a demo says to its reader about each run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from gpucache.cli.output import duration, escaped, write, write_marked
from gpucache.cli.views import DID_RUN, write_calls
from gpucache.demo.writing import Shown, Workplace


def say_run(headline: str, shown: Shown) -> None:
    """What ran, what hit, why, the time and the time saved."""
    ran = sum(call["state"] in DID_RUN for call in shown.calls)
    saved = duration(shown.document["saved_seconds"] or None) or "nothing"
    write_marked(f"[bold]{escaped(headline)}[/]")
    write_calls(shown.calls)
    write(
        f"{ran} of {len(shown.calls)} calls ran; the whole process took {duration(shown.process_seconds)}; {saved} saved\n"
    )


def say_edit(before: str, after: str) -> None:
    """The edit, as a difference of texts."""
    for line in before.rstrip("\n").splitlines():
        write_marked(f"[red]-{escaped(line)}[/]")
    for line in after.rstrip("\n").splitlines():
        write_marked(f"[green]+{escaped(line)}[/]")


def say_next(place: Workplace, *commands: tuple[str, str]) -> None:
    """What to try next: commands, each with what it shows; `gpucache` and `python` in them are those of this process."""
    write("Your turn. Change a constant, a helper or a comment in pipeline.py, then ask what that means:\n")
    store = f"export GPUCACHE_STORE={_short(place.store, place.folder)}"
    lines = [(store, "the demo's store; without it, gpucache asks your own")]
    for command, what in commands:
        program, _, rest = command.partition(" ")
        lines.append((f"{as_called() if program == 'gpucache' else _program(sys.executable, program)} {rest}", what))
    width = max(len(command) for command, _ in lines) + 4
    write(f"    cd {_short(place.folder)}")
    for command, what in lines:
        write(f"    {command:<{width}}# {what}")


def as_called() -> str:
    """What a shell needs for the `gpucache` that runs now, in whatever folder: its name alone only where that finds it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":  # python -m gpucache
        return f"{_program(sys.executable, 'python')} -m gpucache"
    return _program(sys.argv[0], "gpucache")


def _program(path: str, name: str) -> str:
    """The name where the shell finds this very file by it, else the path; not resolved, for a venv's Python is a link."""
    found, absolute = shutil.which(name), os.path.abspath(path)
    return name if found is not None and os.path.abspath(found) == absolute else shlex.quote(absolute)


def _short(path: Path, below: Path | None = None) -> str:
    """A path as one would type it: relative to the current directory; in quotes where a shell needs them."""
    if below is not None and path.is_relative_to(below):
        return f'"$PWD/{path.relative_to(below)}"'
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
