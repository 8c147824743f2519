"""`gpucache runs`: the runs in the store, newest first."""

from __future__ import annotations

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.option("--flow", metavar="NAME", help="Only of this flow.")
@click.option("--since", metavar="TIME", help="Only those started within this time: 2h, 7d.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@store_option
@json_option
def command(flow: str | None, since: str | None, limit: int, store: str | None, as_json: bool) -> int:
    """List runs, newest first."""
    from gpucache.cli.output import duration, escaped, styled, write, write_json, write_table
    from gpucache.cli.views import call_document, counted, moment, run_summary
    from gpucache.flows import runs

    start_on_a_store(store)
    found = runs(flow, since=since, limit=limit)
    if as_json:
        write_json("runs", runs=[run_summary(run) for run in found])
        return 0
    if not found:
        write("no runs yet" if flow is None and since is None else "no such runs")
        return 0
    rows = [
        (
            run.id,
            escaped(run.flow),
            styled(run.status),
            moment(run.started_at),
            duration(run.seconds),
            duration(run.saved_seconds or None),
            counted([call_document(call) for call in run.calls]),
        )
        for run in found
    ]
    write_table(("run", "flow", "status", "started", ">time", ">saved", "calls"), rows)
    return 0
