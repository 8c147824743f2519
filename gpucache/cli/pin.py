"""`gpucache pin RUN`: keep the results of a run, or a value by its digest; `gpucache pin` lists what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option

if TYPE_CHECKING:
    from gpucache.flows.pinning import Pinned


@click.command()
@click.argument("name", metavar="[RUN|DIGEST]", required=False)
@click.option("--task", metavar="NAME", help="Only the results of this task.")
@click.option("--remove", is_flag=True, help="Keep them no longer.")
@store_option
@json_option
def command(name: str | None, task: str | None, remove: bool, store: str | None, as_json: bool) -> int:
    """Keep the results of a run, or a value by how its digest begins, whatever gc or the store's limit would have go.

    Without RUN or DIGEST: list what is kept.
    """
    from gpucache.cli.output import size, write, write_json
    from gpucache.flows import current_session, run
    from gpucache.flows.pinning import pin, pinned, results_of, unpin, value_named

    if name is None and (remove or task is not None):
        raise click.UsageError("name the run: gpucache pin RUN")
    start_on_a_store(store)
    kept_in = current_session().store
    if name is None:
        found = pinned(kept_in)
    else:
        named = value_named(kept_in, name) if task is None else ()
        found = (unpin if remove else pin)(kept_in, named or results_of(kept_in, run(name), task))
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
