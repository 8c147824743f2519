"""`gpucache diff RUN RUN`: where two runs differ, and why."""

from __future__ import annotations

from typing import Any

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN", default="@last")
@store_option
@json_option
def command(before: str, after: str, store: str | None, as_json: bool) -> int:
    """Say where two runs differ, call by call, and why (with @last, if one is given). Exit status 3 if they do."""
    from gpucache.cli.ending import DIFFERENCES, OK
    from gpucache.flows import run

    start_on_a_store(store)
    first, second = run(before), run(after)
    return DIFFERENCES if write_differences("diff", first, second, as_json=as_json) else OK


def write_differences(schema: str, before: Any, after: Any, *, as_json: bool) -> bool:
    """Two runs' differences, for people or for programs; whether there are any."""
    from gpucache.cli.output import escaped, write, write_json, write_table

    found = before.diff(after)
    if as_json:
        calls = [{"task": one.task, "difference": one.what} for one in found]
        write_json(schema, run=before.id, other=after.id, differences=calls)
    elif found:
        write_table(("task", "difference"), [(escaped(one.task), escaped(one.what)) for one in found])
    else:
        write(f"{before.id} and {after.id} made the same calls, with the same results")
    return bool(found)
