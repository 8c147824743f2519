"""What does identity cost? Keys of calls, digests of values, and the fingerprint of a project in a cold process."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import xxhash

import gpucache as gpc
from benchmarks.conftest import Contest
from gpucache.digests import tree_digest, value_digest

MIB = 2**20
HAS_DASK = importlib.util.find_spec("dask") is not None


def _by_pickle(value: object) -> bytes:
    return xxhash.xxh3_128_digest(pickle.dumps(value, protocol=5))


def _by_dask(value: object) -> str:
    from dask.base import tokenize

    return tokenize(value)


PEERS: dict[str, Callable[[object], object]] = {
    "joblib.hash": joblib.hash,
    "pickle and XXH3": _by_pickle,
    **({"dask.tokenize": _by_dask} if HAS_DASK else {}),
}
HASHERS: dict[str, Callable[[object], object]] = {"gpucache": value_digest, **PEERS}


def small(a: int, b: int, c: str) -> tuple[int, str]:
    return a + b, c


@pytest.mark.parametrize("contestant", HASHERS)
def test_small(contestant: str, contest: Contest, store: Path) -> None:
    """The whole key, code and arguments; the peers hash the arguments alone."""
    task = gpc.task(small)
    act = (lambda: task.key(1, 2, "abc")) if contestant == "gpucache" else (lambda: PEERS[contestant]((1, 2, "abc")))
    act()

    contest('key of f(1, 2, "abc")', contestant, act)


ARRAY_HASHERS: dict[str, Callable[[np.ndarray], object]] = {
    "gpucache": value_digest,
    "gpucache, one thread": lambda array: tree_digest(array.data.cast("B"), threads=1),
    "gpucache, two threads": lambda array: tree_digest(array.data.cast("B"), threads=2),
    "XXH3 alone, one thread": lambda array: xxhash.xxh3_128_digest(array.data),
    **PEERS,
}


@pytest.mark.parametrize("contestant", ARRAY_HASHERS)
@pytest.mark.parametrize("mib", [1, 100, 1024])
def test_array(contestant: str, mib: int, contest: Contest) -> None:
    """Of doubles, contiguous; the memory is touched before."""
    array = np.random.default_rng(0).random(mib * MIB // 8)
    rounds = {1: 300, 100: 15, 1024: 7}[mib]
    if contestant in PEERS:
        rounds = min(rounds, {1: 30, 100: 5, 1024: 1}[mib])

    contest(f"digest of a {mib} MiB array", contestant, lambda: ARRAY_HASHERS[contestant](array), rounds=rounds)


@pytest.mark.parametrize("contestant", HASHERS)
def test_dict(contestant: str, contest: Contest) -> None:
    """A thousand items: texts to numbers, texts and short lists."""
    value = {f"name {i}": (i, i * 0.5, f"text {i}", [i, i + 1])[i % 4] for i in range(1000)}

    contest("digest of a dict of 1000 items", contestant, lambda: HASHERS[contestant](value), rounds=200)


@pytest.mark.parametrize("contestant", HASHERS)
def test_frame(contestant: str, contest: Contest) -> None:
    """A million rows of ints, floats, times, texts and categories."""
    rng = np.random.default_rng(0)
    rows = 1_000_000
    frame = pd.DataFrame(
        {
            "id": np.arange(rows),
            "value": rng.random(rows),
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10**9, rows), unit="s"),
            "name": np.array([f"name {i}" for i in range(1000)])[rng.integers(0, 1000, rows)],
            "kind": pd.Categorical.from_codes(rng.integers(0, 4, rows), ["a", "b", "c", "d"]),
        }
    )

    contest("digest of a data frame of 10^6 rows", contestant, lambda: HASHERS[contestant](frame), rounds=3)


MODULES, REACHED = 200, 20
COLD = {
    "gpucache": "import time\nfrom gpucache.fingerprint import Fingerprints\n{imports}\nFingerprints().of(m0.f0)",
    "the imports alone": "import time\nfrom gpucache.fingerprint import Fingerprints\n{imports}",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 200 modules of ten functions and a class each; a task reaches functions of 20."""
    place = tmp_path_factory.mktemp("project")
    for number in range(MODULES):
        others = "".join(
            f"\n\ndef g{number}_{k}(x, scale={k}):\n    '''About {k}.'''\n    total = 0\n    for i in range(x):\n"
            f"        if i % {k + 2}:\n            total += i * scale + LIMIT\n    return [total, {{'k': x}}]"
            for k in range(10)
        )
        imported = f"import m{number + 1}\n" if number < REACHED - 1 else ""
        text = f"import os\nimport re\n{imported}\nLIMIT = {number}\nNAMES = ['a', 'b']\n"
        text += f"\n\nclass C{number}:\n    size = LIMIT\n\n    def get(self):\n        return self.size + len(NAMES)\n{others}\n"
        follows = f"m{number + 1}.f{number + 1}(x)" if imported else "x"
        text += f"\n\ndef f{number}(x):\n    return g{number}_1(x), C{number}().get(), {follows}\n"
        (place / f"m{number}.py").write_text(text)
    return place


@pytest.mark.parametrize("contestant", COLD)
def test_cold_fingerprint(contestant: str, contest: Contest, project: Path) -> None:
    """Whole processes that import all 200 modules; with and without the fingerprint of one task."""
    root = str(Path(gpc.__file__).parents[1])
    program = COLD[contestant].format(imports="import " + ", ".join(f"m{number}" for number in range(MODULES)))
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{root!r}, {str(project)!r}]\n{program}"]
    act = lambda: subprocess.run(command, check=True)  # noqa: E731
    act()

    contest("cold process, 200 modules imported, 20 reached", contestant, act, rounds=15)
