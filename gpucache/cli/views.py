"""Runs, calls and plans as plain documents, and those documents as tables. `--json` and the tables can't disagree."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gpucache.cli.ending import trimmed
from gpucache.cli.output import duration, escaped, styled, write, write_side_by_side, write_table

if TYPE_CHECKING:
    from gpucache.flows import Call, PlannedCall, Run
    from gpucache.memo import CodeChange

DID_RUN = ("ran", "uncached", "failed")


def run_document(run: Run[Any]) -> dict[str, Any]:
    """A run for programs."""
    return {
        **run_summary(run),
        "arguments": run.shown,
        "code": run.code,
        "env": run.env,
        "traceback": None if run.traceback is None else trimmed(run.traceback),
        "calls": [call_document(call) for call in run.calls],
    }


def run_summary(run: Run[Any]) -> dict[str, Any]:
    """A run for programs, in a listing."""
    return {
        "id": run.id,
        "flow": run.flow,
        "status": run.status,
        "started_at": run.started_at,
        "seconds": run.seconds,
        "saved_seconds": run.saved_seconds,
        "error": run.error,
    }


def call_document(call: Call) -> dict[str, Any]:
    """A call for programs."""
    return {
        "task": call.task,
        "key": call.key,
        "state": str(call.state),
        "seconds": call.seconds,
        "saved_seconds": call.saved_seconds,
        "reasons": list(call.reasons),
        "arguments": call.shown,
        "result": call.result,
    }


def planned_document(call: PlannedCall) -> dict[str, Any]:
    """A planned call for programs."""
    return {
        "task": call.task,
        "key": call.key,
        "verdict": str(call.verdict),
        "reasons": [
            {
                "kind": str(reason.kind),
                "subject": reason.subject,
                "before": reason.before,
                "after": reason.after,
                "text": str(reason),
            }
            for reason in call.reasons
        ],
        "seconds": call.seconds,
        "notes": list(call.notes),
    }


def write_calls(calls: Iterable[Mapping[str, Any]]) -> None:
    """Calls as a table: those of one task that ended alike, for the same reasons, are one line.

    Its time is the longest of them, for they may have been waited for side by side; what they saved adds up.
    """
    rows = []
    for alike in _alike(calls, "state"):
        name, saved = _name(alike), sum(call["saved_seconds"] for call in alike)
        took = ("≤ " if len(alike) > 1 else "") + duration(max(call["seconds"] for call in alike))
        rows.append(
            (name, styled(alike[0]["state"]), took, duration(saved or None), escaped("; ".join(alike[0]["reasons"])))
        )
    write_table(("task", "state", ">time", ">saved", "why"), rows)


def write_planned(calls: Iterable[Mapping[str, Any]]) -> None:
    """Planned calls as a table, gathered as write_calls() does."""
    rows = []
    for alike in _alike(calls, "verdict"):
        known = [call["seconds"] for call in alike if call["seconds"] is not None]
        why = escaped("; ".join([*(reason["text"] for reason in alike[0]["reasons"]), *alike[0]["notes"]]))
        rows.append((_name(alike), styled(alike[0]["verdict"]), duration(sum(known)) if known else "", why))
    write_table(("task", "would", ">last took", "why"), rows)


def code_documents(changes: Iterable[CodeChange]) -> list[dict[str, str | None]]:
    """Code that changed, for programs."""
    return [{"subject": change.subject, "before": change.before, "after": change.after} for change in changes]


def write_code(changes: Iterable[Mapping[str, Any]]) -> None:
    """The old and the new text of each function that changed, side by side; a function once, whoever calls it."""
    for subject, before, after in dict.fromkeys((one["subject"], one["before"], one["after"]) for one in changes):
        write()
        write_side_by_side(subject, before, after)


def counted(calls: Iterable[Mapping[str, Any]]) -> str:
    """How many calls ended how: `5 hit, 2 ran`."""
    states = [call["state"] for call in calls]
    return ", ".join(f"{states.count(state)} {styled(state)}" for state in dict.fromkeys(states))


def moment(unix_s: float) -> str:
    """A moment for people, in this machine's time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def _alike(calls: Iterable[Mapping[str, Any]], outcome: str) -> list[list[Mapping[str, Any]]]:
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for call in calls:
        groups.setdefault((call["task"], call[outcome], *map(str, call["reasons"])), []).append(call)
    return list(groups.values())


def _name(alike: list[Mapping[str, Any]]) -> str:
    task = escaped(alike[0]["task"])
    return f"{task} [dim]×{len(alike)}[/]" if len(alike) > 1 else task
