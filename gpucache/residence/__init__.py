"""What stays warm: values that are dear to load, in a worker; and which of what is warm goes when room is needed."""

from __future__ import annotations

from gpucache.residence.cache import Held, Residents
from gpucache.residence.out_of_memory import is_out_of_memory
from gpucache.residence.policies import BlendedFrequency, DecayedFrequency, LeastRecentlyUsed, Policy

__all__ = [
    "BlendedFrequency",
    "DecayedFrequency",
    "Held",
    "LeastRecentlyUsed",
    "Policy",
    "Residents",
    "is_out_of_memory",
]
