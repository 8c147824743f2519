"""Write nodes.csv and tasks.csv of this folder: invented, in openb's format, the same on every machine.

python tests/data/openb_small/generate.py
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    draw = random.Random(20231)
    kinds = [("96000", 8, "G2"), ("104000", 2, "T4"), ("16000", 2, "P100"), ("32000", 4, "V100")]
    with (HERE / "nodes.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["sn", "cpu_milli", "memory_mib", "gpu", "model"])
        for index in range(60):
            cpu, gpus, model = draw.choice(kinds)
            rows.writerow([f"node-{index:02}", cpu, 262144, gpus, model])
    with (HERE / "tasks.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        columns = "name cpu_milli memory_mib num_gpu gpu_milli gpu_spec creation_time deletion_time"
        rows.writerow(columns.split())
        for index in range(200):
            gpus = draw.choices([0, 1, 2, 8], [2, 14, 1, 1])[0]
            share = draw.choice([100, 250, 500, 600, 1000]) if gpus == 1 else 1000 * (gpus > 0)
            spec = draw.choice(["T4", "P100|V100", "G2"]) if gpus == 1 and draw.random() < 0.3 else ""
            came = 10 * index
            cpu = draw.choice([2000, 4000, 6000, 8000, 12000]) * max(1, gpus)
            rows.writerow([f"task-{index:03}", cpu, 4096, gpus, share, spec, came, came + draw.randint(60, 3600)])


if __name__ == "__main__":
    main()
