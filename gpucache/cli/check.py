"""`gpucache check RUN`: run its calls again and compare; `--against RUN`: compare its results with a golden run's."""

from __future__ import annotations

from typing import Any

import click

from gpucache.cli.flows import session_options, start_on_a_store, users_output


class Share(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.4, not before
    """A share: `5%` or `0.05`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share as a number from 0 to 1."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no share: 5%, or 0.05, up to 100%", param, ctx)
        return share


@click.command()
@click.argument("name", metavar="RUN", default="@last")
@click.option("--sample", type=Share(), default=1.0, metavar="SHARE", help="Run only this share of the calls: 5%.")
@click.option("--against", metavar="RUN", help="Run nothing; compare with this run, which is right.")
@click.option("--tolerance", type=click.FloatRange(min=0), help="With --against: differences up to this count as none.")
@session_options
def command(  # noqa: PLR0917  # click passes them by name
    name: str,
    sample: float,
    against: str | None,
    tolerance: float | None,
    store: str | None,
    runtime: str | None,
    as_json: bool,
) -> int:
    """Run the calls of a run again (@last by default) and say which results are not the same. Nothing is stored.

    Exit status: 1 if a result differs; with --against, 3.
    """
    from gpucache.cli.ending import DIFFERENCES, FAILED, OK
    from gpucache.cli.output import write_json
    from gpucache.flows import run

    start_on_a_store(store, runtime)
    found = run(name)
    with users_output(as_json=as_json):
        checked = found.check(sample) if against is None else found.compare(run(against), tolerance)
    if as_json:
        calls = [{"task": c.task, "key": c.key, "verdict": str(c.verdict), "detail": c.detail} for c in checked.calls]
        write_json("check", run=found.id, calls=calls, skipped=checked.skipped, same=not checked.differing)
    else:
        _write(checked)
    if not checked.differing:
        return OK
    return FAILED if against is None else DIFFERENCES


def _write(checked: Any) -> None:
    from gpucache.cli.output import escaped, styled, write, write_table

    rows = [(escaped(call.task), styled(str(call.verdict)), escaped(call.detail)) for call in checked.calls]
    if rows:
        write_table(("task", "results", "how"), rows)
        write()
    skipped = f", {checked.skipped} not compared" if checked.skipped else ""
    write(f"{len(checked.differing)} of {len(checked.calls)} results differ{skipped}")
