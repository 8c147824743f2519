"""`gpucache status`: what the pools of this machine do, once or again and again. `gpucache top` shows the GPUs themselves."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option
from gpucache.cli.top import FIRST_S, HOME_AND_CLEAR

LEGEND = (
    "promised: what the runtime set aside for workers; held: what they have taken, as NVML says, or (~) as PyTorch in the",
    "worker says, without CUDA's own context; used: by anyone on the machine; others: used, less what our workers hold",
)
NOTHING = "-"


@click.command()
@click.option("--once", is_flag=True, help="Show it once. So it is where stdout is no terminal.")
@click.option("--every", "every_s", metavar="SECONDS", type=click.FloatRange(min=0.1), default=1.0, show_default=True)
@store_option
@json_option
def command(once: bool, every_s: float, store: str | None, as_json: bool) -> int:
    """Show the runs in progress, the warm workers, and what these hold of the GPUs."""
    from gpucache.cli.output import write, write_json
    from gpucache.cli.standing import standing
    from gpucache.flows import current_session
    from gpucache.telemetry import Sampler

    start_on_a_store(store)
    session = current_session()
    live = sys.stdout.isatty() and not once and not as_json
    with Sampler(every_s=every_s, processes=True) as sampler, suppress(KeyboardInterrupt):  # the way to leave it
        sample = sampler.wait(FIRST_S)
        found = standing(session, None if sample is None else sample.fleet)
        if as_json:
            write_json("status", **found)
        elif not live:
            _show(found)
        while live:
            write(HOME_AND_CLEAR)
            _show(found)
            sys.stdout.flush()
            sample = sampler.wait(FIRST_S, after=sampler.reading_count) or sampler.latest()
            found = standing(session, None if sample is None else sample.fleet)
    return 0


def _show(found: dict[str, Any]) -> None:
    from gpucache.cli.output import write

    _show_runs(found)
    write()
    _show_workers(found)
    if found["gpus"]:
        write()
        _show_gpus(found)
        write()
        for line in LEGEND:
            write(line)
    for problem in found["problems"]:
        write(f"note: {problem}")


def _show_runs(found: dict[str, Any]) -> None:
    from gpucache.cli.output import duration, escaped, write, write_table

    outside = [(pool, calls) for pool in found["pools"] for calls in pool["calls"] if calls["run"] is None]
    rows = [
        (
            run["id"],
            escaped(run["flow"]),
            str(run["pid"]),
            duration(run["for_s"]),
            str(run["calls_running"]),
            str(run["calls_waiting"]),
            ", ".join(f"{count} {state}" for state, count in sorted(run["calls_ended"].items())) or NOTHING,
            _waits_for(found, run["id"]),
        )
        for run in found["runs"]
    ]
    for pool, calls in outside:
        counts = str(calls["running"]), str(calls["waiting"])
        rows.append((NOTHING, escaped(calls["task"]), str(pool["pid"]), "", *counts, NOTHING, calls["waits_for"] or ""))
    if not rows:
        write("nothing runs")
        return
    write_table(("run", "flow", ">process", ">for", ">running", ">waiting", "ended", "the first waits for"), rows)


def _waits_for(found: dict[str, Any], run: str) -> str:
    waits = {calls["waits_for"] for pool in found["pools"] for calls in pool["calls"] if calls["run"] == run}
    return ", ".join(sorted(waits - {None}))


def _show_workers(found: dict[str, Any]) -> None:
    from gpucache.cli.output import duration, escaped, write, write_table

    if not found["workers"]:
        write("no worker is warm")
        return
    names = {gpu["uuid"]: gpu["number"] for gpu in found["gpus"]}
    rows = [
        (
            f"{one['pool_pid']}/{one['worker']}",
            NOTHING if one["pid"] is None else str(one["pid"]),
            escaped(one["kind"]),
            ", ".join(names.get(uuid, uuid) for uuid in one["gpus"]) or NOTHING,
            _gib(one["promised_bytes"]),
            _held(one["held"]),
            duration(one["for_s"]),
            str(one["calls_ended"]),
            escaped(f"{one['call']} for {duration(one['call_for_s'])}" if one["call"] else one["stage"]),
            escaped(", ".join(resident["name"] for resident in one["residents"])),
        )
        for one in found["workers"]
    ]
    heads = ("worker", ">process", "kind", "GPU", ">promised", ">held", ">warm for", ">calls", "does", "residents")
    write_table(heads, rows, spare=(">process", ">warm for", ">calls"))


def _show_gpus(found: dict[str, Any]) -> None:
    from gpucache.cli.output import escaped, write_table

    rows = [
        (
            gpu["number"],
            escaped(gpu["model"]),
            f"{gpu['promised_fraction']:.0%}",
            _gib(gpu["promised_bytes"]),
            _gib(gpu["workers_bytes"]),
            _gib(gpu["others_bytes"]),
            f"{_gib(gpu['memory_used_bytes'])} of {_gib(gpu['memory_total_bytes'])}",
            escaped(gpu["trouble"] or ""),
        )
        for gpu in found["gpus"]
    ]
    heads = (">GPU", "model", ">time promised", ">promised", ">held", ">others", ">used", "trouble")
    write_table(heads, rows, spare=(">time promised", ">others"))


def _held(held: list[dict[str, Any]]) -> str:
    shown = [
        ("~" if one["said_by"] == "pytorch" else "") + _gib(one["nbytes"]) for one in held if one["nbytes"] is not None
    ]
    return ", ".join(shown) or NOTHING


def _gib(nbytes: int | None) -> str:
    return NOTHING if nbytes is None else f"{nbytes / 2**30:.1f} GiB"
