"""The same call twice: key, explanation, look up, compute once, publish."""

from __future__ import annotations

from gpucache.memo.environment import Numerics, environment_text
from gpucache.memo.execute import Done, ResultNotStored, Takeoff, Work, checked, execute, find, publish, watch_of
from gpucache.memo.explain import Explanation, Kind, Reason, differences, explain
from gpucache.memo.inputs import forget, lookup
from gpucache.memo.key import Identity, Key, Parts, header_of, key_of
from gpucache.memo.watching import Watch, current_watch, generation_of, note_hit
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
    "Watch",
    "Work",
    "checked",
    "current_watch",
    "differences",
    "environment_text",
    "execute",
    "explain",
    "find",
    "forget",
    "generation_of",
    "header_of",
    "key_of",
    "lookup",
    "note_hit",
    "publish",
    "shown",
    "watch_of",
]
