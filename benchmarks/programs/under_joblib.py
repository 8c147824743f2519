"""Run a pipeline file with joblib.Memory in gpucache's place: `python -m benchmarks.programs.under_joblib FILE FOLDER FLOW`.

The file stays as it is: what it imports as gpucache is a module whose `task` is Memory.cache.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import joblib


def main(file: str, folder: str, flow: str) -> None:
    """Call the flow with its defaults; intermediate arrays are mapped, as gpucache's are."""
    standin = types.ModuleType("gpucache")
    vars(standin).update(
        task=joblib.Memory(folder, mmap_mode="r", verbose=0).cache,
        flow=lambda fn: fn,
        File=lambda path: types.SimpleNamespace(path=path),
    )
    sys.modules["gpucache"] = standin
    sys.path.insert(0, str(Path(file).parent))
    value = getattr(importlib.import_module(Path(file).stem), flow)()
    sys.stdout.write(f"{value}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
