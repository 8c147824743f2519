"""Whether two results are the same: bit for bit, or as near as a task says is near enough; and how far apart if not."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any


class Sameness(enum.StrEnum):
    """How two results compare."""

    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within tolerance"
    DIFFERS = "differs"


def compared(before: Any, after: Any, tolerance: float | None) -> tuple[Sameness, str]:
    """Compare two results whose digests differ; the second is what a person is told.

    Args:
        tolerance: The largest difference that counts as none, relative to the larger of the two and absolute alike
            (math.isclose with rel_tol = abs_tol); None: bit for bit alone.
    """
    if tolerance is not None and is_near(before, after, tolerance):
        return Sameness.WITHIN_TOLERANCE, _distance(before, after) or f"within {tolerance:g}"
    return Sameness.DIFFERS, _distance(before, after) or "other content"


def is_near(before: Any, after: Any, tolerance: float) -> bool:
    """Whether two values have one shape, and their numbers are within the tolerance. NaN is near NaN."""
    first, second = _numbers(before), _numbers(after)
    if first is not None and second is not None:
        return bool(first.shape == second.shape and _all_near(first, second, tolerance))
    if isinstance(before, float | int) and isinstance(after, float | int):
        both_nan = math.isnan(before) and math.isnan(after)
        return both_nan or math.isclose(before, after, rel_tol=tolerance, abs_tol=tolerance)
    if type(before) is not type(after):
        return False
    if isinstance(before, Mapping):
        return list(before) == list(after) and all(is_near(before[key], after[key], tolerance) for key in before)
    if isinstance(before, Sequence) and not isinstance(before, str | bytes):
        return len(before) == len(after) and all(map(is_near, before, after, [tolerance] * len(before)))
    return bool(before == after)


def _all_near(first: Any, second: Any, tolerance: float) -> bool:
    import numpy as np

    if first.dtype.kind not in "fciub" or second.dtype.kind not in "fciub":
        return bool((first == second).all())
    return bool(np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))


def _numbers(value: Any) -> Any:
    """A value as an array, if it is an array, a tensor or a table; else None."""
    numpy, torch, pandas = (sys.modules.get(name) for name in ("numpy", "torch", "pandas"))
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        return value.to_numpy()
    return None


def _distance(before: Any, after: Any) -> str:
    """How far apart two arrays or numbers are, in words; empty for anything else."""
    first, second = _numbers(before), _numbers(after)
    if first is not None and second is not None:
        if first.shape != second.shape:
            return f"shape {first.shape} -> {second.shape}"
        if first.dtype.kind in "fiub" and second.dtype.kind in "fiub" and first.size:
            apart = abs(first.astype(float) - second.astype(float))
            return f"{int((apart > 0).sum()):,} of {first.size:,} numbers, by up to {float(apart.max()):.3g}"
    if isinstance(before, float | int) and isinstance(after, float | int):
        return f"{before!r} -> {after!r}"
    return ""
