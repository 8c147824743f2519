"""How results are written: tables for people, one JSON document for programs. All of stdout goes through here.

Text is made whole before it is written: rich ends the process by itself when its reader has gone, and a test can read it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "hit": "green",
    "ran": "yellow",
    "joined": "cyan",
    "failed": "bold red",
    "skipped": "dim",
    "uncached": "magenta",
    "hits": "green",
    "runs": "yellow",
    "may run": "cyan",
    "done": "green",
    "interrupted": "red",
    "running": "cyan",
    "good": "green",
    "note": "yellow",
    "bad": "bold red",
    "identical": "green",
    "within tolerance": "green",
    "differs": "bold red",
}
PIPED_WIDTH = 160
"""Columns where stdout is no terminal: a log keeps a sentence on its line."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def write_json(schema: str, **fields: Any) -> None:
    """The one document of a verb called with --json."""
    write(json.dumps({"schema": f"gpucache.{schema}/1", **fields}, indent=2, default=str))


def write(text: str = "") -> None:
    """A line, or several, on stdout."""
    sys.stdout.write(text + "\n")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, spare: Sequence[str] = ()) -> None:
    """A table on stdout; plain where that is no terminal. Columns that start with ">" are aligned to the right.

    Where a terminal is too narrow, headings of numbers are broken into lines.

    Args:
        spare: Columns that go then, one after another, until the rest fits.
    """
    from rich.table import Table

    shown, cells = list(columns), [list(row) for row in rows]
    console = _console()
    if sys.stdout.isatty():
        heads = [head.replace(" ", "\n") if head.startswith(">") else head for head in shown]
        shown = shown if _width(shown, cells) <= console.width else heads
        for place in [columns.index(name) for name in spare]:
            if _width(shown, cells) > console.width:
                shown[place] = ""
    table = Table(box=None, pad_edge=False, header_style="bold")
    kept = [place for place, column in enumerate(shown) if column or not columns[place]]
    for place in kept:
        right = columns[place].startswith(">")
        whole = right or columns[place] == "run"  # an id that is broken in two can't be copied
        table.add_column(shown[place].lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=whole)
    for row in cells:
        table.add_row(*(row[place] for place in kept))
    sys.stdout.write(_rendered(table))


def _width(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """What a table takes at least: numbers are whole, texts may be folded between words. Columns without a head are left out."""
    total = 0
    for place, head in enumerate(heads):
        if not head:
            continue
        cells = [head.lstrip(">"), *(row[place] for row in rows)]
        parts = [part for cell in cells for part in (cell.split("\n") if head.startswith(">") else cell.split())]
        total += 2 + max(map(len, parts), default=0)
    return total - 2


def write_side_by_side(title: str, before: str | None, after: str | None) -> None:
    """Two texts, line beside line, what differs marked. None: there is none; "": it is not known."""
    import difflib

    old, new = ((text or "").splitlines() for text in (before, after))
    rows: list[tuple[str, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for index in range(max(b - a, d - c)):
            left = old[a + index] if a + index < b else ""
            right = new[c + index] if c + index < d else ""
            marks = ("", "", "") if kind == "equal" else ("[red]", "[green]", "[/]")
            rows.append((f"{marks[0]}{escaped(left)}{marks[2]}", f"{marks[1]}{escaped(right)}{marks[2]}"))
    heads = (_head(title, before, "before"), _head(title, after, "after"))
    write_table(heads, rows)


def _head(title: str, text: str | None, when: str) -> str:
    missing = ": not there" if text is None else ": its text is not known" if not text else ""
    return f"{escaped(title)} {when}{missing}"


def write_marked(text: str) -> None:
    """A line with rich's marks in it; what comes from a user goes through escaped() first."""
    sys.stdout.write(_rendered(text))


def styled(state: str) -> str:
    """A state in its colour."""
    return f"[{STYLES[state]}]{state}[/]" if state in STYLES else escaped(state)


def escaped(text: str) -> str:
    """Text of the user's, so that brackets in it are not taken for colours."""
    from rich.markup import escape

    return escape(text)


def duration(seconds: float | None) -> str:
    """A time for people: three significant digits and the unit that suits it."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def size(nbytes: float) -> str:
    """A size for people, in binary units."""
    power = 0
    while nbytes >= 1024 and power < len(_UNITS) - 1:
        nbytes, power = nbytes / 1024, power + 1
    return f"{nbytes:.0f} B" if power == 0 else f"{nbytes:.1f} {_UNITS[power]}"


def _rendered(renderable: Any) -> str:
    console = _console()
    console.print(renderable, highlight=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from below
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def _console() -> Console:
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    # rich knows NO_COLOR and the terminal's width; it is told only what it can't see behind the StringIO.
    width = None if is_terminal else PIPED_WIDTH
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=width)
    if is_terminal and console.no_color:  # rich would leave bold and dim, which are as unwelcome
        console = Console(file=io.StringIO(), force_terminal=False, width=console.width)
    return console
