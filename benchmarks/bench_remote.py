"""What does a hit from an object store cost beside moving its bytes? 1 000 calls of 1 MiB, from an S3 server on this machine.

obstore alone gets objects of the same size by threads, as many as we use, and drops them, or writes them to files; ours gets
them, checks them (our digest, and the value's), writes them and their rows into an empty store, and hands them out as futures of
a flow's calls. The server is in Python, on the same cores, and takes one of them: a machine where others compute measures them.

What varies is the kernel's part of writing 1 GiB. Of our 2.2 s of processor time, 1.3 are the kernel's where files of the round
before have just been deleted, and their memory is used again; 3.2 where each round writes into memory that this virtual
machine's host must give it first. For minutes after a deletion ext4 looks at every freed inode, one by one, for each file that it
makes (`recently_deleted`): a third of what is left.
"""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
from obstore.store import S3Store

import gpucache as gpc
from benchmarks.conftest import Contest
from gpucache.store.remote.tier import FETCHES

COUNT, NBYTES = 1000, 2**20
SERVER = Path(__file__).parent / "programs" / "s3_server.py"


@gpc.task
def array(seed: int) -> np.ndarray:
    """1 MiB, each another."""
    return np.random.default_rng(seed).integers(0, 256, NBYTES, dtype=np.uint8)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The server's address; it has one bucket."""
    with subprocess.Popen(
        [sys.executable, str(SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("PUT", "/bench")
        assert connection.getresponse().status == 200
        with pytest.MonkeyPatch.context() as patch:
            address = f"http://127.0.0.1:{port}"
            patch.setenv("AWS_ENDPOINT_URL", address)
            patch.setenv("AWS_ACCESS_KEY_ID", "key")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            patch.setenv("AWS_REGION", "us-east-1")
            yield address
        process.terminate()


@pytest.mark.parametrize("contestant", ["obstore alone", "obstore alone, and a plain file each"])
def test_obstore_alone(contestant: str, endpoint: str, contest: Contest, tmp_path: Path) -> None:
    """The limit: bytes that arrive and are dropped; and what the disk, or the memory before it, takes beside."""
    bucket = S3Store("bench", prefix="raw", client_options={"allow_http": True})
    with ThreadPoolExecutor(FETCHES) as threads:
        names = [f"object{number}" for number in range(COUNT)]
        content = np.random.default_rng(0).bytes(NBYTES)
        list(threads.map(lambda name: obstore.put(bucket, name, content), names))

        def get(name: str) -> int:
            data = obstore.get(bucket, name).bytes()
            if contestant != "obstore alone":
                (tmp_path / "files" / name).write_bytes(data)
            return len(data)

        def get_all() -> None:
            assert sum(threads.map(get, names)) == COUNT * NBYTES

        def machine() -> None:
            """As ours: the files of the round before are gone."""
            shutil.rmtree(tmp_path / "files", ignore_errors=True)
            (tmp_path / "files").mkdir()

        contest("a hit of 1 MiB from an S3 server", contestant, get_all, rounds=5, calls=COUNT, setup=machine)


def test_gpucache(endpoint: str, contest: Contest, tmp_path: Path) -> None:
    """Calls of a flow, submitted and waited for, in a store that has nothing yet."""

    def machine() -> None:
        """One that has nothing: the store of the round before is gone, and its memory free again."""
        gpc.shutdown()
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        gpc.init(store=tmp_path / "store", runtime="local", remote="s3://bench/shared")

    gpc.init(runtime="inline", remote="s3://bench/shared", store=tmp_path / "store")
    for seed in range(COUNT):
        array(seed)
    gpc.shutdown()  # which sends them

    def get_all() -> None:
        futures: list[Any] = array.map(range(COUNT))
        assert sum(future.result().nbytes for future in futures) == COUNT * NBYTES
        assert {str(future.state) for future in futures} == {"hit"}

    contest("a hit of 1 MiB from an S3 server", "gpucache", get_all, rounds=5, calls=COUNT, setup=machine)
    gpc.shutdown()
