"""`gpucache top`: what the GPUs hold and do, once or again and again."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import click

from gpucache.cli.flows import json_option

if TYPE_CHECKING:
    from gpucache.telemetry import Sample

FIRST_S = 30.0
"""For the first reading; the driver's own time limit is far below."""

HOME_AND_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.option("--once", is_flag=True, help="Show it once. So it is where stdout is no terminal.")
@click.option("--every", "every_s", metavar="SECONDS", type=click.FloatRange(min=0.1), default=1.0, show_default=True)
@click.option("--processes", is_flag=True, help="List processes too; takes the driver milliseconds each time.")
@json_option
def command(once: bool, every_s: float, processes: bool, as_json: bool) -> int:
    """Show what the GPUs hold and do, now and again."""
    from gpucache.cli.ending import OK, UNREACHABLE
    from gpucache.cli.output import write, write_json
    from gpucache.telemetry import Sampler

    live = sys.stdout.isatty() and not once and not as_json
    with Sampler(every_s=every_s, processes=processes) as sampler:
        sample = sampler.wait(FIRST_S)
        if sample is None:
            raise click.ClickException(f"the driver has not answered within {FIRST_S:.0f} s")
        if as_json:
            write_json("top", age_s=sample.age_s, **dataclasses.asdict(sample.fleet))
        elif not live:
            _show(sample)
        while live and sample is not None:
            write(HOME_AND_CLEAR)
            _show(sample)
            sys.stdout.flush()
            try:
                sample = sampler.wait(FIRST_S, after=sampler.reading_count) or sampler.latest()
            except KeyboardInterrupt:
                break  # the way to leave it
    return OK if sample is not None and sample.fleet.gpus else UNREACHABLE


def _show(sample: Sample) -> None:
    from gpucache.cli.output import escaped, write, write_table
    from gpucache.telemetry import rows

    fleet = sample.fleet
    for problem in fleet.problems:
        write(f"note: {problem}")
    if not fleet.gpus:
        write("no GPU is seen")
        return
    write_table(rows.HEADINGS, [tuple(map(escaped, row)) for row in rows.gpu_rows(fleet)], spare=rows.SPARE)
    listed = rows.process_rows(fleet)
    if listed:
        write()
        write_table(rows.PROCESS_HEADINGS, listed)
    write()
    for line in rows.legend(fleet):
        write(line)
    for line in rows.absences(fleet):
        write(f"not read: {line}")
    write(
        f"read {sample.age_s:.1f} s ago; driver {fleet.driver_version or 'unknown'}, CUDA {fleet.cuda_version or 'unknown'}"
    )
