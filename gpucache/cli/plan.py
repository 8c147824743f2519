"""`gpucache plan FILE[:FLOW]`: what would hit, what would run and why; no task runs."""

from __future__ import annotations

import click

from gpucache.cli.flows import FLOW_CONTEXT, flow_arguments, opened, session_options, users_output


@click.command(context_settings=FLOW_CONTEXT)
@flow_arguments
@click.option("--exit-code", is_flag=True, help="Exit with 3 if anything would run.")
@session_options
def command(  # noqa: PLR0917  # click passes them by name
    target: str,
    arguments: tuple[str, ...],
    exit_code: bool,
    store: str | None,
    runtime: str | None,
    as_json: bool,
) -> int:
    """Say what a flow would run, and why, without running a task.

    The flow's own lines do run, with the stored results of the tasks that hit: what they print or write, they do.
    """
    from gpucache.cli.ending import DIFFERENCES, OK
    from gpucache.cli.output import write, write_json
    from gpucache.cli.views import planned_document, write_planned

    with users_output(as_json=as_json):
        flow, values = opened(target, arguments, store, runtime)
        plan = flow.plan_values(values)
    calls = [planned_document(call) for call in plan.calls]
    if as_json:
        ended = {"stopped_at": plan.stopped_at, "problem": plan.problem, "all_hit": plan.is_all_hit}
        write_json("plan", flow=plan.flow, calls=calls, **ended)
    else:
        write_planned(calls)
        write()
        if plan.rest is not None:
            write(plan.rest)
        counted = f"{len(plan.would_run)} of {len(plan.calls)} calls would run, or may"
        write("everything hits" if plan.is_all_hit else counted)
    return DIFFERENCES if exit_code and not plan.is_all_hit else OK
