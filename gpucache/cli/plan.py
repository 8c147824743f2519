"""`gpucache plan FILE[:FLOW]`: what would hit, what would run and why; no task runs."""

from __future__ import annotations

import click

from gpucache.cli.flows import FLOW_CONTEXT, flow_arguments, opened, session_options


@click.command(context_settings=FLOW_CONTEXT)
@flow_arguments
@click.option("--exit-code", is_flag=True, help="Exit with 3 if anything would run.")
@session_options
def command(
    target: str, arguments: tuple[str, ...], store: str | None, runtime: str | None, *, exit_code: bool, as_json: bool
) -> int:
    """Say what a flow would run, and why, without running a task."""
    from gpucache.cli.main import DIFFERENCES, OK
    from gpucache.cli.output import duration, escaped, plan_document, write_json, write_table

    flow, values = opened(target, arguments, store, runtime)
    plan = flow.plan_values(values)
    if as_json:
        calls = [plan_document(call) for call in plan.calls]
        write_json("plan", flow=plan.flow, calls=calls, stopped_at=plan.stopped_at)
    else:
        styles = {"hits": "green", "runs": "yellow", "may run": "cyan"}
        rows = [
            (
                call.task,
                f"[{styles[call.verdict]}]{call.verdict}[/]",
                duration(call.seconds),
                escaped("; ".join(map(str, call.reasons))),
            )
            for call in plan.calls
        ]
        write_table(("task", "would", ">last took", "why"), rows)
        if plan.stopped_at is not None:
            click.echo(f"\nthe rest depends on the result of {plan.stopped_at}, which is not known before it runs")
        click.echo(
            f"\n{len(plan.would_run)} of {len(plan.calls)} calls would run, or may"
            if not plan.is_all_hit
            else "\neverything hits"
        )
    return DIFFERENCES if exit_code and not plan.is_all_hit else OK
