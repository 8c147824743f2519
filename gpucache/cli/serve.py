"""`gpucache serve --metrics`: the GPUs, the pools and the store as Prometheus metrics, on loopback alone."""

from __future__ import annotations

import contextlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import click

from gpucache.cli.flows import json_option, start_on_a_store, store_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpucache.store import StoreStats

FIRST_S = 30.0


@click.command()
@click.option("--metrics", is_flag=True, required=True, help="Serve /metrics in Prometheus' text format.")
@click.option("--port", default=9477, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@store_option
@json_option
def command(metrics: bool, port: int, store: str | None, as_json: bool) -> int:  # noqa: ARG001  # the flag says what is served
    """Serve metrics of the GPUs, the pools and the store until interrupted; first say where."""
    from gpucache.cli.ending import INTERRUPTED
    from gpucache.cli.output import write, write_json
    from gpucache.cli.pool_metrics import pool_metrics
    from gpucache.flows import current_session
    from gpucache.ledger import Tally
    from gpucache.runtime.pools import read_pools
    from gpucache.telemetry import Sampler
    from gpucache.telemetry.metrics import fleet_metrics

    start_on_a_store(store)
    session = current_session()
    tally, one_at_a_time = Tally(session.ledger), threading.Lock()
    with Sampler(processes=True) as sampler:
        sampler.wait(FIRST_S)

        def text() -> str:
            sample = sampler.latest()
            fleet = "" if sample is None else fleet_metrics(sample.fleet, sample.age_s)
            with one_at_a_time:
                ended = tally.counts()
            pools = pool_metrics(read_pools(session.config.store_path), ended, None if sample is None else sample.fleet)
            return fleet + pools + store_metrics(session.store.stats())

        try:
            server = server_of(text, port)
        except OSError as problem:
            raise click.ClickException(
                f"port {port} can't be served on: {problem}; choose another with --port"
            ) from None
        with contextlib.suppress(KeyboardInterrupt), server:
            url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
            write_json("serve", url=url) if as_json else write(url)
            sys.stdout.flush()  # whoever started us by a pipe waits for it
            server.serve_forever()
    return INTERRUPTED


def store_metrics(stats: StoreStats) -> str:
    """What the store holds, in Prometheus' text format."""
    held = (
        ("records", "Calls whose answer is known.", stats.records),
        ("blobs", "Files of values.", stats.blobs),
        ("blob_bytes", "What those files take.", stats.blob_bytes),
        ("index_bytes", "What the index takes.", stats.index_bytes),
        ("pins", "Values that are kept.", stats.pins),
    )
    lines = [
        f"# HELP gpucache_store_{name} {text}\n# TYPE gpucache_store_{name} gauge\ngpucache_store_{name} {value}\n"
        for name, text, value in held
    ]
    return "".join(lines)


def server_of(text: Callable[[], str], port: int) -> ThreadingHTTPServer:
    """A server of /metrics on loopback; serve_forever() runs it."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            if self.path != "/metrics":
                self.send_error(404, "only /metrics is served")
                return
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Nothing: a scrape every few seconds is no news."""

    return ThreadingHTTPServer(("127.0.0.1", port), Metrics)
