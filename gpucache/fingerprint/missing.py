"""The mark of a name that is bound to nothing, and of a closure's variable that was not assigned yet."""

from __future__ import annotations

MISSING = object()
"""Compared by identity."""
