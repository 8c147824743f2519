"""`gpucache serve --metrics`: one endpoint, on loopback."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from pathlib import Path

from gpucache.cli.serve import server_of, store_metrics
from gpucache.store import Store


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
