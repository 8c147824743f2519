"""Record what a store is asked for: a pipeline run by gpucache over the real history of a project, commit after commit.

    python -m benchmarks.programs.history REPOSITORY OUT.csv.gz [--every 8]

For each commit (all branches, in order of time, so that what was merged late alternates with what was there) each Python file is
looked at by four tasks: one cheap with a large result, one dear with a small one, two between. What did not change hits.
Written is what the store's record of each run says of its calls that gave more than fits into an index row: when (the commit's
time), which result, its bytes, and what it took to compute, s. Nothing of the files' text is kept.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import gpucache as gpc
from gpucache.flows import current_session
from gpucache.store.on_disk import INLINE_MAX_BYTES

_TOKEN = re.compile(r"\w+|[^\w\s]")
BUCKETS = 384


@gpc.task
def tokens(text: str) -> np.ndarray:
    """(n,) uint64: a hash of each token."""
    return np.array([zlib.crc32(token.encode()) for token in _TOKEN.findall(text)], np.uint64)


@gpc.task
def windows(words: np.ndarray) -> np.ndarray:
    """(n, 32) uint64: each token with those after it; cheap, and large."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(words, (0, 31)), 32).copy()


@gpc.task
def pairs(words: np.ndarray) -> np.ndarray:
    """(BUCKETS, BUCKETS) float32: which tokens stand within 16 of each other."""
    found, buckets = np.zeros((BUCKETS, BUCKETS), np.float32), (words % BUCKETS).astype(np.int64)
    for distance in range(1, 17):
        np.add.at(found, (buckets[:-distance], buckets[distance:]), 1 / distance)
    return found


@gpc.task
def factors(found: np.ndarray) -> np.ndarray:
    """(BUCKETS, 16) float64: its strongest directions; dear, and small."""
    left, strength, _ = np.linalg.svd(np.log1p(found).astype(np.float64))
    return np.ascontiguousarray(left[:, :16] * strength[:16])


@gpc.flow
def look(texts: dict[str, str]) -> int:
    """Every file of one commit."""
    for text in texts.values():
        words = tokens(text)
        windows(words)
        factors(pairs(words))
    return len(texts)


def commits(repository: Path, every: int) -> list[tuple[str, int]]:
    """(commit, its time) of all branches, oldest first."""
    told = _git(repository, "log", "--all", "--date-order", "--reverse", "--format=%H %ct", "--", "*.py").split("\n")
    pairs_told = [line.split() for line in told if line]
    return [(commit, int(at)) for commit, at in pairs_told[::every]]


def texts_of(repository: Path, commit: str) -> dict[str, str]:
    """The Python files of a commit, without its tests."""
    names = _git(repository, "ls-tree", "-r", "--name-only", commit).splitlines()
    wanted = [name for name in names if name.endswith(".py") and "test" not in name and "extern" not in name]
    return {name: _git(repository, "show", f"{commit}:{name}") for name in wanted}


def accesses(run: gpc.Run[int], at: int) -> Iterator[tuple[int, str, int, float]]:
    """What a run asked of the store: (when, result, bytes, seconds to compute it)."""
    store = current_session().store
    for call in run.calls:
        manifest = None if call.result is None else store.manifest_of(bytes.fromhex(call.result))
        if manifest is not None and manifest.nbytes > INLINE_MAX_BYTES:
            seconds = call.saved_seconds if call.state == "hit" else call.seconds
            yield at, call.result[:12], manifest.nbytes, round(seconds, 6)


def main() -> None:
    """Run it over the history and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.programs.history", description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=8)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, gzip.open(wanted.out, "wt", newline="", compresslevel=9) as file:
        gpc.init(store=Path(folder) / "store", runtime="inline")
        writer = csv.writer(file)
        writer.writerow(("at_s", "result", "nbytes", "recompute_s"))
        chosen = commits(wanted.repository, wanted.every)
        for number, (commit, at) in enumerate(chosen, 1):
            writer.writerows(accesses(look.run(texts_of(wanted.repository, commit)), at))
            if number % 50 == 0:
                sys.stderr.write(f"{number} of {len(chosen)} commits\n")
        gpc.shutdown()


def _git(repository: Path, *arguments: str) -> str:
    told = subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True)
    return told.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    main()
