"""What the verbs share: the session's options, and FILE[:FLOW] with the flow's arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FLOW_CONTEXT = {"ignore_unknown_options": True, "allow_interspersed_args": True}
"""Options that are not ours are the flow's: they are handed on unread."""


def flow_arguments(function: F) -> F:
    """FILE[:FLOW], and whatever follows for the flow."""
    decorated = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--ARG VALUE]...")(function)
    return click.argument("target", metavar="FILE[:FLOW]")(decorated)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")(function)


def store_option(function: F) -> F:
    """--store."""
    return click.option("--store", metavar="PATH", help="The store's path. Default: GPUCACHE_STORE.")(function)


def session_options(function: F) -> F:
    """--store, --runtime and --json, for verbs that may run something."""
    kinds = "local, ray, ray://host:port or inline. Default: GPUCACHE_RUNTIME."
    decorated = click.option("--runtime", metavar="KIND", help=kinds)(store_option(function))
    return json_option(decorated)


def opened(
    target: str, arguments: Sequence[str], store: str | None, runtime: str | None
) -> tuple[Any, tuple[Any, ...]]:
    """The flow that `target` names, and its arguments.

    Raises:
        FlowFileBroken, NoSuchFlow, BadArgument: As their names say; nothing ran.
    """
    from gpucache.cli.arguments import bound_values
    from gpucache.flows.loading import find_flow, load_file

    if target.startswith("-"):
        raise click.UsageError(f"FILE comes first, then the flow's arguments; {target!r} is no file")
    start(store, runtime)
    path, name = split(target)
    flow = find_flow(load_file(path), name, path)
    return flow, bound_values(flow, arguments)


@contextmanager
def users_output(*, as_json: bool) -> Iterator[None]:
    """What the user's code prints goes to stderr where stdout is for the document alone."""
    if not as_json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def forced_in_vain(forced: Sequence[str], run: Any) -> bool:
    """Whether a task was to be forced that the run did not call; says which, and what it did call.

    Known at the end alone: a flow is a program, and may call any task that it imports or makes on its way.
    """
    from gpucache.cli.ending import say_line

    called = list(dict.fromkeys(call.task for call in run.calls))
    vain = [name for name in dict.fromkeys(forced) if name not in called]
    for name in vain:
        say_line(
            f"gpucache: --force {name}: the run called no task of that name; it called {', '.join(called) or 'none'}"
        )
    return bool(vain)


def start(store: str | None, runtime: str | None = None) -> None:
    """Use this store and runtime in this process, where they are given."""
    from gpucache.flows import init

    if store is not None or runtime is not None:
        init(runtime=runtime, store=store)


def start_on_a_store(store: str | None, runtime: str | None = None) -> None:
    """start(), for verbs that have nothing to show where there is no store; none is made.

    Raises:
        StoreUnusable: There is none.
    """
    from gpucache.errors import StoreUnusable
    from gpucache.flows import current_session

    start(store, runtime)
    path = current_session().config.store_path
    if not path.exists():
        raise StoreUnusable(
            str(path), "there is none yet", "the first run makes it; --store or GPUCACHE_STORE name another"
        )


def split(target: str) -> tuple[str, str | None]:
    """FILE[:FLOW] as its two parts. A flow's name may be anything, so what ends in .py is the file."""
    path, colon, name = target.rpartition(":")
    return (path, name) if colon and path.endswith(".py") and not name.endswith(".py") else (target, None)
