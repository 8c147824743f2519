"""`gpucache explain RUN [RUN] | FILE[:FLOW]`: why calls ran, what two runs differ in, or what a file's next run would do and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gpucache.cli.flows import FLOW_CONTEXT, opened, session_options, split, start_on_a_store, users_output

if TYPE_CHECKING:
    from gpucache.flows import Plan


@click.command(context_settings=FLOW_CONTEXT)
@click.argument("target", metavar="RUN|FILE[:FLOW]", default="@last")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--ARG VALUE]...")
@click.option("--task", metavar="NAME", help="Only the calls of this task.")
@click.option("--code", "with_code", is_flag=True, help="Show the old and the new code of functions that changed.")
@click.option(
    "--demand", metavar="TASK", help="What calls of this task took of a GPU, and what the next would ask for."
)
@click.option("--input-bytes", type=click.IntRange(min=0), help="With --demand: for an input of this size.")
@session_options
def command(  # noqa: PLR0917  # click passes them by name
    target: str,
    arguments: tuple[str, ...],
    task: str | None,
    with_code: bool,
    demand: str | None,
    input_bytes: int | None,
    store: str | None,
    runtime: str | None,
    as_json: bool,
) -> int:
    """Say why the calls of a run ran (@last by default), or what a flow's next run would do and why.

    With two runs: where their calls differ, and why.
    """
    from gpucache.cli.output import write as write_line
    from gpucache.cli.output import write_json
    from gpucache.cli.views import write_calls, write_code, write_planned

    if demand is not None:
        from gpucache.cli.demand import explain_demand

        start_on_a_store(store, runtime)
        return explain_demand(demand, input_bytes, as_json=as_json)
    if split(target)[0].endswith(".py"):
        with users_output(as_json=as_json):
            flow, values = opened(target, arguments, store, runtime)
            plan = flow.plan_values(values)
        head, calls, write = {"flow": flow.name}, _planned(plan), write_planned
        rest, ended = plan.rest, {"stopped_at": plan.stopped_at, "problem": plan.problem}
    else:
        start_on_a_store(store, runtime)
        if arguments:
            return _two_runs(target, *arguments, as_json=as_json)
        head, calls = _ran(target)
        write, rest, ended = write_calls, None, {}
    calls = _only(task, calls)
    if as_json:
        write_json("explain", **head, calls=calls, **ended)
        return 0
    write(calls)
    if rest is not None:
        write_line(f"\n{rest}")
    if with_code:
        write_code([change for call in calls for change in call["code"]])
    return 0


def _planned(plan: Plan) -> list[dict[str, Any]]:
    from gpucache.cli.views import code_documents, planned_document

    return [{**planned_document(call), "code": code_documents(call.code)} for call in plan.calls]


def _ran(name: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    from gpucache.cli.views import call_document, code_documents
    from gpucache.flows import run

    found = run(name)
    calls = [{**call_document(call), "code": code_documents(found.code_changes(call))} for call in found.calls]
    return {"run": found.id, "flow": found.flow}, calls


def _two_runs(first: str, second: str, *more: str, as_json: bool) -> int:
    from gpucache.cli.diff import write_differences
    from gpucache.flows import run

    if more or second.startswith("-"):
        raise click.UsageError(
            f"two runs are compared, and take no arguments, but {' '.join((second, *more))!r} is given"
        )
    write_differences("explain", run(first), run(second), as_json=as_json)
    return 0


def _only(task: str | None, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of that task.

    Raises:
        NoSuchRecord: There is none.
    """
    if task is None:
        return calls
    chosen = [call for call in calls if call["task"] == task]
    if not chosen:
        from gpucache.errors import NoSuchRecord

        known = ", ".join(dict.fromkeys(call["task"] for call in calls)) or "none"
        raise NoSuchRecord("task", task, f"the tasks that it calls: {known}")
    return chosen
