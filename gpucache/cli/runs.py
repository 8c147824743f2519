"""`gpucache runs`: the runs in the store, newest first."""

from __future__ import annotations

import time

import click

from gpucache.cli.flows import session_options, start


@click.command()
@click.option("--flow", metavar="NAME", help="Only of this flow.")
@click.option("--since", metavar="TIME", help="Only those started within this time: 2h, 7d.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@session_options
def command(
    flow: str | None, since: str | None, limit: int, store: str | None, runtime: str | None, *, as_json: bool
) -> int:
    """List runs, newest first."""
    from gpucache.cli.output import duration, styled, write_json, write_table
    from gpucache.flows import runs

    start(store, runtime)
    found = runs(flow, since=since, limit=limit)
    if as_json:
        fields = ("id", "flow", "status", "started_at", "seconds", "saved_seconds", "error")
        write_json("runs", runs=[{name: getattr(run, name) for name in fields} for run in found])
        return 0
    rows = []
    for run in found:
        states = [str(call.state) for call in run.calls]
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started_at))
        counts = ", ".join(f"{states.count(state)} {styled(state)}" for state in dict.fromkeys(states))
        rows.append(
            (run.id, run.flow, run.status, when, duration(run.seconds), duration(run.saved_seconds or None), counts)
        )
    write_table(("run", "flow", "status", "started", ">time", ">saved", "calls"), rows)
    return 0
