"""`gpucache serve --metrics`: the GPUs, the pools and the store as Prometheus metrics, on loopback alone."""

from __future__ import annotations

import contextlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import click

from gpucache.cli.flows import json_option, start, store_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpucache.flows.session import Session
    from gpucache.ledger import Tally
    from gpucache.store import StoreStats
    from gpucache.telemetry import Sampler

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
    from gpucache.flows import current_session
    from gpucache.telemetry import Sampler

    start(store)
    with Sampler(processes=True) as sampler:
        sampler.wait(FIRST_S)
        page = Page(current_session(), sampler)
        try:
            server = server_of(page.text, port)
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


class Page:
    """What there is to say now. Any thread may ask.

    An endpoint may start before the first run: what the store holds is told from when there is one, and none is made.
    """

    def __init__(self, session: Session, sampler: Sampler) -> None:
        self._session, self._sampler = session, sampler
        self._one_at_a_time = threading.Lock()
        self._was_there = self._is_there()
        self._tally: Tally | None = None
        self._ended()

    def text(self) -> str:
        """In Prometheus' text format."""
        from gpucache.cli.pool_metrics import pool_metrics
        from gpucache.runtime.pools import read_pools
        from gpucache.telemetry.metrics import fleet_metrics

        sample = self._sampler.latest()
        fleet = "" if sample is None else fleet_metrics(sample.fleet, sample.age_s)
        with self._one_at_a_time:
            ended = self._ended()
        pools = read_pools(self._session.config.store_path)
        told = pool_metrics(pools, ended, None if sample is None else sample.fleet)
        return fleet + told + (store_metrics(self._session.store.stats()) if self._is_there() else "")

    def _is_there(self) -> bool:
        return self._session.config.store_path.exists()

    def _ended(self) -> Mapping[str, int]:
        from gpucache.ledger import Tally

        if self._tally is None and self._is_there():
            self._tally = Tally(self._session.ledger, all_runs=not self._was_there)
        return {} if self._tally is None else self._tally.counts()


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
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404, "only /metrics is served")
                return
            try:
                body = text().encode()
            except Exception as problem:  # noqa: BLE001  # an edge: whoever scrapes is told, and the endpoint goes on
                self.send_error(500, explain=f"{type(problem).__name__}: {problem}")
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Nothing: a scrape every few seconds is no news."""

    return ThreadingHTTPServer(("127.0.0.1", port), Metrics)
