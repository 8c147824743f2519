"""`gpucache run FILE[:FLOW] --arg value`: run a flow and say what ran, what hit, and why."""

from __future__ import annotations

from typing import Any

import click

from gpucache.cli.flows import FLOW_CONTEXT, flow_arguments, forced_in_vain, opened, session_options, users_output

RESULT_MAX_CHARACTERS = 2000
"""A plain result up to about this long, a screenful, is written whole, however wide."""

RESULT_MAX_BYTES = 65536
"""A result whose JSON is longer is described in a few words: it lies in the store, and this is for programs that read on."""


@click.command(context_settings=FLOW_CONTEXT)
@flow_arguments
@click.option("--force", multiple=True, metavar="TASK", help="Run this task even if its answer is known.")
@session_options
def command(  # noqa: PLR0917  # click passes them by name
    target: str,
    arguments: tuple[str, ...],
    force: tuple[str, ...],
    store: str | None,
    runtime: str | None,
    as_json: bool,
) -> int:
    """Run a flow of a Python file. The flow's own arguments follow as --name value.

    An argument of the flow that is called as one of the options below is given as --arg name=value. Exit status 2, at the end,
    if a task was to be forced that the run did not call.
    """
    from gpucache.cli.ending import FAILED, OK, USAGE, say_line, status_for, trimmed, users_traceback
    from gpucache.cli.output import write_json
    from gpucache.cli.views import run_document

    with users_output(as_json=as_json):
        flow, values = opened(target, arguments, store, runtime)
        run = flow.execute(values, forced=force)
    done = run.status == "done"
    if as_json:
        write_json("run", **run_document(run), result=_as_json(run.result()) if done else None)
    else:
        write_run(run)
    in_vain = forced_in_vain(force, run)
    if done:
        return USAGE if in_vain else OK
    problem = run.exception()
    say_line(trimmed(run.traceback or "") if problem is None else users_traceback(problem))
    return FAILED if problem is None else status_for(problem)


def write_run(run: Any) -> None:
    """A run for people: its calls, its result, and what it saved."""
    from gpucache.cli.output import duration, styled, write, write_marked
    from gpucache.cli.views import DID_RUN, run_document, write_calls

    document = run_document(run)
    calls = document["calls"]
    if calls:
        write_calls(calls)
        write()
    if document["status"] == "done":
        write(f"result  {_for_people(run)}")  # not through rich: a path that is broken in two can't be copied
    ran = sum(call["state"] in DID_RUN for call in calls)
    saved = f", {duration(document['saved_seconds'])} saved" if document["saved_seconds"] else ""
    ended = f"{styled(document['status'])} in {duration(document['seconds'])}"
    write_marked(f"run     {document['id']}  {ended}: {ran} of {len(calls)} calls ran{saved}")


def _for_people(run: Any) -> str:
    """The result: whole where it is plain and not long; else a few words and, where these leave something out, how to get it."""
    from gpucache.shown import shown

    value = run.result()
    words = shown(value)
    if "…" not in words and "..." not in words:
        return words
    return repr(value) if _is_short(value) else f"{words}  (whole: gpucache.run({run.id!r}).result())"


def _is_short(value: object) -> bool:
    """Whether a value is of numbers, texts, paths and builtin containers alone, and fits in RESULT_MAX_CHARACTERS, about."""
    from numbers import Number
    from pathlib import PurePath

    todo: list[Any] = [value]
    room = RESULT_MAX_CHARACTERS
    while todo and room > 0:
        one = todo.pop()
        if isinstance(one, int):
            room -= one.bit_length() // 3 + 1
        elif one is None or isinstance(one, Number):
            room -= 1
        elif isinstance(one, PurePath):
            room -= len(str(one))
        elif type(one) in (str, bytes):
            room -= len(one)
        elif type(one) in (list, tuple, set, frozenset, dict):
            room -= 1 + len(one)
            if room > 0:
                todo.extend(one.items() if type(one) is dict else one)
        else:
            return False
    return room > 0


def _as_json(value: Any) -> Any:
    """The value itself where JSON can say it, in at most RESULT_MAX_BYTES; else a few words."""
    import msgspec

    from gpucache.shown import shown

    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return shown(value)
    return msgspec.json.decode(text) if len(text) <= RESULT_MAX_BYTES else shown(value)
