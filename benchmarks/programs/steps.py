"""Five steps with 100 MiB between them: an ordinary pipeline that knows nothing of caches."""

from __future__ import annotations

import numpy as np

ROWS, COLUMNS = 25_600, 512  # float64: 100 MiB


def load(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((ROWS, COLUMNS))


def clean(table: np.ndarray) -> np.ndarray:
    return (table - table.mean(axis=0)) / table.std(axis=0)


def embed(table: np.ndarray) -> np.ndarray:
    return np.tanh(table @ np.random.default_rng(1).normal(size=(COLUMNS, COLUMNS)))


def whiten(table: np.ndarray) -> np.ndarray:
    _, vectors = np.linalg.eigh(np.cov(table, rowvar=False))
    return table @ vectors


def report(table: np.ndarray) -> dict[str, float]:
    return {"spread": float(table.std()), "largest": float(table.max())}


STEPS = (load, clean, embed, whiten, report)
