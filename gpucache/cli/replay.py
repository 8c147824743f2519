"""`gpucache replay RUN`: run its flow again with the arguments that it had, and compare."""

from __future__ import annotations

import click

from gpucache.cli.flows import forced_in_vain, session_options, start_on_a_store, users_output


@click.command()
@click.argument("name", metavar="RUN", default="@last")
@click.option("--force", multiple=True, metavar="TASK", help="Run this task even if its answer is known.")
@session_options
def command(name: str, force: tuple[str, ...], store: str | None, runtime: str | None, as_json: bool) -> int:
    """Run a run's flow again (@last by default), with the arguments that it had and the code as it is now, and compare.

    Exit status 6 if it did not come out the same, 1 if it failed, 2 if a task was to be forced that it did not call.
    """
    from gpucache.cli.diff import write_differences
    from gpucache.cli.ending import INTEGRITY, OK, USAGE, say_line, status_for, users_traceback
    from gpucache.flows import run

    start_on_a_store(store, runtime)
    before = run(name)
    with users_output(as_json=as_json):
        after = before.replay(forced=force)
    in_vain = forced_in_vain(force, after)
    problem = after.exception()
    differs = (as_json or problem is None) and write_differences("replay", before, after, as_json=as_json)
    if problem is not None:
        say_line(users_traceback(problem))
        return status_for(problem)
    if differs:
        return INTEGRITY
    return USAGE if in_vain else OK
