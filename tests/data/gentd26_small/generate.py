"""Write requests.csv and base_model_load_ms.csv of this folder: invented, in gentd26's format, the same on every machine.

python tests/data/gentd26_small/generate.py
"""

from __future__ import annotations

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
MODELS = 24


def main() -> None:
    draw = random.Random(20262)
    moment, model = datetime(2024, 11, 15, 16), 0  # the trace's own times have no zone
    popular = [1 / (1 + rank) for rank in range(MODELS)]
    with (HERE / "requests.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["created_at", "model", "exec_time_s", "status"])
        for number in range(900):
            if number % 300 == 299:
                draw.shuffle(popular)  # habits change
            if draw.random() > 0.35:  # else the same once more: people ask in bursts
                model = draw.choices(range(MODELS), popular)[0]
            moment += timedelta(seconds=draw.choice([1, 2, 5, 15, 40, 90]))
            rows.writerow([moment, f"M{model:04}", float(draw.randint(5, 60)), "SUCCEED"])
    with (HERE / "base_model_load_ms.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["timestamp", "load_ms"])
        for number in range(30):
            rows.writerow([1662859290.0 + 60 * number, float(draw.randint(2000, 45000))])


if __name__ == "__main__":
    main()
