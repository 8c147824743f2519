"""Tasks that arrive and end: who waits for whom, and for how long; and the verb that tells it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpucache.cli.simulate import command
from gpucache.errors import BadTable
from gpucache.placement import Cluster, Demand, Gpu, Node, Placement
from gpucache.placement.departures import replay_with_departures
from gpucache.placement.openb import Task

DATA = Path(__file__).parents[1] / "data" / "openb_small"
ONE, TWO = Demand(gpus=1), Demand(gpus=2)


def cluster() -> Cluster:
    return Cluster([Node("n", 8, 0, [Gpu(0)] * 2)], "first_fit")


QUEUE = [Task("a", ONE, 0, 10), Task("b", TWO, 1, 10), Task("c", ONE, 2, 3)]


def test_a_small_task_passes_one_that_waits() -> None:
    """b waits until a ends at 10; c starts at once beside a."""
    made = replay_with_departures(cluster(), QUEUE)

    assert (made.wait_max_s, made.wait_mean_s, made.makespan_s) == (9, 3.0, 20)
    assert made.allocated_percent == pytest.approx(100 * (10 + 20 + 3) / (2 * 20))


def test_without_backfill_nobody_passes() -> None:
    """c waits behind b, which waits for a."""
    made = replay_with_departures(cluster(), QUEUE, backfill=False)

    assert (made.wait_max_s, made.makespan_s) == (18, 23)


@pytest.mark.parametrize("backfill", [True, False])
def test_a_long_queue_is_served_as_if_each_were_asked(backfill: bool) -> None:
    """Each task starts when it would were the whole queue gone through at every moment; and thousands that wait cost no hours."""
    draw = random.Random(7)
    kinds = [Demand(gpus=0.5), ONE, TWO, Demand(gpus=1, cpus=3), Demand(cpus=2)]
    tasks = [Task(str(at), draw.choice(kinds), at, draw.randint(1, 20)) for at in range(400)]

    made = replay_with_departures(cluster(), tasks, backfill=backfill)

    waits = sorted(_waits_one_by_one(cluster(), tasks, backfill=backfill))
    assert (made.wait_max_s, made.wait_mean_s) == (waits[-1], sum(waits) / len(waits))
    many = [Task(str(at), kinds[at % 3], 0, 1 + at % 5) for at in range(5000)]
    assert replay_with_departures(cluster(), many, backfill=backfill).tasks == 5000


def _waits_one_by_one(cluster: Cluster, tasks: list[Task], *, backfill: bool) -> list[int]:
    """Second by second, everybody in turn."""
    waiting: list[Task] = []
    running: list[tuple[int, Placement]] = []
    waits: list[int] = []
    now = 0
    while len(waits) < len(tasks):
        for _, placement in [one for one in running if one[0] <= now]:
            cluster.release(placement)
        running = [one for one in running if one[0] > now]
        waiting += [task for task in tasks if task.arrives_s == now]
        for task in list(waiting):
            placement = cluster.place(task.demand)
            if placement is not None:
                waiting.remove(task)
                running.append((now + (task.takes_s or 0), placement))
                waits.append(now - (task.arrives_s or 0))
            elif not backfill:
                break
        now += 1
    return waits


def test_what_never_fits_is_counted_and_holds_up_nobody() -> None:
    """A task for three GPUs of two."""
    made = replay_with_departures(cluster(), [Task("x", Demand(gpus=3), 0, 5), Task("a", ONE, 0, 5)], backfill=False)

    assert (made.tasks, made.never, made.wait_max_s, made.makespan_s) == (2, 1, 0, 5)


def test_tasks_without_times_are_refused() -> None:
    """Which one, and what is missing."""
    with pytest.raises(BadTable, match="'a'; expected both times"):
        replay_with_departures(cluster(), [Task("a", ONE)])


def run(*arguments: str) -> object:
    files = ["--nodes", str(DATA / "nodes.csv"), "--tasks", str(DATA / "tasks.csv")]
    return CliRunner().invoke(command, [*files, *arguments], standalone_mode=False)


def test_the_verb_compares_policies() -> None:
    """One result per policy, in the order asked for, as one JSON document."""
    document = json.loads(run("--policy", "fgd", "--policy", "best_fit", "--json").stdout)

    assert document["schema"] == "gpucache.simulation/1"
    assert [result["policy"] for result in document["results"]] == ["fgd", "best_fit"]
    assert all(0 < result["placed"] <= result["tasks"] == 200 for result in document["results"])


def test_the_verb_shows_waiting() -> None:
    """With departures the table has waits instead of allocations."""
    assert "wait mean s" in run("--departures").stdout


@pytest.mark.parametrize("wrong", [["--policy", "nope"], ["--departures", "--inflate", "1.3"], ["--nodes", "/nowhere"]])
def test_the_verb_refuses_what_it_does_not_know(wrong: list[str]) -> None:
    """Wrong usage, in a sentence."""
    made = run(*wrong)

    assert type(made.exception).__name__ == "UsageError"
