"""The picture of a simulation: how much each policy allocated, and how much of the rest is of no use; or how long tasks waited."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gpucache.errors import ExtraMissing

MARKS_PERCENT = tuple(range(2, 131, 2))


def draw(path: str, rows: Sequence[dict[str, Any]], *, departures: bool) -> None:
    """Write the picture; its format follows from the name (.png, .svg, .pdf).

    Raises:
        ExtraMissing: matplotlib is not installed.
        OSError, ValueError: The file can't be written, or there is no such format.
    """
    try:
        import matplotlib as mpl
    except ImportError as problem:
        raise ExtraMissing("--plot", "matplotlib", "plot") from problem
    mpl.use("agg")
    from matplotlib import pyplot as plt

    if departures:
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for row in rows:
            axes.plot(row["wait_percentiles_s"], range(101), label=row["policy"])
        axes.set(xlabel="wait, s", ylabel="tasks that waited no longer, %", title="Waiting", xscale="symlog")
        axes.legend()
    else:
        figure, (allocated, unusable) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
        for row in rows:
            allocated.plot(row["allocated_percent"].keys(), row["allocated_percent"].values(), label=row["policy"])
            found = row["fragmentation_at"]
            unusable.plot(found.keys(), [100 * part for part in found.values()], label=row["policy"])
        asked = "GPU share asked for, % of the cluster"
        allocated.set(xlabel=asked, ylabel="GPU share allocated, %", title="Allocation")
        unusable.set(xlabel=asked, ylabel="of what is left, unusable, %", title="Fragmentation")
        allocated.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    os.stat(path)
