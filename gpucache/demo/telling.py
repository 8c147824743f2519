"""What a demo says to its reader about each run."""

from __future__ import annotations

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
    """What to try next: commands, each with what it shows."""
    write("Your turn. Change a constant, a helper or a comment in pipeline.py, then ask what that means:\n")
    width = max(len(command) for command, _ in commands) + 4
    write(f"    cd {_short(place.folder)}")
    write(f"    export GPUCACHE_STORE={_short(place.store, place.folder)}")
    for command, what in commands:
        write(f"    {command:<{width}}# {what}")


def _short(path: Path, below: Path | None = None) -> str:
    """A path as one would type it: relative to the current directory; in quotes where a shell needs them."""
    import shlex

    if below is not None and path.is_relative_to(below):
        return f'"$PWD/{path.relative_to(below)}"'
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
