"""The verbs, each loaded when it is called; and the edge at which every error becomes a sentence and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

import click

from gpucache.errors import (
    BadArgument,
    BadSetting,
    FlowFileBroken,
    GpuCacheError,
    NoSuchFlow,
    NoSuchRecord,
    RecordCorrupt,
    RuntimeUnreachable,
    StoreFull,
    StoreUnusable,
)

OK, FAILED, USAGE, DIFFERENCES, NOT_FOUND, UNREACHABLE, INTEGRITY, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130

VERBS = {
    "demo": "Write a pipeline, run it cold, again, and after an edit.",
    "doctor": "Say whether everything that gpucache needs is there.",
    "explain": "Say why the calls of a run ran, or what a flow's next run would do and why.",
    "gc": "Free room in the store; says what it would do, does it with --apply.",
    "plan": "Say what a flow would run, and why, without running a task.",
    "run": "Run a flow.",
    "runs": "List runs.",
    "show": "Show one run: what ran, what hit, and why.",
    "simulate": "Say what a cluster would have done with a workload, by policy.",
    "stats": "Say what the store holds.",
    "verify": "Check every row and every byte of the store.",
}

_STATUS: tuple[tuple[type[GpuCacheError], int], ...] = (
    (BadArgument, USAGE),
    (BadSetting, USAGE),
    (FlowFileBroken, USAGE),
    (NoSuchFlow, NOT_FOUND),
    (NoSuchRecord, NOT_FOUND),
    (StoreUnusable, UNREACHABLE),
    (RuntimeUnreachable, UNREACHABLE),
    (StoreFull, FAILED),
    (RecordCorrupt, INTEGRITY),
)


class Verbs(click.Group):
    """A group whose commands are imported when they are asked for: --help costs click alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"gpucache.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing a verb."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gpucache")
def cli() -> None:
    """Nothing is computed twice, and no GPU is cold.

    Every verb takes --json. Settings: GPUCACHE_STORE, GPUCACHE_RUNTIME. Exit status: 0 done, 1 a task failed or a check
    found something, 2 wrong usage, 3 differences found, 4 not found, 5 store or runtime not reachable, 6 integrity.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(status_of(arguments))


def status_of(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status."""
    try:
        given = cli.main(None if arguments is None else list(arguments), prog_name="gpucache", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as problem:
        problem.show()
        return USAGE
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone, as with `| head`
        return OK
    except GpuCacheError as problem:
        return _say(problem)
    return given if isinstance(given, int) else OK


def users_traceback(problem: BaseException) -> str:
    """A user's exception with the frames of gpucache and of the tools below it left out."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    trace = problem.__traceback__
    frames: list[TracebackType] = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(here) and not file.startswith("<frozen"):
            frames.append(trace)
        trace = trace.tb_next
    lines = ["Traceback (most recent call last):\n"] if frames else []
    for frame in frames:
        lines += traceback.format_list(traceback.extract_tb(frame, limit=1))
    return "".join([*lines, *traceback.format_exception_only(problem)]).rstrip()


def _say(problem: GpuCacheError) -> int:
    if isinstance(problem, FlowFileBroken) and problem.__cause__ is not None:
        click.echo(users_traceback(problem.__cause__), err=True)
    click.echo(f"gpucache: {problem}", err=True)
    return next((status for kind, status in _STATUS if isinstance(problem, kind)), FAILED)
