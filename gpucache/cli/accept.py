"""`gpucache accept FILE --task NAME --since RUN --why TEXT`: carry results over an edit that changes nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from gpucache.cli.flows import json_option, split, start_on_a_store, store_option


@click.command()
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--task", "names", multiple=True, metavar="NAME", help="The task; may be given more than once.")
@click.option("--since", metavar="RUN", help="The run whose results shall hold: an id, the start of one, @last.")
@click.option("--why", metavar="TEXT", help="The reason; explain says it wherever these results answer.")
@click.option("--revoke", "revoked", metavar="ID", help="Take an acceptance back.")
@store_option
@json_option
def command(  # noqa: PLR0917  # click passes them by name
    file: str | None,
    names: tuple[str, ...],
    since: str | None,
    why: str | None,
    revoked: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Let a task's results of an earlier run answer for its code as it is now. Without FILE: list what was accepted."""
    from gpucache.cli.output import write, write_json
    from gpucache.flows import acceptances, revoke

    start_on_a_store(store)
    if revoked is not None:
        gone = revoke(revoked)
        if as_json:
            write_json("accept", revoked=revoked, records=gone)
        else:
            write(f"{revoked} is taken back: {gone} records answer no more")
        return 0
    if file is None:
        found = acceptances()
    elif not names or since is None or why is None:
        raise click.UsageError("accepting takes --task, --since and --why")
    else:
        found = _accepted(file, names, since, why)
    if as_json:
        write_json("accept", acceptances=[dataclasses.asdict(one) for one in found])
    else:
        _write(found)
    return 0


def _accepted(file: str, names: tuple[str, ...], since: str, why: str) -> list[Any]:
    from gpucache.errors import NoSuchRecord
    from gpucache.flows import AnyTask, accept
    from gpucache.flows.loading import load_file

    path, _ = split(file)
    tasks = {value.name: value for value in vars(load_file(path)).values() if isinstance(value, AnyTask)}
    missing = [name for name in names if name not in tasks]
    if missing:
        raise NoSuchRecord("task", missing[0], f"{path} has {', '.join(sorted(tasks)) or 'none'}")
    return [accept(tasks[name], since=since, why=why) for name in names]


def _write(found: list[Any]) -> None:
    from gpucache.cli.output import escaped, write, write_table
    from gpucache.cli.views import moment

    if not found:
        write("nothing was accepted")
        return
    rows = [
        (one.id, escaped(one.task), one.since, f"{one.records:,}", moment(one.accepted_at), _told(one)) for one in found
    ]
    write_table(("id", "task", "since", ">records", "when", "why"), rows)


def _told(one: Any) -> str:
    from gpucache.cli.output import escaped

    return f"{escaped(one.why)} [dim](taken back)[/]" if one.revoked else escaped(one.why)
