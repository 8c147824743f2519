"""`gpucache run FILE[:FLOW] --arg value`: run a flow and say what ran, what hit, and why."""

from __future__ import annotations

from typing import Any

import click

from gpucache.cli.flows import FLOW_CONTEXT, flow_arguments, opened, session_options

RESULT_MAX_BYTES = 65536


@click.command(context_settings=FLOW_CONTEXT)
@flow_arguments
@click.option("--force", multiple=True, metavar="TASK", help="Run this task even if its answer is known.")
@session_options
def command(
    target: str,
    arguments: tuple[str, ...],
    force: tuple[str, ...],
    store: str | None,
    runtime: str | None,
    *,
    as_json: bool,
) -> int:
    """Run a flow of a Python file. The flow's own arguments follow as --name value."""
    flow, values = opened(target, arguments, store, runtime)
    run = flow.execute(values, forced=force)
    from gpucache.cli.main import FAILED, OK

    if as_json:
        _write_document(run)
    else:
        write_run(run)
    return OK if run.status == "done" else FAILED


def write_run(run: Any) -> None:
    """A run for people: its calls, its result, and what it saved."""
    from gpucache.cli.main import users_traceback
    from gpucache.cli.output import call_rows, duration, write_table
    from gpucache.shown import shown

    calls = run.calls
    write_table(("task", "state", ">time", ">saved", "why"), call_rows(calls))
    if run.status == "done":
        click.echo(f"\nresult  {shown(run.result())}")
    else:
        problem = run.exception()
        click.echo(f"\n{users_traceback(problem) if problem is not None else run.traceback}", err=True)
    ran = sum(call.state in ("ran", "uncached") for call in calls)
    saved = f", {duration(run.saved_seconds)} saved" if run.saved_seconds else ""
    click.echo(f"run     {run.id}  {run.status} in {duration(run.seconds)}: {ran} of {len(calls)} calls ran{saved}")


def _write_document(run: Any) -> None:
    from gpucache.cli.output import run_document, write_json

    write_json("run", **run_document(run), result=_as_json(run.result()) if run.status == "done" else None)


def _as_json(value: Any) -> Any:
    """The value itself where JSON can say it, in at most RESULT_MAX_BYTES; else a few words."""
    import msgspec

    from gpucache.shown import shown

    try:
        text = msgspec.json.encode(value)
    except TypeError:
        return shown(value)
    return msgspec.json.decode(text) if len(text) <= RESULT_MAX_BYTES else shown(value)
