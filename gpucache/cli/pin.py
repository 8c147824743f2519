"""`gpucache pin RUN`: keep the results of a run; `gpucache pin` lists what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option

if TYPE_CHECKING:
    from gpucache.flows.pinning import Pinned


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--task", metavar="NAME", help="Only the results of this task.")
@click.option("--remove", is_flag=True, help="Keep them no longer.")
@store_option
@json_option
def command(name: str | None, task: str | None, remove: bool, store: str | None, as_json: bool) -> int:
    """Keep the results of a run, whatever gc or the store's limit would have go. Without RUN: list what is kept."""
    from gpucache.cli.output import size, write, write_json
    from gpucache.flows import current_session, run
    from gpucache.flows.pinning import pin, pinned, unpin

    if name is None and (remove or task is not None):
        raise click.UsageError("name the run: gpucache pin RUN")
    start_on_a_store(store)
    kept_in = current_session().store
    found = pinned(kept_in) if name is None else (unpin if remove else pin)(kept_in, run(name), task)
    if as_json:
        pins = [{"task": one.task, "digest": one.digest, "bytes": one.nbytes} for one in found]
        write_json("pin", removed=remove, pins=pins)
        return 0
    if found:
        _list(found)
        write()
    nbytes = size(sum(one.nbytes for one in found))
    count = "1 result" if len(found) == 1 else f"{len(found):,} results"
    write(f"{count}, {nbytes}: " + ("kept no longer" if remove else "kept"))
    return 0


def _list(found: tuple[Pinned, ...]) -> None:
    from gpucache.cli.output import escaped, size, write_table

    rows: dict[str, list[int]] = {}
    for one in found:
        rows.setdefault(one.task or "(put by itself)", []).append(one.nbytes)
    write_table(
        ("task", ">results", ">bytes"),
        [(escaped(task), f"{len(sizes):,}", size(sum(sizes))) for task, sizes in rows.items()],
    )
