"""`gpucache pin WHAT`: what gc keeps, whatever it is asked for; `gpucache pin` lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option

if TYPE_CHECKING:
    from gpucache.store import Store

SHORTEST = 6
"""So many digits of a digest are asked for at least."""


@click.command()
@click.argument("names", metavar="[DIGEST|RUN]...", nargs=-1)
@click.option("--remove", "removed", is_flag=True, help="Keep them no longer.")
@store_option
@json_option
def command(names: tuple[str, ...], removed: bool, store: str | None, as_json: bool) -> int:
    """Keep values whatever gc is asked for: one by its digest, or by how that begins, or all results of a run.

    Without DIGEST or RUN: list what is kept.
    """
    from gpucache.cli.output import size, write, write_json, write_table
    from gpucache.flows import current_session

    start_on_a_store(store)
    held = current_session().store
    for digest in {digest for name in names for digest in _meant(held, name)}:
        if removed:
            held.unpin(digest.hex())
        else:
            held.pin(digest.hex())
    pinned = {digest: held.manifest_of(digest) for digest, _ in held.rows.scan("pins")}
    sizes = {digest.hex(): 0 if found is None else found.nbytes for digest, found in pinned.items()}
    if as_json:
        write_json("pin", pins=[{"digest": digest, "nbytes": nbytes} for digest, nbytes in sizes.items()])
    elif sizes:
        write_table(("digest", ">bytes"), [(digest, size(nbytes)) for digest, nbytes in sizes.items()])
    else:
        write("no pins")
    return 0


def _meant(store: Store, name: str) -> set[bytes]:
    """The values that a name means. Results that lie in their record's row need no pin: gc leaves rows.

    Raises:
        NoSuchRecord: None.
    """
    from gpucache.errors import NoSuchRecord
    from gpucache.flows import run

    digits = name.removeprefix("xxh3-128:").lower()
    if len(digits) >= SHORTEST and set(digits) <= set("0123456789abcdef"):
        found = {digest for database in ("values", "pins") for digest, _ in store.rows.scan(database)}
        found = {digest for digest in found if digest.hex().startswith(digits)}
        if len(found) > 1:
            raise NoSuchRecord("value", name, f"that is how {len(found)} digests begin; write more of it")
        if found:
            return found
    results = {bytes.fromhex(call.result) for call in run(name).calls if call.result is not None}
    return {digest for digest in results if store.manifest_of(digest) is not None}
