"""The pools as Prometheus metrics: what each number is, one family of a name, no line for what nobody knows."""

from __future__ import annotations

import re
import threading
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest

from gpucache.cli.pool_metrics import pool_metrics
from gpucache.cli.serve import server_of, store_metrics
from gpucache.runtime.pools import CallsState, GpuState, PoolState, WorkerState
from gpucache.store import Store
from gpucache.telemetry import Fleet, GpuReading, ProcessReading
from gpucache.telemetry.metrics import fleet_metrics

GIB = 2**30
WORKER = WorkerState(
    worker="w0",
    pid=7,
    stage="idle",
    kind="0.25 GPU, 4.00 GiB",
    gpus=("GPU-0",),
    promised_bytes=4 * GIB,
    device_bytes=(3 * GIB,),
    residents=(),
    since=0.0,
    call=None,
    call_since=None,
    answered=0,
)
POOL = PoolState(
    pid=1,
    started_ticks=1,
    pid_namespace="",
    host="",
    program="",
    runtime="local",
    workers_max=4,
    written_at=0.0,
    workers=(WORKER, WORKER, msgspec.structs.replace(WORKER, kind='CPU, A"B', gpus=(), stage="busy")),
    calls=(
        CallsState(run="", task="a", running=1, waiting=2, waits_for="a worker"),
        CallsState(run="r", task="b", running=0, waiting=5, waits_for="a worker"),
    ),
    gpus=(GpuState(uuid="GPU-0", promised_bytes=8 * GIB, promised_fraction=0.5, trouble=""),),
)


def values(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(gpucache_[^#\s]*(?:\{.*\})?) (\S+)$", text, re.MULTILINE))


def test_each_number_says_what_it_is() -> None:
    """Workers by kind and stage, calls by state, bytes promised and held apart, calls ended as a counter."""
    text = pool_metrics([POOL, POOL], {"hit": 9, "ran": 3}, None)

    assert values(text) == {
        "gpucache_pool_processes": "2",
        'gpucache_pool_workers{kind="0.25 GPU, 4.00 GiB",stage="idle"}': "4",
        'gpucache_pool_workers{kind="CPU, A\\"B",stage="busy"}': "2",
        "gpucache_pool_workers_limit": "8",
        'gpucache_pool_calls{state="running"}': "2",
        'gpucache_pool_calls{state="waiting"}': "14",
        'gpucache_pool_gpu_promised_bytes{uuid="GPU-0"}': str(16 * GIB),
        'gpucache_pool_gpu_promised_ratio{uuid="GPU-0"}': "1.0",
        'gpucache_pool_gpu_held_bytes{uuid="GPU-0"}': str(12 * GIB),
        'gpucache_calls_total{state="hit"}': "9",
        'gpucache_calls_total{state="ran"}': "3",
        **{f'gpucache_calls_total{{state="{state}"}}': "0" for state in ("joined", "uncached", "failed", "skipped")},
    }


@pytest.mark.parametrize("silent", [None, 1])
def test_what_nobody_knows_has_no_line(silent: int | None) -> None:
    """A worker that does not say what it holds makes the GPU's sum unknown, unless NVML knows."""
    quiet = msgspec.structs.replace(WORKER, device_bytes=())
    gpu = GpuReading("GPU-0", 0, "a", 80 * GIB, GIB, 79 * GIB, processes=(ProcessReading(7, 2 * GIB),))
    seen = Fleet((gpu,), 0, pids_are_hosts=bool(silent))
    pool = msgspec.structs.replace(POOL, workers=(quiet,))

    held = {name for name in values(pool_metrics([pool], {}, seen)) if "held" in name}

    assert held == (set() if silent else {'gpucache_pool_gpu_held_bytes{uuid="GPU-0"}'})


def test_one_endpoint_one_family_of_a_name(tmp_path: Path) -> None:
    """GPUs, pools and store in one scrape: every line is of the format, every name is declared once, before its values."""
    gpu = GpuReading("GPU-0", 0, "a", 80 * GIB, GIB, 79 * GIB)
    with Store(tmp_path / "store") as store:
        parts = fleet_metrics(Fleet((gpu,), 0), 0.1), pool_metrics([POOL], {}, None), store_metrics(store.stats())
    with server_of(lambda: "".join(parts), 0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        thread.join()

    declared: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            declared.append(line.split()[2])
        elif not line.startswith("# HELP "):
            name = re.fullmatch(r'([a-z_]+)(\{([a-z]+="(\\.|[^"\\])*",?)+\})? -?[0-9.e+-]+', line)
            assert name is not None, line
            assert name[1] == declared[-1]
    assert len(declared) == len(set(declared)) > 20
    assert all(name.endswith("_total") for name in re.findall(r"# TYPE (\S+) counter", text))
