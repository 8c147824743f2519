"""`gpucache stats`: what the store holds, by task."""

from __future__ import annotations

import dataclasses

import click

from gpucache.cli.flows import session_options, start


@click.command()
@session_options
def command(store: str | None, runtime: str | None, *, as_json: bool) -> int:
    """Say what the store holds."""
    from gpucache.cli.output import duration, size, write_json, write_table
    from gpucache.flows import current_session

    start(store, runtime)
    stats = current_session().store.stats()
    if as_json:
        write_json("stats", **dataclasses.asdict(stats))
        return 0
    click.echo(f"store    {stats.path}")
    click.echo(f"records  {stats.records:,}")
    click.echo(f"blobs    {stats.blobs:,} files, {size(stats.blob_bytes)}")
    click.echo(f"index    {size(stats.index_bytes)}")
    click.echo(f"pins     {stats.pins:,}\n")
    rows = [(task.task, f"{task.records:,}", size(task.nbytes), duration(task.seconds)) for task in stats.tasks]
    write_table(("task", ">records", ">bytes", ">took"), rows)
    return 0
