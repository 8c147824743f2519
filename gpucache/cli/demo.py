"""`gpucache demo [digits|search]`: write a pipeline that a person can read and edit, and run it as its user would."""

from __future__ import annotations

from pathlib import Path

import click

from gpucache.cli.flows import json_option


@click.command()
@click.argument("name", type=click.Choice(["digits", "search"]), default="digits")
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write it; new or empty. Default: gpucache-demo-NAME, or the next that is free.",
)
@click.option("--store", metavar="PATH", type=click.Path(path_type=Path), help="Default: a new one in DIR.")
@json_option
def command(name: str, folder: Path | None, store: Path | None, as_json: bool) -> int:
    """Write a pipeline and run it: cold, again, and after one edit of one function.

    digits needs scikit-learn and matplotlib (extra [digits]); search needs a language model and torch (extra [demo]).
    """
    if name == "search":
        from gpucache.demo.search_runs import show_search

        return show_search(folder, store, as_json=as_json)
    from gpucache.demo.digits_runs import show_digits

    return show_digits(folder, store, as_json=as_json)
