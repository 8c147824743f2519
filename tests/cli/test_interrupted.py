"""A flow that fails, or is interrupted, does not go on with what it had queued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpucache.store import Store

pytestmark = pytest.mark.slow

PIPELINE = """
import os, threading, time
import gpucache as gpc

@gpc.task
def step(i: int) -> int:
    with open("ran", "a") as log:
        log.write("x")
    if i == 0 and os.environ["END"] == "fail":
        raise ValueError("the first one")
    if i == 0:
        with open("started", "w") as fifo:
            fifo.write("x")
    time.sleep(0.2 if os.environ["END"] == "fail" else 600)
    return i

@gpc.flow
def many() -> list:
    return [future.result() for future in step.map(range(40))]
"""


def run(folder: Path, end: str) -> subprocess.Popen[str]:
    (folder / "many.py").write_text(PIPELINE)
    environment = {**os.environ, "END": end, "GPUCACHE_STORE": str(folder / "store"), "GPUCACHE_RUNTIME": "local"}
    command = [sys.executable, "-m", "gpucache", "run", "many.py"]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    """What runs is ended, what waits never starts, and no traceback is shown."""
    os.mkfifo(tmp_path / "started")
    process = run(tmp_path, "interrupt")
    assert (tmp_path / "started").read_text() == "x"

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "gpucache: interrupted"
    assert "Traceback" not in err
    assert len((tmp_path / "ran").read_text()) < 10


def test_serve_says_where_at_once_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """One document, though its reader is a pipe, and none more at the end."""
    Store(tmp_path / "store").close()
    environment = {**os.environ, "GPUCACHE_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-m", "gpucache", "serve", "--metrics", "--port", "0", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    document = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert document["schema"] == "gpucache.serve/1"
    assert document["url"].startswith("http://127.0.0.1:")
    assert (process.returncode, out, "Traceback" in err) == (130, "", False)


def test_a_failed_flow_cancels_what_waits(tmp_path: Path) -> None:
    """Its running calls end, and are kept; those that have not started do not start."""
    process = run(tmp_path, "fail")

    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "the first one" in err
    assert len((tmp_path / "ran").read_text()) < 20
