"""`gpucache simulate`: what a cluster would have done with a workload, by policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gpucache.cli import simulate_plot
from gpucache.cli.flows import start_on_a_store, store_option
from gpucache.errors import BadTable

if TYPE_CHECKING:
    from gpucache.placement.model import Node
    from gpucache.placement.openb import Task


@click.command()
@click.option(
    "--nodes",
    "nodes_path",
    required=True,
    metavar="FILE",
    help="CSV: sn,cpu_milli,memory_mib,gpu,model; may be gzipped.",
)
@click.option(
    "--tasks",
    "tasks_path",
    metavar="FILE",
    help="CSV: name,cpu_milli,memory_mib,num_gpu,gpu_milli[,...] or submit_time,run_time,requested_processors[,...] (SWF).",
)
@click.option(
    "--run", "runs", multiple=True, metavar="RUN", help="Instead of --tasks: the calls of a recorded run; repeatable."
)
@click.option(
    "--policy", "policies", multiple=True, default=("packed", "fgd", "best_fit"), show_default=True, metavar="NAME"
)
@click.option(
    "--departures", is_flag=True, help="Tasks end, and what does not fit waits; needs creation_time and deletion_time."
)
@click.option("--no-backfill", is_flag=True, help="With --departures: nobody passes a task that waits.")
@click.option(
    "--inflate",
    type=click.FloatRange(0, 10),
    metavar="RATIO",
    help="Repeat tasks until RATIO of the GPUs is asked for.",
)
@click.option("--seed", default=42, show_default=True, help="Of what is drawn by lot.")
@click.option("--memory", is_flag=True, help="Count host memory too, not only CPUs and GPU share.")
@click.option("--plot", "plot_path", metavar="FILE", help="Write a picture, too (.png, .svg, .pdf); needs matplotlib.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(
    nodes_path: str,
    tasks_path: str | None,
    runs: tuple[str, ...],
    policies: tuple[str, ...],
    *,
    inflate: float | None,
    seed: int,
    departures: bool,
    no_backfill: bool,
    memory: bool,
    plot_path: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Say what a cluster would have done with a workload, policy by policy."""
    from gpucache.cli.output import write_json, write_table
    from gpucache.placement.arrivals import MARKS_PERCENT
    from gpucache.placement.openb import read_nodes
    from gpucache.placement.policies import BY_NAME
    from gpucache.placement.simulation import simulate

    if unknown := [name for name in policies if name not in BY_NAME]:
        raise click.UsageError(f"no policy {unknown[0]!r}; there are {', '.join(sorted(BY_NAME))}")
    if departures and inflate is not None:
        raise click.UsageError("--inflate repeats tasks that stay; it makes no sense with --departures")
    if (tasks_path is None) == (not runs):
        raise click.UsageError("the workload is --tasks FILE or --run RUN: give one of them")
    drawn = plot_path is not None and not departures
    try:
        nodes = read_nodes(nodes_path, memory=memory)
        tasks = (
            _recorded(store, runs, memory=memory)
            if tasks_path is None
            else _read(tasks_path, memory=memory, times=departures)
        )
        rows = simulate(
            nodes,
            tasks,
            policies,
            departures=departures,
            backfill=not no_backfill,
            inflate=inflate,
            seed=seed,
            marks=sorted({*simulate_plot.MARKS_PERCENT, *MARKS_PERCENT}) if drawn else MARKS_PERCENT,
            fragmentation=drawn,
        )
        if plot_path is not None:
            simulate_plot.draw(plot_path, rows, departures=departures)
    except BadTable as problem:
        raise click.UsageError(str(problem)) from problem
    except OSError as problem:
        raise click.UsageError(f"{problem.filename}: {problem.strerror}") from problem
    except ValueError as problem:  # matplotlib's, of a format that it does not know
        if plot_path is None:
            raise
        raise click.UsageError(f"--plot {plot_path}: {problem}") from problem
    if as_json:
        write_json("simulation", nodes=len(nodes), gpus=sum(len(node.gpus) for node in nodes), results=rows)
        return 0
    write_table(*(_waits(rows) if departures else _allocations(rows)))
    if not departures and inflate is None:
        _say_what_is_asked(nodes, tasks)
    return 0


def _say_what_is_asked(nodes: Sequence[Node], tasks: Sequence[Task]) -> None:
    """Where the workload is too small for a column, which then shows the end."""
    from gpucache.placement.arrivals import MARKS_PERCENT
    from gpucache.placement.model import MILLI

    there_is = MILLI * sum(len(node.gpus) for node in nodes)
    asked_percent = 100 * sum(task.gpu_milli for task in tasks) / there_is if there_is else 0.0
    if there_is and asked_percent < max(MARKS_PERCENT):
        told = f"the tasks ask for {asked_percent:.0f} % of the GPUs; columns beyond that show the end (--inflate repeats tasks)"
        click.echo(f"note: {told}", err=True)


def _read(path: str, *, memory: bool, times: bool) -> list[Task]:
    """Tasks of either form, which the header tells."""
    from gpucache.placement.openb import read_tasks
    from gpucache.placement.swf import COLUMNS, read_jobs
    from gpucache.placement.tables import has_columns

    if has_columns(path, COLUMNS):
        return read_jobs(path, memory=memory)
    return read_tasks(path, memory=memory, times=times)


def _recorded(store: str | None, runs: Sequence[str], *, memory: bool) -> list[Task]:
    from gpucache.cli.recorded import tasks_of_runs
    from gpucache.flows import current_session

    start_on_a_store(store)
    tasks = tasks_of_runs(current_session().ledger, runs, memory=memory)
    if not tasks:
        raise click.UsageError(f"no call of {', '.join(runs)} ran its body: there is nothing to place")
    return tasks


def _waits(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    columns = {
        ">tasks": "tasks",
        ">never fit": "never",
        ">wait mean s": "wait_mean_s",
        ">95 % s": "wait_p95_s",
        ">longest s": "wait_max_s",
        ">makespan s": "makespan_s",
        ">allocated %": "allocated_percent",
    }
    return ["policy", *columns], [[row["policy"], *(_shown(row[name]) for name in columns.values())] for row in rows]


def _allocations(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    from gpucache.placement.arrivals import MARKS_PERCENT

    marks = [mark for mark in MARKS_PERCENT if rows and mark in rows[0]["allocated_percent"]]
    columns = ["policy", ">tasks", ">placed", *(f">allocated at {mark} %" for mark in marks), ">unusable of the rest %"]
    table = []
    for row in rows:
        reached = (row["allocated_percent"][mark] for mark in marks)
        numbers = (row["tasks"], row["placed"], *reached, 100 * row["fragmentation"])
        table.append([row["policy"], *map(_shown, numbers)])
    return columns, table


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"
