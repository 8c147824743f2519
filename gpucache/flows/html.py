"""A plan and a run as a notebook shows them: a line of text and a table of calls. No style sheet, no script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpucache.flows.history import Run
    from gpucache.flows.plan import Plan

MOST_ROWS = 200
"""A run may have made a million calls, and a notebook keeps what it shows."""


def plan_html(plan: Plan) -> str:
    """What would hit, what would run, and why."""
    counted = f"{len(plan.would_run)} of {len(plan.calls)} calls would run, or may"
    said = "everything hits" if plan.is_all_hit else counted
    rows = ((call.task, call.verdict, "; ".join(map(str, call.reasons)), _seconds(call.seconds)) for call in plan.calls)
    rest = "" if plan.stopped_at is None else f"<p>the rest depends on the result of {escape(plan.stopped_at)}</p>"
    return _head(plan.flow, said) + _table(("task", "verdict", "why", "took before"), rows, len(plan.calls)) + rest


def run_html(run: Run[Any]) -> str:
    """What ran, what hit, and why."""
    calls = run.calls
    rows = ((call.task, call.state, "; ".join(call.reasons), _seconds(call.seconds)) for call in calls)
    said = f"{run.status}, {run.seconds:.1f} s, {run.saved_seconds:.1f} s saved, run {run.id}"
    return _head(run.flow, said) + _table(("task", "state", "why", "took"), rows, len(calls))


def _head(name: str, said: str) -> str:
    return f"<b>{escape(name)}</b>: {escape(said)}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3g} s"


def _table(titles: tuple[str, ...], rows: Iterable[tuple[object, ...]], count: int) -> str:
    if not count:
        return "<p>no calls</p>"
    lines = [_row("th", titles), *(_row("td", row) for _, row in zip(range(MOST_ROWS), rows, strict=False))]
    more = f"<p>and {count - MOST_ROWS:,} more</p>" if count > MOST_ROWS else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _row(tag: str, cells: Iterable[object]) -> str:
    shown = (f'<{tag} style="text-align:left">{escape(str(cell))}</{tag}>' for cell in cells)
    return f"<tr>{''.join(shown)}</tr>"
