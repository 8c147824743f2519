"""Record what calls take: functions of numpy, scikit-learn and PyTorch on inputs of many sizes, in gpucache's own workers.

    python -m benchmarks.programs.record_peaks FILE [--calls 60] [--gpu]

One row per call: function, input_bytes, peak_bytes, seconds, memory. A worker for each function, warm from its second call on, as in
production. Without --gpu the peak is of host memory: the process's resident set (VmHWM, set back before each call), libraries and
all. With --gpu PyTorch's functions alone, on the GPU, and the peak is what `gpu_memory="auto"` learns from (flows/measure.py).
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from gpucache.config import Config
from gpucache.flows.measure import Measure
from gpucache.runtime.demand import Resources
from gpucache.runtime.driver import Driver

KIB, MIB = 2**10, 2**20
COLUMNS = ("function", "input_bytes", "peak_bytes", "seconds", "memory")


def sort(nbytes: int, device: str) -> None:
    """A sorted copy: twice the input."""
    import numpy as np

    np.sort(np.random.default_rng(0).random(nbytes // 8))


def spectrum(nbytes: int, device: str) -> None:
    """A complex transform of a real signal, and its power."""
    import numpy as np

    found = np.fft.fft(np.random.default_rng(0).random(max(1, nbytes // 32768) * 4096))
    np.abs(found) ** 2


def distances(nbytes: int, device: str) -> None:
    """All pairs: quadratic."""
    import numpy as np
    from scipy.spatial.distance import cdist

    points = np.random.default_rng(0).random((nbytes // 256, 32))
    cdist(points, points)


def groups(nbytes: int, device: str) -> None:
    """k-means: steps by the library's chunks, and threads."""
    import numpy as np
    from sklearn.cluster import KMeans

    KMeans(8, n_init=1, max_iter=5, random_state=0).fit(np.random.default_rng(0).random((nbytes // 256, 32)))


def forest(nbytes: int, device: str) -> None:
    """A forest, whose size is decided by the data."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    drawn = np.random.default_rng(0)
    rows = max(16, nbytes // 128)
    RandomForestRegressor(4, max_depth=12, random_state=0).fit(drawn.random((rows, 16)), drawn.random(rows))


def train(nbytes: int, device: str) -> None:
    """A step of a multilayer perceptron: weights, and activations by the batch."""
    import torch

    layers = [layer for _ in range(4) for layer in (torch.nn.Linear(1024, 1024, device=device), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers)
    torch.optim.Adam(model.parameters())
    model(torch.rand(max(1, nbytes // 4096), 1024, device=device)).square().mean().backward()


def attention(nbytes: int, device: str) -> None:
    """Attention with its matrix written out: quadratic in the length."""
    import torch

    keys = torch.rand(2, max(1, nbytes // 512), 64, device=device)
    torch.softmax(keys @ keys.transpose(1, 2), -1) @ keys


def convolve(nbytes: int, device: str) -> None:
    """Convolutions over a batch of images, forward: a library's workspaces."""
    import torch

    images = torch.rand(max(1, nbytes // (3 * 64 * 64 * 4)), 3, 64, 64, device=device)
    with torch.no_grad():
        torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 3, device=device), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3, device=device)
        )(images)


FUNCTIONS: dict[Callable[[int, str], None], int] = {
    sort: 32 * MIB,
    spectrum: 16 * MIB,
    distances: 512 * KIB,
    groups: 8 * MIB,
    forest: 1 * MIB,
    train: 2 * MIB,
    attention: 512 * KIB,
    convolve: 2 * MIB,
}
"""And the median of the inputs' sizes."""
ON_GPU = (train, attention, convolve)


def measured(function: Callable[[int, str], None], nbytes: int, device: str) -> tuple[int | None, float]:
    """Peak and seconds of one call, in the process that it is called in."""
    Path("/proc/self/clear_refs").write_text("5")
    started = time.perf_counter()
    with Measure() as measure:
        function(nbytes, device)
    seconds = time.perf_counter() - started
    if device != "cpu":
        return measure.gpu_peak_bytes, seconds
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return (int(found[1]) * KIB if found else None), seconds


def main() -> None:
    """Record them all into a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--calls", type=int, default=60, help="of each function; default 60")
    parser.add_argument("--gpu", action="store_true", help="PyTorch's functions alone, on a GPU")
    asked = parser.parse_args()
    resources = Resources(gpus=1) if asked.gpu else Resources()
    with asked.file.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for function, median_bytes in FUNCTIONS.items():
            if asked.gpu and function not in ON_GPU:
                continue
            draw = random.Random(function.__name__)
            with Driver(Config(max_workers=1)) as driver:
                for _ in range(asked.calls):
                    nbytes = int(min(5 * median_bytes, max(64 * KIB, median_bytes * draw.lognormvariate(0, 1))))
                    call = (function, nbytes, "cuda" if asked.gpu else "cpu")
                    peak_bytes, seconds = driver.submit(measured, call, resources=resources).result()
                    memory = "gpu" if asked.gpu else "host"
                    rows.writerow([function.__name__, nbytes, peak_bytes, f"{seconds:.4f}", memory])
                    file.flush()


if __name__ == "__main__":
    main()
