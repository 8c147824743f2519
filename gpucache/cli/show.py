"""`gpucache show RUN`: one run whole."""

from __future__ import annotations

from typing import Any

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.argument("name", metavar="RUN", default="@last")
@store_option
@json_option
def command(name: str, store: str | None, as_json: bool) -> int:
    """Show one run (@last by default; @last~1 is the one before; the start of an id will do)."""
    from gpucache.cli.ending import trimmed
    from gpucache.cli.output import escaped, write, write_json, write_marked
    from gpucache.cli.views import run_document, write_calls
    from gpucache.flows import run

    start_on_a_store(store)
    document = run_document(run(name))
    if as_json:
        write_json("run", **document)
        return 0
    for key, value in _facts(document).items():
        write_marked(f"{key:<10} {escaped(value)}")
    if document["calls"]:
        write()
        write_calls(document["calls"])
    if document["traceback"]:
        write(f"\n{trimmed(document['traceback'])}")
    return 0


def _facts(document: dict[str, Any]) -> dict[str, str]:
    """What is known of a run beside its calls, by name, in the order in which one asks for it."""
    from gpucache.cli.output import duration
    from gpucache.cli.views import moment

    code = {key: document["code"][key] for key in ("file", "commit", "modified") if key in document["code"]}
    return {
        "run": document["id"],
        "flow": document["flow"],
        "status": document["status"],
        "started": moment(document["started_at"]),
        "time": duration(document["seconds"]),
        "saved": duration(document["saved_seconds"] or None) or "nothing",
        "arguments": ", ".join(f"{key}={value}" for key, value in document["arguments"].items()) or "none",
        **code,
        **document["env"],
    }
