"""How results are written: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpucache.flows import Call, PlannedCall, Run

STYLES = {
    "hit": "green",
    "ran": "yellow",
    "joined": "cyan",
    "failed": "bold red",
    "skipped": "dim",
    "uncached": "magenta",
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def write_json(schema: str, **fields: Any) -> None:
    """The one document of a verb called with --json."""
    json.dump({"schema": f"gpucache.{schema}/1", **fields}, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """A table on stdout; plain where that is no terminal. Columns that start with ">" are aligned to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=160, no_color=True)
    console.print(table)


def styled(state: str) -> str:
    """A state in its colour."""
    return f"[{STYLES[state]}]{state}[/]" if state in STYLES else state


def duration(seconds: float | None) -> str:
    """A time for people: 3 significant digits and the unit that suits it."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def size(nbytes: float) -> str:
    """A size for people, in binary units."""
    for unit in _UNITS:
        if nbytes < 1024 or unit == _UNITS[-1]:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return ""


def call_rows(calls: Iterable[Call]) -> list[tuple[str, str, str, str, str]]:
    """Calls as rows of a table."""
    return [
        (
            call.task,
            styled(call.state),
            duration(call.seconds),
            duration(call.saved_seconds or None),
            escaped("; ".join(call.reasons)),
        )
        for call in calls
    ]


def run_document(run: Run[Any]) -> dict[str, Any]:
    """A run for programs."""
    return {
        "id": run.id,
        "flow": run.flow,
        "status": run.status,
        "started_at": run.started_at,
        "seconds": run.seconds,
        "saved_seconds": run.saved_seconds,
        "error": run.error,
        "code": run.code,
        "env": run.env,
        "calls": [
            {
                "task": call.task,
                "key": call.key,
                "state": str(call.state),
                "seconds": call.seconds,
                "saved_seconds": call.saved_seconds,
                "reasons": list(call.reasons),
                "arguments": call.shown,
                "result": call.result,
            }
            for call in run.calls
        ],
    }


def plan_document(call: PlannedCall) -> dict[str, Any]:
    """A planned call for programs."""
    return {
        "task": call.task,
        "key": call.key,
        "verdict": str(call.verdict),
        "reasons": [
            {"kind": str(r.kind), "subject": r.subject, "before": r.before, "after": r.after, "text": str(r)}
            for r in call.reasons
        ],
        "seconds": call.seconds,
    }


def escaped(text: str) -> str:
    """Text of the user's, so that brackets in it are not taken for colours."""
    from rich.markup import escape

    return escape(text)
