"""`gpucache serve --metrics`: one endpoint, on loopback."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest

import gpucache as gpc
from gpucache.cli.main import status_of
from gpucache.cli.serve import Page, server_of, store_metrics
from gpucache.flows.session import current_session
from gpucache.store import Store

PIPELINE = """
import gpucache as gpc

@gpc.task
def part(n: int) -> int:
    return n

@gpc.flow
def flow() -> int:
    return part(1) + part(2)
"""


class Unread:
    """A sampler that has nothing yet."""

    def latest(self) -> None:
        return None


def test_an_endpoint_that_starts_before_the_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No store is made for it; once there is one, its first run is counted as well."""
    (tmp_path / "pipe.py").write_text(PIPELINE)
    gpc.init(store=tmp_path / "store", runtime="inline")
    try:
        page = Page(current_session(), Unread())  # type: ignore[arg-type]
        before = page.text()
        assert not (tmp_path / "store").exists()

        assert status_of(["run", str(tmp_path / "pipe.py")]) == 0
        after = page.text()
    finally:
        gpc.shutdown()

    assert 'gpucache_calls_total{state="ran"} 0' in before
    assert "gpucache_store_records" not in before
    assert 'gpucache_calls_total{state="ran"} 2' in after
    assert "\ngpucache_store_records 2\n" in after


def test_what_goes_wrong_is_told_to_whoever_scrapes() -> None:
    """Status 500 and the reason; the endpoint goes on."""

    def broken() -> str:
        raise OSError("the disk is gone")

    with server_of(broken, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
            connection.request("GET", "/metrics?from=here")
            answer = connection.getresponse()
            status, body = answer.status, answer.read().decode()
            connection.close()
        finally:
            server.shutdown()
            thread.join()

    assert (status, "OSError: the disk is gone" in body) == (500, True)


def test_metrics_are_served_on_loopback_and_nothing_else(tmp_path: Path) -> None:
    """A scrape gets the text as it is now; another path is not found."""
    with Store(tmp_path / "store") as store, server_of(lambda: store_metrics(store.stats()), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        try:
            answers = []
            for path in ("/metrics", "/"):
                connection = HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", path)
                answer = connection.getresponse()
                answers.append((answer.status, answer.read().decode()))
                connection.close()
        finally:
            server.shutdown()
            thread.join()

    assert answers[0][0] == 200
    assert "\ngpucache_store_records 0\n" in answers[0][1]
    assert answers[1][0] == 404
