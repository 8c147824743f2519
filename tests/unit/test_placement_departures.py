"""Tasks that arrive and end: who waits for whom, and for how long; and the verb that tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpucache.cli.simulate import command
from gpucache.errors import BadTable
from gpucache.placement import Cluster, Demand, Gpu, Node
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
