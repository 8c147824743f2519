"""`gpucache verify`: read everything in the store and check it."""

from __future__ import annotations

import click

from gpucache.cli.flows import session_options, start


@click.command()
@click.option("--repair", is_flag=True, help="Set aside what is damaged; it is computed again when it is needed.")
@session_options
def command(store: str | None, runtime: str | None, *, repair: bool, as_json: bool) -> int:
    """Check every row and every byte of the store."""
    from gpucache.cli.main import FAILED, OK
    from gpucache.cli.output import size, write_json
    from gpucache.flows import current_session

    start(store, runtime)
    report = current_session().store.verify(repair=repair)
    if as_json:
        problems = [{"name": name, "problem": problem} for name, problem in report.problems]
        write_json(
            "verify",
            rows=report.rows,
            blobs=report.blobs,
            bytes=report.nbytes,
            problems=problems,
            repaired=report.repaired,
        )
    else:
        for name, problem in report.problems:
            click.echo(f"{name}: {problem}")
        found = f"{len(report.problems)} damaged" if report.problems else "all whole"
        hint = "; set aside" if report.repaired else "; --repair sets them aside" if report.problems else ""
        click.echo(f"{report.rows:,} rows, {report.blobs:,} blobs, {size(report.nbytes)}: {found}{hint}")
    return FAILED if report.problems and not report.repaired else OK
