"""`gpucache explain RUN|FILE[:FLOW]`: why each call of a run ran; or, for a file, what its next run would do and why."""

from __future__ import annotations

import click

from gpucache.cli.flows import FLOW_CONTEXT, opened, session_options, split, start


@click.command(context_settings=FLOW_CONTEXT)
@click.argument("target", metavar="RUN|FILE[:FLOW]", default="@last")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--ARG VALUE]...")
@click.option("--task", metavar="NAME", help="Only the calls of this task.")
@session_options
def command(
    target: str, arguments: tuple[str, ...], task: str | None, store: str | None, runtime: str | None, *, as_json: bool
) -> int:
    """Say why the calls of a run ran (@last by default), or what a flow's next run would do and why."""
    from gpucache.cli.output import plan_document, write_json

    if split(target)[0].endswith(".py"):
        flow, values = opened(target, arguments, store, runtime)
        planned = [call for call in flow.plan_values(values).calls if task in (None, call.task)]
        if as_json:
            write_json("explain", flow=flow.name, calls=[plan_document(call) for call in planned])
        else:
            click.echo("\n".join(str(call) for call in planned))
        return 0
    from gpucache.flows import run as find_run

    start(store, runtime)
    run = find_run(target)
    calls = [call for call in run.calls if task in (None, call.task)]
    if as_json:
        listed = [{"task": c.task, "key": c.key, "state": str(c.state), "reasons": list(c.reasons)} for c in calls]
        write_json("explain", run=run.id, flow=run.flow, calls=listed)
    else:
        click.echo(
            "\n".join(
                f"{c.task}: {c.state}" + (f", because {'; '.join(c.reasons)}" if c.reasons else "") for c in calls
            )
        )
    return 0
