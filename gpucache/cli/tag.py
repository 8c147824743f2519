"""`gpucache tag RUN NAME`: a name for a run that one comes back to; `gpucache tag` lists them."""

from __future__ import annotations

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.argument("tag", metavar="[NAME]", required=False)
@click.option("--remove", "removed", metavar="NAME", help="Drop a tag; the run stays.")
@store_option
@json_option
def command(name: str | None, tag: str | None, removed: str | None, store: str | None, as_json: bool) -> int:
    """Name a run: wherever a run is asked for, its tag will do. Without RUN: list the tags."""
    from gpucache.cli.output import escaped, write, write_json, write_table
    from gpucache.errors import NoSuchRecord
    from gpucache.flows import current_session, run

    start_on_a_store(store)
    ledger = current_session().ledger
    if removed is not None and not ledger.untag(removed):
        raise NoSuchRecord("tag", removed, f"there are {', '.join(ledger.tags()) or 'none'}")
    if name is not None:
        if tag is None:
            raise click.UsageError("name the tag: gpucache tag RUN NAME")
        run(name).tag(tag)
    tags = ledger.tags()
    if as_json:
        write_json("tag", tags=tags)
    elif tags:
        write_table(("tag", "run"), [(escaped(one), run_id) for one, run_id in tags.items()])
    else:
        write("no tags")
    return 0
