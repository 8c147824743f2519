"""The same call twice: key, explanation, look up, compute once, publish."""

from __future__ import annotations

from gpucache.memo.environment import Numerics, environment_text
from gpucache.memo.execute import Done, ResultNotStored, Takeoff, Work, checked, execute, find, publish
from gpucache.memo.explain import Explanation, Kind, Reason, differences, explain
from gpucache.memo.key import Identity, Key, Parts, header_of, key_of
from gpucache.shown import shown

__all__ = [
    "Done",
    "Explanation",
    "Identity",
    "Key",
    "Kind",
    "Numerics",
    "Parts",
    "Reason",
    "ResultNotStored",
    "Takeoff",
    "Work",
    "checked",
    "differences",
    "environment_text",
    "execute",
    "explain",
    "find",
    "header_of",
    "key_of",
    "publish",
    "shown",
]
