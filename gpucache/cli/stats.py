"""`gpucache stats`: what the store holds, by task."""

from __future__ import annotations

import dataclasses

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@store_option
@json_option
def command(store: str | None, as_json: bool) -> int:
    """Say what the store holds."""
    from gpucache.cli.output import duration, escaped, size, write, write_json, write_table
    from gpucache.flows import current_session

    start_on_a_store(store)
    stats = current_session().store.stats()
    if as_json:
        write_json("stats", **dataclasses.asdict(stats))
        return 0
    write(f"store    {stats.path}")
    write(f"records  {stats.records:,}")
    write(f"blobs    {stats.blobs:,} files, {size(stats.blob_bytes)}")
    write(f"index    {size(stats.index_bytes)}")
    write(f"pins     {stats.pins:,}")
    if stats.tasks:
        write()
        rows = [
            (escaped(task.task), f"{task.records:,}", size(task.nbytes), duration(task.seconds)) for task in stats.tasks
        ]
        write_table(("task", ">records", ">bytes", ">took"), rows)
    return 0
