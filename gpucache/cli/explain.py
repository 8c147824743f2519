"""`gpucache explain RUN|FILE[:FLOW]`: why each call of a run ran; or, for a file, what its next run would do and why."""

from __future__ import annotations

from typing import Any

import click

from gpucache.cli.flows import FLOW_CONTEXT, opened, session_options, split, start


@click.command(context_settings=FLOW_CONTEXT)
@click.argument("target", metavar="RUN|FILE[:FLOW]", default="@last")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--ARG VALUE]...")
@click.option("--task", metavar="NAME", help="Only the calls of this task.")
@session_options
def command(  # noqa: PLR0917  # click passes them by name
    target: str,
    arguments: tuple[str, ...],
    task: str | None,
    store: str | None,
    runtime: str | None,
    as_json: bool,
) -> int:
    """Say why the calls of a run ran (@last by default), or what a flow's next run would do and why."""
    from gpucache.cli.output import write_json
    from gpucache.cli.views import planned_document, write_calls, write_planned

    if split(target)[0].endswith(".py"):
        flow, values = opened(target, arguments, store, runtime)
        planned = _only(task, [planned_document(call) for call in flow.plan_values(values).calls])
        if as_json:
            write_json("explain", flow=flow.name, calls=planned)
        else:
            write_planned(planned)
        return 0
    if arguments:
        raise click.UsageError(f"a run takes no arguments, but {' '.join(arguments)!r} is given")
    document = _run_document(target, store, runtime)
    calls = _only(task, document["calls"])
    if as_json:
        write_json("explain", run=document["id"], flow=document["flow"], calls=calls)
    else:
        write_calls(calls)
    return 0


def _run_document(name: str, store: str | None, runtime: str | None) -> dict[str, Any]:
    from gpucache.cli.views import run_document
    from gpucache.flows import run

    start(store, runtime)
    return run_document(run(name))


def _only(task: str | None, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of that task.

    Raises:
        NoSuchRecord: There is none.
    """
    if task is None:
        return calls
    chosen = [call for call in calls if call["task"] == task]
    if not chosen:
        from gpucache.errors import NoSuchRecord

        known = ", ".join(dict.fromkeys(call["task"] for call in calls)) or "none"
        raise NoSuchRecord("task", task, f"the tasks that it calls: {known}")
    return chosen
