"""The verbs, each imported when it is called; and the edge at which every error becomes a sentence and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from gpucache.cli.ending import INTERRUPTED, OK, USAGE, say, say_line
from gpucache.errors import GpuCacheError

VERBS = {
    "demo": "Write a pipeline, run it cold, again, and after an edit.",
    "run": "Run a flow.",
    "plan": "Say what a flow would run, and why, without running a task.",
    "explain": "Say why the calls of a run ran, or what a flow's next run would do and why.",
    "runs": "List runs.",
    "show": "Show one run: what ran, what hit, and why.",
    "diff": "Say where two runs differ, and why.",
    "replay": "Run a run's flow again with the arguments that it had, and compare.",
    "stats": "Say what the store holds.",
    "tag": "Give a run a name.",
    "check": "Run a run's calls again, or compare two runs, and say what is not the same.",
    "accept": "Let a task's results of an earlier run answer for its code as it is now.",
    "gc": "Free room in the store; says what it would do, does it with --apply.",
    "pin": "Keep values whatever gc is asked for.",
    "verify": "Check every row and every byte of the store.",
    "status": "Show the runs in progress, the warm workers, and what these hold of the GPUs.",
    "push": "Send results to the remote that were not sent yet.",
    "keygen": "Make a key that signs results for others.",
    "top": "Show what the GPUs hold and do, now and again.",
    "simulate": "Say what a cluster would have done with a workload, by policy.",
    "serve": "Serve metrics of the GPUs, the pools and the store.",
    "doctor": "Say whether everything that gpucache needs is there.",
}


class Verbs(click.Group):
    """A group whose commands are imported when they are asked for: --help costs click alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order in which one meets them."""
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


def _say_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import gpucache

        click.echo(f"gpucache {gpucache.__version__}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_say_version, help="Say the version."
)
def cli() -> None:
    """Nothing is computed twice, and no GPU is cold.

    Every verb takes --json. Settings: GPUCACHE_STORE, GPUCACHE_RUNTIME. Exit status: 0 done, 1 a task failed or a check
    found something, 2 wrong usage, 3 differences found, 4 not found, 5 store or runtime not reachable, 6 integrity,
    130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(status_of(sys.argv[1:] if arguments is None else arguments))


def _stop_at_once() -> None:
    """End what runs in workers: whoever pressed Ctrl-C does not want to wait for it."""
    flows = sys.modules.get("gpucache.flows")
    if flows is not None:
        flows.shutdown(at_once=True)


def status_of(arguments: Sequence[str]) -> int:
    """Run the command line; its exit status. With --json, what ends it is a document on stdout, too."""
    heard: list[BaseException] = []
    status = _status_of(arguments, heard)
    if heard and "--json" in arguments:
        from gpucache.cli.output import write_json

        problem = heard[0]
        write_json("error", error=type(problem).__name__, message=_message(problem), exit_status=status)
    return status


def _message(problem: BaseException) -> str:
    return problem.format_message() if isinstance(problem, click.ClickException) else str(problem)


def _status_of(arguments: Sequence[str], heard: list[BaseException]) -> int:
    try:
        # Not cli.main(): that ends the process itself when stdout's reader has gone, with the status of a failed task.
        with cli.make_context("gpucache", list(arguments)) as context:
            given = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        return USAGE
    except click.ClickException as problem:
        problem.show()
        heard.append(problem)
        return USAGE
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        _stop_at_once()
        say_line("gpucache: interrupted")
        return INTERRUPTED
    except GpuCacheError as problem:
        heard.append(problem)
        return say(problem)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone, as with `| head`
        return OK
    except Exception as problem:  # noqa: BLE001  # an edge: a flow's own lines may raise anything, and so may a bug of ours
        return say(problem)
    return given if isinstance(given, int) else OK
