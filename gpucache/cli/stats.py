"""`gpucache stats`: what the store holds, by task."""

from __future__ import annotations

import dataclasses

import click
import msgspec

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@store_option
@json_option
def command(store: str | None, as_json: bool) -> int:
    """Say what the store holds."""
    from gpucache.cli.output import duration, escaped, size, write, write_json, write_table
    from gpucache.flows import current_session
    from gpucache.store.remote.counts import totals, waiting

    start_on_a_store(store)
    held = current_session().store
    stats, shared, unsent = held.stats(), totals(held), waiting(held)
    if as_json:
        remote = {**msgspec.structs.asdict(shared), "to_send": unsent}
        write_json("stats", **dataclasses.asdict(stats), remote=remote)
        return 0
    write(f"store    {stats.path}")
    write(f"records  {stats.records:,}")
    if stats.values:
        write(f"values   {stats.values:,}, put by hand")
    write(f"blobs    {stats.blobs:,} files, {size(stats.blob_bytes)}")
    write(f"index    {size(stats.index_bytes)}")
    write(f"pins     {stats.pins:,}")
    if shared.hits or shared.misses or shared.sent or shared.failures or unsent:
        write(
            f"remote   {shared.hits:,} hits ({size(shared.fetched_bytes)}), {shared.misses:,} misses, "
            f"{shared.sent:,} sent ({size(shared.sent_bytes)}, {size(shared.saved_bytes)} saved), {unsent:,} to send, "
            f"{shared.failures:,} failures, {shared.refused:,} refused, {shared.damaged:,} damaged"
        )
    if stats.tasks:
        write()
        rows = [
            (escaped(task.task), f"{task.records:,}", size(task.nbytes), duration(task.seconds)) for task in stats.tasks
        ]
        write_table(("task", ">records", ">bytes", ">took"), rows)
    return 0
