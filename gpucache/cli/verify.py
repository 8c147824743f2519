"""`gpucache verify`: read everything in the store and check it."""

from __future__ import annotations

from typing import Literal

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.option(
    "--level",
    type=click.Choice(["structure", "sample", "everything"]),
    default="everything",
    help="How much to read: rows and sizes, also some contents, or all contents (the default).",
)
@click.option("--repair", is_flag=True, help="Set aside what is damaged; it is computed again when it is needed.")
@store_option
@json_option
def command(level: Literal["structure", "sample", "everything"], repair: bool, store: str | None, as_json: bool) -> int:
    """Check every row and every byte of the store. Exit status 6 if something is damaged and was not set aside."""
    from gpucache.cli.ending import INTEGRITY, OK
    from gpucache.cli.output import size, write, write_json
    from gpucache.flows import current_session

    start_on_a_store(store)
    report = current_session().store.verify(level=level, repair=repair)
    if as_json:
        problems = [{"name": name, "problem": problem} for name, problem in report.problems]
        counts = {"rows": report.rows, "blobs": report.blobs, "bytes": report.nbytes}
        write_json("verify", **counts, problems=problems, repaired=report.repaired)
    else:
        for name, problem in report.problems:
            write(f"{name}: {problem}")
        found = f"{len(report.problems)} damaged" if report.problems else "all whole"
        hint = "; set aside" if report.repaired else "; --repair sets them aside" if report.problems else ""
        write(f"{report.rows:,} rows, {report.blobs:,} blobs, {size(report.nbytes)}: {found}{hint}")
    return INTEGRITY if report.problems and not report.repaired else OK
