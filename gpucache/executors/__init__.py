"""Front doors for others: gpucache's workers behind interfaces that other tools know."""

from __future__ import annotations

from gpucache.executors.futures import Executor

__all__ = ["Executor"]
