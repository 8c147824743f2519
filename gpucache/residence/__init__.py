"""What stays in a worker between calls: model weights and other values that are dear to load."""

from __future__ import annotations

from gpucache.residence.cache import Held, Residents

__all__ = ["Held", "Residents"]
