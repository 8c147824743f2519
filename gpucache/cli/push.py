"""`gpucache push`: send results to the remote that were not sent yet."""

from __future__ import annotations

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option


@click.command()
@click.option("--all", "every", is_flag=True, help="All that was computed here, also before there was a remote.")
@store_option
@json_option
def command(every: bool, store: str | None, as_json: bool) -> int:
    """Send what was computed here to the remote (GPUCACHE_REMOTE). Exit status 5 if it does not answer."""
    from gpucache.cli.output import size, write, write_json
    from gpucache.errors import BadSetting, RemoteUnreachable
    from gpucache.flows import current_session

    start_on_a_store(store)
    session = current_session()
    remote = session.remote
    if remote is None:
        raise BadSetting("remote", "", "a place to send to, in GPUCACHE_REMOTE: s3://bucket/prefix, file:///directory")
    if remote.read_only:
        raise BadSetting("remote_read_only", "1", "0 for what sends")
    if every:
        remote.push_all()
    left = remote.push(float("inf"))
    counts = remote.counts
    if left:
        raise RemoteUnreachable(remote.url, f"{remote.trouble} ({left:,} results are left to send)")
    if as_json:
        write_json("push", remote=remote.url, sent=counts.sent, bytes=counts.sent_bytes)
    else:
        write(f"{counts.sent:,} results sent, {size(counts.sent_bytes)}")
    return 0
