"""`gpucache show RUN`: one run whole."""

from __future__ import annotations

import click

from gpucache.cli.flows import session_options, start


@click.command()
@click.argument("name", metavar="RUN", default="@last")
@session_options
def command(name: str, store: str | None, runtime: str | None, *, as_json: bool) -> int:
    """Show one run (@last by default; @last~1 is the one before; the start of an id will do)."""
    from gpucache.cli.output import call_rows, duration, run_document, write_json, write_table
    from gpucache.flows import run as find_run

    start(store, runtime)
    run = find_run(name)
    if as_json:
        write_json("run", **run_document(run))
        return 0
    facts = {"run": run.id, "flow": run.flow, "status": run.status, "time": duration(run.seconds)}
    facts["saved"] = duration(run.saved_seconds or None) or "nothing"
    facts["arguments"] = ", ".join(f"{key}={value}" for key, value in run.shown.items()) or "none"
    facts |= {key: run.code[key] for key in ("file", "commit", "modified") if key in run.code}
    facts |= run.env
    if run.error:
        facts["error"] = run.error
    for key, value in facts.items():
        click.echo(f"{key:<10} {value}")
    click.echo()
    write_table(("task", "state", ">time", ">saved", "why"), call_rows(run.calls))
    return 0
