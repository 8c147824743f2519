"""`gpucache gc`: what could go from the store, and what it would cost to have it again; --apply does it."""

from __future__ import annotations

import dataclasses

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.option(
    "--max-size", metavar="SIZE", help="Come down to this: 20GiB. Default: the setting store_max_bytes, if any."
)
@click.option("--apply", "applied", is_flag=True, help="Do it; without this nothing is changed.")
@store_option
@json_option
def command(max_size: str | None, applied: bool, store: str | None, as_json: bool) -> int:
    """Free room in the store. Says what it would do; does it with --apply."""
    from gpucache.cli.output import duration, size, write, write_json
    from gpucache.flows import current_session
    from gpucache.sizes import parse_bytes

    start_on_a_store(store)
    session = current_session()
    max_bytes = (session.config.store_max_bytes or None) if max_size is None else parse_bytes("--max-size", max_size)
    report = session.store.collect(max_bytes=max_bytes, apply=applied)
    if as_json:
        write_json("gc", max_bytes=max_bytes, **dataclasses.asdict(report))
        return 0
    would = "freed" if applied else "would free"
    write(f"{would} {size(report.orphan_bytes)} in {report.orphans:,} files that nothing names")
    cost = f", which took {duration(report.recompute_seconds)} to compute" if report.evicted else ""
    write(f"{would} {size(report.evicted_bytes)} in {report.evicted:,} results{cost}")
    write(
        f"{size(report.kept_bytes)} remain"
        if applied
        else f"{size(report.kept_bytes)} would remain; nothing was changed: add --apply"
    )
    return 0
